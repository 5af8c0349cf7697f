"""Sides that do not do the same work are not compared."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

import pytest

from benchmarks import generation, preparing, sides
from benchmarks.rounds import Failed
from benchmarks.sides import AS_IT_IS, Conditions, Shape, Side, measured_pair
from tests.benchmarks.conftest import Ran

FACTS = {"dtype": "float32", "compiled": False, "tokens": 32, "parameters": 100, "threads": 2}


class MadeUpSide(Side):
    """A side that answers at once; `facts` and `loss` by its name."""

    facts_of: ClassVar[dict[str, dict[str, Any]]] = {}
    losses: ClassVar[dict[str, float]] = {}

    def __init__(self, side: str, *_: object) -> None:
        self.side = side
        self.facts = FACTS | self.facts_of.get(side, {})

    def __enter__(self) -> MadeUpSide:
        return self

    def __exit__(self, *error: object) -> None:
        pass

    def ask(self, question: str) -> dict[str, Any]:
        return {"seconds": 1.0, "loss": self.losses.get(self.side, 2.0), "rate": 1e9}


@pytest.fixture
def made_up(monkeypatch: pytest.MonkeyPatch) -> Iterator[type[MadeUpSide]]:
    monkeypatch.setattr(sides, "Side", MadeUpSide)
    monkeypatch.setattr(MadeUpSide, "facts_of", {})
    monkeypatch.setattr(MadeUpSide, "losses", {})
    yield MadeUpSide


def pair_of(folder: Path, conditions: Conditions = AS_IT_IS) -> sides.Pair:
    return measured_pair(Shape(), folder, blocks=1, steps=1, conditions=conditions)


def test_two_sides_that_do_the_same_are_compared(made_up: type[MadeUpSide], tmp_path: Path) -> None:
    assert pair_of(tmp_path).ratio == 1.0


def test_steps_whose_loss_is_no_number_are_no_work(made_up: type[MadeUpSide], tmp_path: Path) -> None:
    made_up.losses["ours"] = math.nan
    with pytest.raises(Failed, match="ours: the loss is no finite number"):
        pair_of(tmp_path)


@pytest.mark.parametrize("fact", ["tokens", "parameters", "threads"])
def test_sides_that_do_not_do_the_same_are_not_compared(
    made_up: type[MadeUpSide], tmp_path: Path, fact: str
) -> None:
    made_up.facts_of["plain"] = {fact: 1}
    with pytest.raises(Failed, match=f"not do the same work: {fact}: ours {FACTS[fact]}, plain 1"):
        pair_of(tmp_path)


def test_a_machine_that_has_not_what_a_row_is_about_has_no_such_row(
    made_up: type[MadeUpSide], tmp_path: Path
) -> None:
    pair_of(tmp_path, Conditions(about=("float32", False)))
    for about in (("bfloat16", False), ("float32", True)):
        with pytest.raises(
            Failed, match=f"about .* steps in {about[0]}, and here there are eager steps in float32"
        ):
            pair_of(tmp_path, Conditions(about=about))


def test_the_share_of_the_product_rate_is_that_of_the_dtype_of_the_step(
    ran: Ran, made_up: type[MadeUpSide], monkeypatch: pytest.MonkeyPatch
) -> None:
    from benchmarks import share

    monkeypatch.setattr(share, "Side", made_up)
    made_up.facts_of["ours"] = {
        "flops": 1e8,
        "how": "eager",
        "threads": 2,
    }
    result, _, _ = ran(share.BENCHMARK, "--rounds", "1")
    assert result["rows"]["share"]["median"] == 0.5
    assert any("in float32" in note for note in result["notes"])


@pytest.fixture
def encoders(monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """What each side's ids are, by their checksum; no text is encoded."""
    ids = {"ours": "same", "tokenizers": "same", "tiktoken": "same"}
    seconds = {"ours": 1.0, "tokenizers": 4.0, "tiktoken": 2.0}

    def encoded(side: str, *_: object) -> dict[str, Any]:
        return {"seconds": seconds[side], "tokens": len(ids[side]), "sha256": ids[side]}

    monkeypatch.setattr(preparing, "encoded", encoded)
    monkeypatch.setattr(preparing, "trained", lambda text, folder, size: folder)
    monkeypatch.setattr(preparing.importlib.util, "find_spec", lambda name: True)
    return ids


def test_other_ids_of_the_same_text_are_no_comparison(ran: Ran, encoders: dict[str, str], tmp_path: Path) -> None:
    text = tmp_path / "text.txt"
    text.write_text("a b c\n" * 1000, encoding="utf-8")
    arguments = ("--rounds", "1", "--text", str(text))
    assert ran(preparing.BENCHMARK, *arguments)[0]["rows"]["preparing"]["median"] == 2.0
    encoders["tiktoken"] = "other ids"
    result, said, _ = ran(preparing.BENCHMARK, *arguments)
    assert result["rows"]["preparing"]["median"] is result["sides"]["tiktoken"]["median"] is None
    assert "the ids of tiktoken are not ours: 9 tokens, ours 4" in said


def test_a_peer_that_is_missing_may_be_the_faster_one(
    ran: Ran, encoders: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(preparing.importlib.util, "find_spec", lambda name: None)
    text = tmp_path / "text.txt"
    text.write_text("a b c\n" * 1000, encoding="utf-8")
    result, said, _ = ran(preparing.BENCHMARK, "--rounds", "1", "--text", str(text))
    assert result["rows"]["preparing"]["median"] is None and "tiktoken is not installed here" in said


def test_fewer_tokens_than_were_asked_for_are_no_rate() -> None:
    class Stops:
        def submit(self, request: object) -> list[int]:
            return [1, 2, 3]

    with pytest.raises(Failed, match="ours wrote 6 tokens of 8"):
        generation.ours_rate(Stops(), streams=2, written=4)  # type: ignore[arg-type]
    assert generation.ours_rate(Stops(), streams=2, written=3) > 0  # type: ignore[arg-type]
