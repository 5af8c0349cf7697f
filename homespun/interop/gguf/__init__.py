"""GGUF files. Read: file, config, weights (blocks), tokenizer (characters), load. Written: write, write_…"""
