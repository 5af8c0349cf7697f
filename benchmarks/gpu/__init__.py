"""One GPU beside others' programs on the same GPU: one script a row, each under ten minutes.

    python -m benchmarks.gpu.selftest       what the GPU computes; resume there, and of a run that a CPU began
    python -m benchmarks.gpu.recipe         seconds to 1.4697, loss after 60 and 180 s, beside nanoGPT's recipe
    python -m benchmarks.gpu.throughput     tokens/s, MFU and memory at 124 million parameters, by micro-batch
    python -m benchmarks.gpu.decoding       tokens/s of generating, beside transformers
    python -m benchmarks.gpu.lora           tokens/s of LoRA on SmolLM2's shape, beside transformers and peft

Each prints a table and writes benchmarks/results/KIND/NAME.json, KIND being the GPU's name. With --tiny it runs
on the CPU, on models of nothing, which shows that the script works and nothing else.

**None of this has run on a GPU so far.** There are no figures of it, and docs/speed.md has none.
"""
