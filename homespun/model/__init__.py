"""The model: a GPT in four families that are only settings of it, and the bigram it grew from.

The ladder, simplest first: `bigram`, `attention`, `block`, `gpt`. `config` holds
every number that a model is made of; `norm`, `rotary`, `cache` and `size` stand beside it.
"""
