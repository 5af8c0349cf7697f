"""Faster ways to compute what `homespun/model` says, on the same weights.

exchange        the one way in which a module of a model is exchanged for another
kernel          what a kernel says of itself: the settings, devices and dtypes that it is for
select          which kernels compute a model: those that suit it, are there and pass the self-check
selfcheck       a kernel or a dtype held to the model in float32
trusted_dtype   the remembered result of that check on this machine
training        C++ operations of a training step (bfloat16)
decoding        a decoding step of the whole model in C++
parallel.h      the threads of our C++: work in pieces, which nobody waits for without need
vectors.h       vectors as wide as the processor's registers
projections     queries, keys and values by one product, for decoding on a CPU
head_loss       cross-entropy over a large vocabulary without all logits at once
newton_schulz   the orthogonalisation inside Muon
casts           matrices in fewer bits than the residual stream
rounding        weights rounded to bfloat16 or int8
recompute       activation checkpointing
"""
