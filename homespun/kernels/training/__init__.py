"""The parts of a training step that are quicker in C++ than in PyTorch on this kind of processor.

`training.cpp` and what it includes do the numbers, and `homespun.machine.builds` makes a library of them, once
a machine. `operations` shows them to PyTorch, and `twin` makes the model that uses them: on the same weights,
computing the same. The model of the lecture, in `homespun/model`, knows nothing of all this.
"""
