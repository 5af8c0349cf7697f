"""Faster ways to compute what `homespun/model` says, on the same weights.

exchange        how a module of a model is exchanged for another
eager           layers with a hand-written backward pass, for a CPU without a compiler
training        C++ operations of a training step (bfloat16)
decoding        a decoding step of the whole model in C++
newton_schulz   the orthogonalisation inside Muon
head_loss       cross-entropy over a large vocabulary without all logits at once
selfcheck       a kernel or a dtype held against the model in float32
trusted_dtype   the remembered result of that check on this machine
"""
