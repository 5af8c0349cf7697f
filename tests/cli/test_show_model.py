"""homespun show, and the curve that it draws."""

from __future__ import annotations

import doctest
from pathlib import Path

import pytest

import homespun
from homespun.api.portrait import Adapter, Flops, Memory, Origin, Parameters, Portrait, Stored, Tokens, Training
from homespun.cli.screens import curve as curve_screen
from homespun.cli.screens import show as show_screen
from homespun.cli.screens.curve import HEIGHT, curve
from tests.cli.conftest import Run

SHAPE = {
    "n_layer": 2,
    "n_head": 6,
    "n_kv_head": 2,
    "head_width": 8,
    "n_embd": 48,
    "n_inner": 128,
    "context_length": 64,
}
POINTS = ((0, None, 4.2), (1000, 3.0, 2.9), (2000, 2.0, 2.2), (3000, 1.5, 2.0), (4000, 1.2, 2.1))
TRAINING = Training(
    text=("book.txt",), minutes=3.0, steps=4, plan={"batch_size": 4, "context_length": 64, "optimizer": "muon"},
    loss=2.0, bits_per_char=2.885, bits_per_byte=2.8, seconds=174.0, tokens=4000, curve=POINTS,
)  # fmt: skip
PORTRAIT = Portrait(
    model="runs/book",
    kind="run",
    stored=Stored(Path("runs/book"), 1, 98_000_000, {"Q4_1": 900, "F32": 100}),
    family="modern",
    shape=SHAPE,
    parameters=Parameters(1_000_000, 200_000),
    memory=Memory({"float32": 4_000_000, "bfloat16": 2_000_000, "int8": 1_000_000}, 590_000),
    flops=Flops(2_000_000, 3_000_000),
    tokenizer=Tokens("bpe", 300, "<|end|>", {f"<|{n}|>": n for n in range(9)}, (3,), True),
    origin=Origin("book", "mit", "someone/wool", "0123abc"),
    training=TRAINING,
)


def shown(run: Run, monkeypatch: pytest.MonkeyPatch, portrait: Portrait) -> str:
    monkeypatch.setattr(homespun, "show", lambda model: portrait)
    outcome = run("show", "runs/book")
    assert (outcome.code, outcome.err) == (0, "")
    assert all(len(line) <= 80 for line in outcome.out.splitlines())
    return " ".join(outcome.out.split())


def test_the_examples_in_the_docstrings() -> None:
    assert doctest.testmod(show_screen).failed == doctest.testmod(curve_screen).failed == 0


def test_everything_that_is_known_is_shown(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    text = shown(run, monkeypatch, PORTRAIT)
    for words in (
        "a run of homespun", "modern, the shape of Qwen3", "6 heads of 8 that share 2 keys and values",
        "1,000,000; 800,000 without", "98 MB, Q4_1 90%, F32 10%", "2.0 MB in bfloat16", "590 KB",
        "2.0 MFLOP a token, 3.0 MFLOP", "<|5|> and 3 more", "with <|3|>", "homespun chat talks to it", "mit",
        "someone/wool", "0123abc", "4 steps of 256 tokens with muon (--minutes 3)", "loss 2.0000", "174 s",
    ):  # fmt: skip
        assert words in text


def test_an_adapter_without_its_base_is_shown_as_far_as_it_is_known(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = shown(
        run,
        monkeypatch,
        Portrait(
            model="runs/book", kind="adapter", stored=PORTRAIT.stored, family="", shape=None, parameters=None,
            memory=None, flops=None, tokenizer=None, origin=Origin(),
            adapter=Adapter("someone/wool", 8, 16.0, ("q_proj", "v_proj"), 4096, base_is_here=False),
            notes=("its base someone/wool is not here",),
        ),
    )  # fmt: skip
    for words in ("someone/wool (not here)", "8, alpha 16", "q_proj, v_proj", "4,096", "note: its base"):
        assert words in text
    assert "family" not in text


def test_json_has_all_of_it(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(homespun, "show", lambda model: PORTRAIT)
    found = run("show", "runs/book", "--json").json
    assert found["parameters"] == {"total": 1_000_000, "embedding": 200_000}
    assert found["training"]["curve"][1] == [1000, 3.0, 2.9] and found["adapter"] is None


def test_what_a_model_says_of_itself_cannot_steer_the_terminal(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(homespun, "show", lambda model: PORTRAIT)
    hostile = Portrait(**{**vars(PORTRAIT), "origin": Origin("\x1b[2Jname", "\x07mit")})
    monkeypatch.setattr(homespun, "show", lambda model: hostile)
    out = run("show", "m").out
    assert "\x1b[2J" not in out and "\x07" not in out and "␛[2Jname" in out


def test_there_is_no_such_model(run: Run) -> None:
    outcome = run("show", "runs/nowhere")
    assert outcome.code == 1 and "There is no model folder runs/nowhere" in outcome.err


@pytest.mark.parametrize("unicode", [True, False])
@pytest.mark.parametrize("width", [30, 40, 72])
def test_the_curve_fits_and_names_its_ends(unicode: bool, width: int) -> None:
    lines = [line.plain for line in curve(POINTS, width, unicode=unicode)]
    assert len(lines) == HEIGHT + 1 and len({len(line) for line in lines}) == 1
    assert len(lines[0]) == width
    assert lines[0].startswith("3.00 ") and lines[HEIGHT - 1].startswith("1.20 ")  # not 4.2: before any step
    if not unicode:
        assert lines[0].isascii() and "*" in "".join(lines) and "." in "".join(lines)


@pytest.mark.parametrize("points", [POINTS[:1], POINTS[:2], ((5, 2.0, 2.0), (5, 2.0, 2.0)), ((0, None, 1.0),) * 5])
def test_the_shortest_and_the_flattest_of_curves(points: tuple[tuple[int, float | None, float], ...]) -> None:
    assert len(curve(points, 40)) == HEIGHT + 1
