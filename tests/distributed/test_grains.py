"""With deterministic_reduction a run is the same to the bit on any number of processes."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from homespun.dataset.preparation import Dataset
from homespun.training.grains import GRAINS, add, nodes_of
from homespun.training.world import World, rows_of_rank
from tests.distributed.group import in_processes
from tests.distributed.test_replicas import assert_same_run, loop_of, losses_of, weights_of
from tests.training.conftest import small_plan


@pytest.mark.processes
def test_losses_are_the_same_to_the_bit_on_1_2_and_4_processes(dataset: Dataset) -> None:
    # Fewer rows than grains, and more.
    plans = [
        small_plan(dataset, steps=8, dropout=0.2, batch_size=size, deterministic_reduction=True, **settings)
        for size, settings in ((3, {"optimizer": "muon"}), (11, {"optimizer": "adamw"}), (8, {"model": "lecture"}))
    ]
    torch.set_num_threads(1)
    alone = [losses_of(loop_of(plan, dataset)) for plan in plans]

    def work(world: World) -> list[dict[str, Any]]:
        torch.set_num_threads(1)  # as a run does
        loops = (loop_of(plan, dataset, world) for plan in plans)
        return [{"losses": losses_of(loop), "weights": weights_of(loop)} for loop in loops]

    for size in (2, 4):
        found = in_processes(size, work)
        assert not [one["error"] for one in found if "error" in one]
        for number, losses in enumerate(alone):
            assert_same_run([one[number] for one in found], losses, nearly=0.0)


@pytest.mark.parametrize("size", range(1, 12))
def test_the_tree_is_the_same_however_it_is_divided(size: int) -> None:
    vectors = torch.randn(GRAINS, 50, generator=torch.Generator().manual_seed(1))
    vectors *= 10.0 ** torch.arange(GRAINS)[:, None]
    whole: dict[tuple[int, int], torch.Tensor] = {}
    for number, vector in enumerate(vectors):
        add(whole, (0, number), vector)
    tree: dict[tuple[int, int], torch.Tensor] = {}
    for rank in range(size):
        grains = range(GRAINS)[rows_of_rank(GRAINS, rank, size)]
        part: dict[tuple[int, int], torch.Tensor] = {}
        for grain in grains:
            add(part, (0, grain), vectors[grain])
        assert list(part) == nodes_of(grains)
        for node, vector in part.items():
            add(tree, node, vector)
    assert list(tree) == list(whole) == [(3, 0)]
    assert tree[3, 0].equal(whole[3, 0]) and not whole[3, 0].equal(vectors.sum(dim=0))
