"""Muon: each update of a matrix is its orthogonalised momentum.

The gradient of a weight matrix is nearly of low rank: a few directions get most of the
update. After orthogonalisation every direction gets the same share, and the model learns from
rare patterns as well as from frequent ones (Jordan et al. 2024,
https://kellerjordan.github.io/posts/muon; the scale is that of Liu et al. 2025, arXiv 2502.16982).

All matrices of one shape are stored and orthogonalised as one batch: on a CPU,
one at a time costs several times as much.

Where several processes compute a run, each owns every so-manyth matrix of each shape, and so of each half of the
layers. It keeps the momentum of its own matrices only, and updates these; the others are handed to it.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable

import torch
from torch import Tensor, nn

from homespun.kernels.newton_schulz import LEEWAY, QUINTICS, orthogonalise
from homespun.planning.cost import TURNS

STEP_SIZE = 0.2


class Muon:
    """Muon for matrices, that is, for parameters with two dimensions.

    learning_rate   as for AdamW: updates are scaled to the same size
    weight_decay    decoupled, multiplied by the learning rate
    momentum        of the running mean of gradients, with Nesterov momentum
    dtype           of the orthogonalisation; bfloat16 is enough where it is fast
    rank, size      of this process, and how many divide the matrices between them
    state           for the first matrix of each shape: the momentum of this process's matrices of that shape, (N,
                    rows, columns), and the steps
    moved           for each rank, the matrices that it has updated in the last step
    """

    def __init__(
        self,
        matrices: Iterable[nn.Parameter],
        *,
        learning_rate: float,
        weight_decay: float = 0.0,
        momentum: float = 0.95,
        dtype: torch.dtype = torch.float32,
        rank: int = 0,
        size: int = 1,
    ) -> None:
        self.weights = list(matrices)
        self.rank, self.size = rank, size
        self.owners = owners(self.weights, size)
        self.moved: list[list[Tensor]] = [[] for _ in range(size)]
        self.learning_rate = learning_rate
        self.weight_decay = weight_decay
        self.momentum = momentum
        self.dtype = dtype
        self.state: defaultdict[Tensor, dict[str, Tensor]] = defaultdict(dict)
        self.uses_native_kernels = (
            False  # whether the native kernel computes the update; set it where that is available
        )

    @torch.no_grad()
    def step(self) -> None:
        learning_rate = TURNS * self.learning_rate
        kept = 1 - learning_rate * self.weight_decay
        shapes = []  # own matrices, their momentum, and how many of the first stay where they are
        self.moved = [[] for _ in range(self.size)]
        for matrices in by_shape(self.weights):
            taking_turns = matrices[self.turn_of(matrices)]
            for matrix in taking_turns:
                self.moved[self.owners[matrix]].append(matrix)
            own, momentum = self.own(matrices), self.momentum_of(matrices)
            turns = {id(matrix) for matrix in taking_turns}
            if own:
                shapes.append((own, momentum, slice_of([id(matrix) in turns for matrix in own])))
        if self.uses_native_kernels:
            quick_step(shapes, learning_rate, kept, self.momentum, self.dtype)
            return
        for own, momentum, turn in shapes:
            gradients = torch.stack(gradients_of(own))  # (N, rows, columns)
            momentum.lerp_(gradients, 1 - self.momentum)
            if not (walking := own[turn]):
                continue
            ahead = gradients[turn].lerp_(momentum[turn], self.momentum)
            steps = orthogonalise(ahead.to(self.dtype)).to(gradients.dtype)
            torch._foreach_mul_(walking, kept)
            torch._foreach_add_(walking, list(steps.unbind()), alpha=-learning_rate * step_size(walking[0]))

    def own(self, matrices: list[Tensor]) -> list[Tensor]:
        return [matrix for matrix in matrices if self.owners[matrix] == self.rank]

    def momentum_of(self, matrices: list[Tensor]) -> Tensor:
        """(N, rows, columns): the momentum of the own matrices of one shape, stored with the first of all."""
        state = self.state[matrices[0]]
        if "momentum" not in state:
            state["momentum"] = matrices[0].new_zeros((len(self.own(matrices)), *matrices[0].shape))
        found: Tensor = state["momentum"]
        return found

    def whole(self, first: Tensor, momentum: Tensor) -> Tensor:
        """The momentum of all matrices that have the shape of `first`, with zeros where another process has it."""
        if self.size == 1:
            return momentum
        shaped = self.of_shape(first)
        whole = momentum.new_zeros((len(shaped), *first.shape))
        own = [number for number, matrix in enumerate(shaped) if self.owners[matrix] == self.rank]
        for number, one in zip(own, momentum, strict=True):
            whole[number] = one
        return whole

    def part(self, first: Tensor, whole: Tensor) -> Tensor:
        """This process's part of the momentum of all matrices that have the shape of `first`."""
        if self.size == 1:
            return whole
        own = [number for number, matrix in enumerate(self.of_shape(first)) if self.owners[matrix] == self.rank]
        return whole[own].clone()

    def of_shape(self, first: Tensor) -> list[Tensor]:
        return [matrix for matrix in self.weights if matrix.shape == first.shape]

    def turn_of(self, matrices: list[Tensor]) -> slice:
        """The matrices of one shape that this step updates: those of the first layers, or those of the last."""
        taken = self.state[matrices[0]].setdefault("taken", torch.zeros((), dtype=torch.int64))
        taken += 1
        half = len(matrices) // TURNS
        return slice(half) if taken % TURNS == 0 else slice(half, None)


def gradients_of(matrices: list[Tensor]) -> list[Tensor]:
    return [matrix.grad for matrix in matrices if matrix.grad is not None]


def step_size(matrix: Tensor) -> float:
    """Factor on an orthogonal matrix of that shape, in addition to the learning rate.

    The entries of such a matrix are about max(rows, columns)^-0.5, and AdamW's updates are about 0.2 per entry:
    with this factor one learning rate serves both.
    """
    return STEP_SIZE * max(matrix.shape) ** 0.5


def owners(matrices: Iterable[Tensor], size: int) -> dict[Tensor, int]:
    """The rank that owns each matrix. Matrices of one shape go round; each shape begins with another rank."""
    shapes: defaultdict[torch.Size, list[Tensor]] = defaultdict(list)
    for matrix in matrices:
        shapes[matrix.shape].append(matrix)
    return {
        matrix: (number + begin) % size
        for begin, shaped in enumerate(shapes.values())
        for number, matrix in enumerate(shaped)
    }


def slice_of(taken: list[bool]) -> slice:
    """Where the taken ones are, which stand together.

    >>> slice_of([False, False, True]), slice_of([False, False])
    (slice(2, 3, None), slice(2, 2, None))
    """
    begin = taken.index(True) if True in taken else len(taken)
    return slice(begin, begin + sum(taken))


def quick_step(
    shapes: list[tuple[list[Tensor], Tensor, slice]],
    learning_rate: float,
    kept: float,
    momentum: float,
    dtype: torch.dtype,
) -> None:
    """One Muon step of all matrices by the native kernel; each matrix stays in the cache of one core."""
    from homespun.kernels.muon_step import Rates, muon_step

    rates = Rates.of(QUINTICS, momentum=momentum, step=learning_rate * STEP_SIZE, kept=kept, leeway=LEEWAY)
    matrices = [matrix for of_shape, _, _ in shapes for matrix in of_shape]
    momenta = [one for _, of_shape, _ in shapes for one in of_shape.unbind()]
    walking = {id(matrix) for of_shape, _, turn in shapes for matrix in of_shape[turn]}
    muon_step(
        matrices, gradients_of(matrices), momenta, [id(matrix) in walking for matrix in matrices], rates, dtype
    )


def by_shape(matrices: Iterable[nn.Parameter]) -> list[list[Tensor]]:
    """The matrices that have a gradient, grouped by shape, in their original order."""
    groups: dict[torch.Size, list[Tensor]] = defaultdict(list)
    for matrix in matrices:
        if matrix.grad is not None:
            groups[matrix.shape].append(matrix)
    return list(groups.values())
