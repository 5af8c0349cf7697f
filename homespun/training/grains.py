"""A gradient that is the same to the bit however many processes compute it.

Floating-point sums depend on the order of their terms. So the batch is always cut into 8 grains, whose gradients
are computed alone and added as a binary tree: ((0 + 1) + (2 + 3)) + ((4 + 5) + (6 + 7)). Each process computes
neighbouring grains and adds what of the tree it can; the rest is added by all of them, in the same order. It costs
memory for a few gradients, and small forward passes. To the bit also means: the same number of threads, which is
one.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from homespun.machine.device import is_out_of_memory
from homespun.training.world import World, rows_of_rank

GRAINS = 8
Node = tuple[int, int]  # of the tree: its level, from the grains up, and its number there


def gradient_in_grains(
    world: World,
    weights: Sequence[Tensor],
    batch: Sequence[Tensor],
    compute: Callable[[Sequence[Tensor], int], list[Tensor]],
) -> list[Tensor] | None:
    """Sets the gradients of the weights, and returns the loss in a list; None if memory ran out anywhere.

    compute: adds the gradients of some rows, the first of which has that number in the batch; returns their losses
    """
    own = range(GRAINS)[rows_of_rank(GRAINS, world.rank, world.size)]
    nodes = dict.fromkeys(nodes_of(own))
    length = sum(weight.numel() for weight in weights) + 2
    state = rng_state(weights[0].device)
    learning: set[Tensor] = set()  # the weights that get a gradient
    drawn = False
    tree: dict[Node, Tensor] = {}
    failed = False
    for grain in own:
        rows = rows_of_rank(len(batch[0]), grain, GRAINS)
        vector = torch.zeros(length)
        if rows.start < rows.stop and not failed:
            set_rng_state(state, weights[0].device)  # every grain draws for the whole batch
            try:
                losses = compute([tensor[rows] for tensor in batch], rows.start)
                drawn = True
                pack(vector, weights, losses)
            except RuntimeError as error:
                if not is_out_of_memory(error):
                    raise
                failed = True
        learning |= forget_gradients(weights)
        add(tree, (0, grain), vector)
    if not drawn and not failed:  # draw as many numbers as the others
        set_rng_state(state, weights[0].device)
        compute([tensor[:1] for tensor in batch], 0)
        learning |= forget_gradients(weights)
    if failed and tree:
        next(iter(tree.values()))[-1] = 1.0
    assert set(tree) == set(nodes)
    whole = world.sum_tree(tree, length)
    if whole[-1].item():
        return None
    unpack(whole, weights, learning)
    return [whole[-2]]


def nodes_of(grains: range) -> list[Node]:
    """The nodes of the tree that are left when those grains are added as far as they can be.

    >>> nodes_of(range(8)), nodes_of(range(3, 6))
    ([(3, 0)], [(0, 3), (1, 2)])
    """
    tree: dict[Node, None] = {}
    for grain in grains:
        node = (0, grain)
        while sibling(node) in tree and node[1] % 2:
            del tree[sibling(node)]
            node = parent(node)
        tree[node] = None
    return list(tree)


def add(tree: dict[Node, Tensor], node: Node, vector: Tensor) -> None:
    """Puts a vector into the tree, and adds it to its sibling where that is there, and so on."""
    while (other := tree.pop(sibling(node), None)) is not None:
        vector = other + vector if node[1] % 2 else vector + other
        node = parent(node)
    tree[node] = vector


def sibling(node: Node) -> Node:
    return node[0], node[1] ^ 1


def parent(node: Node) -> Node:
    return node[0] + 1, node[1] // 2


def pack(vector: Tensor, weights: Sequence[Tensor], losses: list[Tensor]) -> None:
    """Put the gradients and the sum of the losses into a vector of zeros; the last number stays zero."""
    pairs = [(view, weight.grad) for view, weight in zip(views_of(vector, weights), weights, strict=True)]
    there = [(view, gradient) for view, gradient in pairs if gradient is not None]
    torch._foreach_copy_([view for view, _ in there], [gradient for _, gradient in there])
    vector[-2] = torch.stack(losses).sum()


def views_of(vector: Tensor, weights: Sequence[Tensor]) -> list[Tensor]:
    """The parts of such a vector that the gradients have, each in the shape of its weight."""
    views = vector[:-2].split([weight.numel() for weight in weights])
    return [view.view_as(weight) for view, weight in zip(views, weights, strict=True)]


def unpack(vector: Tensor, weights: Sequence[Tensor], learning: set[Tensor]) -> None:
    for view, weight in zip(views_of(vector, weights), weights, strict=True):
        if weight in learning:
            weight.grad = view.to(weight.device)


def forget_gradients(weights: Sequence[Tensor]) -> set[Tensor]:
    """Removes the gradients; returns the weights that had one."""
    found = {weight for weight in weights if weight.grad is not None}
    for weight in found:
        weight.grad = None
    return found


def rng_state(device: torch.device) -> Tensor:
    return torch.cuda.get_rng_state(device) if device.type == "cuda" else torch.get_rng_state()


def set_rng_state(state: Tensor, device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.set_rng_state(state, device)
    else:
        torch.set_rng_state(state)
