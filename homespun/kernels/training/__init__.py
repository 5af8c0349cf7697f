"""The operations of a training step that are faster in C++ than in PyTorch on this kind of processor.

`training.cpp` and what it includes do the numbers, and `homespun.machine.builds` makes a library of them, once
a machine. `operations` shows them to PyTorch, and `modules` has the modules that use them, on the same weights,
and says which models they suit. The model, in `homespun/model`, knows nothing of all this.
"""
