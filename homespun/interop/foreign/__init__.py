"""Models of nanoGPT, minGPT, the lecture's own gpt.py and llama2.c, opened without executing anything."""
