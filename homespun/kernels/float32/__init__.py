"""A training step in float32, for processors that multiply in nothing smaller: AVX2, AVX-512, NEON.

`step.cpp` and what it includes compute whole transformer blocks, forward and backward. `homespun.machine.builds`
makes a library of them, once a machine, in a few seconds. `operations` shows its functions to PyTorch, and
`modules` has the modules that use them, on the same weights, and says which models they suit. Such a step leaves
PyTorch nothing that torch.compile would make faster, and is not compiled.
"""
