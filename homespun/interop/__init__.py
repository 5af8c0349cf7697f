"""Models from elsewhere: what other tools have written, as an ordinary GPT of ours with its tokenizer.

Read in this order: `gguf_file` (what a GGUF file says of itself, and what is not believed), `gguf_config`
(its settings in our words), `gguf_weights` (its numbers in our layout), `gguf_tokenizer`, `gguf` (all of it
together); then `hub` and `find`: from a name to what is on this disk. The other way out: `gguf_write` and
`gguf_write_tokenizer`, `modelfile`, `origin`, and `export`, which holds what was written against the model
(`probes`, `compare`, `llama_cpp`). `foreign` imports checkpoints of nanoGPT, minGPT, the lecture and llama2.c.
"""
