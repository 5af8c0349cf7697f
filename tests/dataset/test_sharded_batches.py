"""Batches of a text in shards: every window once an epoch, a few shards at a time, known from seed and step."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from homespun.dataset.batches import Batches
from homespun.dataset.sharded import Shard, ShardedIds
from homespun.dataset.sharded_batches import GROUP, ShardedBatches
from tests.dataset.test_division import numbered


def test_an_epoch_uses_every_position_and_the_next_one_in_another_order(tmp_path: Path) -> None:
    lengths = [50, 9, 33, 7, 64]
    ids = numbered(lengths, tmp_path)
    batches = ShardedBatches(ids, 4, 8, seed=1)
    steps = -(-batches.windows_per_epoch // 4)
    seen = np.zeros(len(ids), dtype=int)
    for step in range(steps):
        x, y = batches[step]
        assert x.shape == (4, 8) and np.array_equal(y.numpy(), x.numpy() + 1)
        np.add.at(seen, x.numpy().ravel(), 1)
    too_short = slice(92, 99)  # the shard of seven tokens
    assert not seen[too_short].any()
    inputs = np.ones(len(ids), dtype=bool)
    inputs[too_short] = False
    inputs[np.cumsum(lengths) - 1] = False  # the last token of a shard has no next one there
    assert (seen[inputs] >= 1).all() and seen.max() <= 4
    assert batches[0][0].tolist() != batches[steps][0].tolist()


def test_a_batch_depends_on_the_seed_and_the_step_alone(tmp_path: Path) -> None:
    ids = numbered([50, 40, 33], tmp_path)
    one, other = ShardedBatches(ids, 4, 8, seed=1), ShardedBatches(ids, 4, 8, seed=1)
    order = [7, 0, 30, 7]
    assert [one[step][0].tolist() for step in order] == [other[step][0].tolist() for step in sorted(order)][
        1:2
    ] + [one[step][0].tolist() for step in (0, 30, 7)]
    assert ShardedBatches(ids, 4, 8, seed=2)[0][0].tolist() != one[0][0].tolist()


class Counted:
    """A place whose shards are asked for and never read."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    def text(self, name: str) -> str:
        raise AssertionError

    def path_of(self, shard: Shard) -> Path:
        self.asked.append(shard.file)
        return Path(shard.file)


def huge(shards: int, tokens: int) -> tuple[ShardedIds, Counted]:
    place = Counted()
    return ShardedIds(
        place, [Shard(f"{n}", tokens, 2 * tokens, "") for n in range(shards)], np.dtype("<u2")
    ), place


def test_a_hundred_billion_tokens_need_no_index() -> None:
    ids, _ = huge(6_000, 17_000_000)
    batches = ShardedBatches(ids, 512, 1024, seed=3)
    assert len(ids) == 102 * 10**9
    last = batches.windows_per_epoch // 512
    for step in (0, last - 1, last, 7 * last + 12_345):
        shards, starts = batches.windows_at(step)
        assert ((starts >= 0) & (starts + 1025 <= 17_000_000)).all() and len(
            set(zip(shards, starts, strict=True))
        ) == 512
        assert len(set(shards.tolist())) <= 2 * GROUP
    assert sum(array.nbytes for array in (ids.lengths, ids.ends, batches.windows)) < 10**6


def test_the_shards_of_the_next_group_are_fetched_ahead() -> None:
    ids, place = huge(3 * GROUP, 1000)
    batches = ShardedBatches(ids, 4, 16, seed=3)
    batches.fetch_ahead(0)
    batches.fetch_ahead(1)
    batches.fetcher.shutdown()
    plan = batches.plan(0)
    assert place.asked == [str(shard) for shard in batches.group(plan, 1)]


def test_positions_of_a_text_in_one_file_fit_into_their_numbers_at_a_hundred_billion_tokens() -> None:
    """The places of Batches are 64-bit numbers: nothing overflows, and nothing is as large as the text."""

    class Long:
        """An array of 10^11 tokens, of which the token at a position is its remainder."""

        def __len__(self) -> int:
            return 10**11

        def __getitem__(self, at: np.ndarray) -> np.ndarray:
            assert at.dtype == np.int64 and at.min() >= 0 and at.max() < 10**11
            return (at % 65_521).astype(np.uint16)

    batches = Batches(Long(), 512, 1024, seed=5)  # type: ignore[arg-type]
    last = batches.windows_per_epoch // 512
    for step in (0, last, 40 * last):
        starts = batches.starts_of(step)
        assert starts.max() > 10**10 and len(set(starts.tolist())) == 512
        x, y = batches[step]
        assert np.array_equal((x[:, 0].numpy() + 1) % 65_521, y[:, 0].numpy())
    epoch = np.concatenate([batches.starts_of(step) for step in range(8)])
    assert len(set(epoch.tolist())) == len(epoch)


@pytest.mark.parametrize(
    "lengths", [[9], [9] * 8, [9] * 9, [30, 9, 9, 200, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9]]
)
def test_every_window_comes_once(lengths: list[int], tmp_path: Path) -> None:
    batches = ShardedBatches(numbered(lengths, tmp_path), 1, 8, seed=4)
    assert batches.windows_per_epoch == int(batches.windows.sum())
    drawn = [batches.windows_at(step)[0].item() for step in range(batches.windows_per_epoch)]
    assert [drawn.count(shard) for shard in range(len(lengths))] == batches.windows.tolist()
