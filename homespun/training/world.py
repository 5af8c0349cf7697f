"""The processes that compute a run, and how they come to the same decisions.

What a run learns depends on its plan, and not on how many processes compute it: each takes some rows of the same
batch, and the gradients are added. Decisions that depend on a clock, on memory or on a signal differ between
processes, so rank 0 decides and the others adopt its decision. All ranks call the methods of a world at the same
places of the run. `OneProcess` is the usual world; that of several is in `homespun/distributed`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

import torch
from torch import Tensor

T = TypeVar("T")


class World(Protocol):
    """rank: the number of this process, from 0. size: the number of processes."""

    @property
    def rank(self) -> int: ...

    @property
    def size(self) -> int: ...

    def agree(self, value: T) -> T:
        """The value of rank 0, on every rank: None, a bool, an int, a float, a string, lists of such, a plan."""
        ...

    def first(self, compute: Callable[[], T]) -> T:
        """What `compute` returns on rank 0, which alone calls it; of the types that `agree` takes."""
        ...

    def any(self, flag: bool) -> bool:
        """Whether it is true on any rank."""
        ...

    def every(self, value: Any) -> list[Any]:
        """What each rank gives, in the order of the ranks: values that JSON has."""
        ...

    def share_cores(self) -> None:
        """From here on all processes of a computer compute at once, each with its share of the cores."""
        ...

    def rows(self, number: int) -> slice:
        """The rows of a batch of so many that this process computes; none if there are too few."""
        ...

    def sum_gradients(
        self, weights: Sequence[Tensor], losses: list[Tensor] | None, dtype: torch.dtype = torch.float32
    ) -> list[Tensor] | None:
        """Add up the gradients of the weights, in place, and the losses, over all ranks.

        losses: scalars; None if memory ran out on this rank. Returns scalars whose sum is the loss, or None if
        memory ran out on any rank. dtype: in which gradients are sent; losses always go in float32.
        """
        ...

    def sum_tree(self, nodes: dict[tuple[int, int], Tensor], length: int) -> Tensor:
        """The root of the tree of which each rank has some nodes (see grains.py): vectors of that length."""
        ...

    def sum_tensor(self, tensor: Tensor) -> Tensor:
        """The sum of the tensors of all ranks; in place."""
        ...

    def hand_round(self, moved: list[list[Tensor]]) -> None:
        """Give the tensors that each rank has changed, in the order of the ranks, to all others; in place."""
        ...

    def agree_on_tensor(self, tensor: Tensor) -> Tensor:
        """The tensor of rank 0, on every rank, where it has the same shape; in place."""
        ...

    def agree_on_tensors(self, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
        """The tensors of rank 0, on every rank. What another rank gives does not matter."""
        ...


@dataclass(frozen=True)
class OneProcess:
    """A world of one process, which agrees with itself."""

    rank: int = 0
    size: int = 1

    def agree(self, value: T) -> T:
        return value

    def first(self, compute: Callable[[], T]) -> T:
        return compute()

    def any(self, flag: bool) -> bool:
        return flag

    def every(self, value: Any) -> list[Any]:
        return [value]

    def share_cores(self) -> None:
        return None

    def rows(self, number: int) -> slice:
        return slice(0, number)

    def sum_gradients(
        self, weights: Sequence[Tensor], losses: list[Tensor] | None, dtype: torch.dtype = torch.float32
    ) -> list[Tensor] | None:
        return losses

    def sum_tree(self, nodes: dict[tuple[int, int], Tensor], length: int) -> Tensor:
        (root,) = nodes.values()
        return root

    def sum_tensor(self, tensor: Tensor) -> Tensor:
        return tensor

    def hand_round(self, moved: list[list[Tensor]]) -> None:
        return None

    def agree_on_tensor(self, tensor: Tensor) -> Tensor:
        return tensor

    def agree_on_tensors(self, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
        return tensors


def rows_of_rank(number: int, rank: int, size: int) -> slice:
    """Rank's share of `number` rows: the shares differ by one row at most, the first ranks have the larger ones.

    >>> [rows_of_rank(7, rank, 3) for rank in range(3)]
    [slice(0, 3, None), slice(3, 5, None), slice(5, 7, None)]
    """
    each, more = divmod(number, size)
    begin = rank * each + min(rank, more)
    return slice(begin, begin + each + (rank < more))
