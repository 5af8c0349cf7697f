"""A decoding step in C++, compiled on the user's machine for its processor: the whole model in one call.

To compute one token of a small model takes PyTorch longer for its own housekeeping than for the numbers.
`step.cpp` with `products.h` does the numbers alone; `source` names them for `homespun.machine.builds`, which
makes a library of them, once a machine; `weights` and `packing` lay out a model's weights for it; `slots` is what
a step computes, and `native_step` calls the library; `kernel` says which models it suits, and checks it.
"""
