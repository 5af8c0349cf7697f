"""The model: a GPT whose families are only settings of it, and the bigram, the simplest language model.

The ladder, simplest first: `bigram`, `dot_product`, `attention`, `block`, `gpt`. `config` holds every number that
a model is made of; `context` is what attention sees; `norm`, `rotary`, `dropout` and `size` stand beside it.
"""
