"""homespun generate --show and --why."""

from __future__ import annotations

import doctest
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

import homespun
from homespun.cli.screens import insight as insight_screen
from homespun.insight.probabilities import token_probabilities
from homespun.model.config import BigramConfig, GPTConfig
from homespun.model.gpt import build
from homespun.tokenizer.make import build as build_tokenizer
from tests.cli.conftest import Run

TEXT = "the cat sat on a mat,\n"
Open = Callable[[str], homespun.LanguageModel]


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> Open:
    """opened("modern") makes every MODEL a small one of that family that has learnt nothing."""

    def make(family: str) -> homespun.LanguageModel:
        torch.manual_seed(0)
        tokenizer = build_tokenizer("char", alphabet=dict(Counter(TEXT)), documents=1, pieces=lambda: iter([TEXT]))
        ids, shape = tokenizer.vocab_size, {"context_length": 12, "n_layer": 2, "n_head": 2, "n_embd": 16}
        config = (
            BigramConfig(vocab_size=ids) if family == "bigram" else GPTConfig.of(family, vocab_size=ids, **shape)
        )
        model = build(config).eval()
        for weight in model.parameters():
            torch.nn.init.normal_(weight, std=0.5)
        found = homespun.LanguageModel(model, tokenizer, Path("runs/small"))
        monkeypatch.setattr(homespun, "load", lambda folder, **_: found)
        return found

    return make


@pytest.fixture
def in_colours(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(insight_screen, "colours", lambda stream: True)
    monkeypatch.setenv("COLUMNS", "60")
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setenv("COLORTERM", "truecolor")


def test_without_colours_every_token_has_a_line(run: Run, opened: Open) -> None:
    opened("modern")
    outcome = run("generate", "m", "the cat", "--max-tokens", "5", "--seed", "1", "--show")
    lines = outcome.out.splitlines()
    assert outcome.code == 0 and "\x1b" not in outcome.out
    rows = [line for line in lines if line.lstrip()[:1].isdigit()]
    assert [int(row.split()[0]) for row in rows] == list(range(1, 13))
    assert sum("prompt" in row for row in rows) == 7 and "'t'" in rows[0]
    assert "could have been" in lines[0]


def test_in_colours_the_text_is_numbered_and_explained(run: Run, opened: Open, in_colours: None) -> None:
    opened("modern")
    out = run("generate", "m", "the cat", "--max-tokens", "80", "--seed", "1", "--show").out
    assert "How likely the model found each token" in out and "under 2%" in out
    assert "had least expected" in out and "\x1b[" in out and "looked at" not in out


@pytest.mark.parametrize("family", ["modern", "gpt2", "llama", "lecture"])
@pytest.mark.parametrize("number", ["2", "20", "-1"])
def test_why_tells_the_alternatives_and_what_was_looked_at(
    run: Run, opened: Open, family: str, number: str, in_colours: None
) -> None:
    opened(family)
    outcome = run("generate", "m", "the cat", "--max-tokens", "20", "--seed", "1", "--why", number)
    assert outcome.code == 0
    assert f"Token {27 if number == '-1' else number}, " in outcome.out
    assert "Attention of the model" in outcome.out and "sharpest head" in outcome.out


def test_json_has_the_numbers_of_the_model(run: Run, opened: Open) -> None:
    model = opened("modern")
    result = run("generate", "m", "the", "--max-tokens", "6", "--seed", "1", "--why", "5", "--json").json
    sample = result["samples"][0]
    text = "the" + sample["text"]
    shown = sample["shown"]
    expected = token_probabilities(model.model, model.tokenizer, text)  # type: ignore[arg-type]
    assert shown["prompt_tokens"] == 3 and "".join(token["token"] for token in shown["tokens"]) == "".join(
        expected.tokens
    )
    assert shown["tokens"][0]["logprob"] is None and shown["tokens"][0]["likelier"] is None
    assert [token["logprob"] for token in shown["tokens"][1:]] == pytest.approx(expected.logprobs[1:].tolist())
    assert len(shown["tokens"][1]["alternatives"]) == 5
    why = shown["why"]
    assert (why["number"], [part["number"] for part in why["looked_at"]]) == (5, [1, 2, 3, 4])
    assert sum(part["share"] for part in why["looked_at"]) == pytest.approx(1.0, abs=1e-5)
    assert [len(layer) for layer in why["by_layer"]] == [4, 4]


def test_nothing_behind_a_stop_string_is_shown(run: Run, opened: Open) -> None:
    opened("modern")
    whole = run("generate", "m", "the", "--max-tokens", "30", "--seed", "1", "--json").json["samples"][0]
    stop = whole["text"][4]
    cut = run(
        "generate",
        "m",
        "the",
        "--max-tokens",
        "30",
        "--seed",
        "1",
        "--stop",
        stop,
        "--show",
        "--json",
        "--samples",
        "2",
    )
    for sample in cut.json["samples"]:
        assert len(sample["shown"]["tokens"]) == 3 + sample["tokens"]


def test_a_bigram_can_be_shown_but_has_looked_at_nothing(run: Run, opened: Open) -> None:
    opened("bigram")
    assert run("generate", "m", "the", "--max-tokens", "3", "--show").code == 0
    outcome = run("generate", "m", "the", "--max-tokens", "3", "--why", "3")
    assert outcome.code == 1 and "no attention" in outcome.err


@pytest.mark.parametrize("number", ["0", "1", "7", "-6", "-7"])
def test_a_token_that_is_not_there_is_told(run: Run, opened: Open, number: str) -> None:
    opened("modern")
    outcome = run("generate", "m", "the", "--max-tokens", "3", "--why", number)
    assert outcome.code == 2 and "from 2 to 6" in outcome.err and outcome.out == ""


def test_a_long_line_is_folded_and_control_characters_do_not_steer() -> None:
    from rich.style import Style

    text = insight_screen.numbered(["ab", "\x1b[2J", "cd\n", "", "漢", "\x07"], [Style()] * 6, width=7)
    assert "\x1b" not in text.plain and "\x07" not in text.plain
    assert [line.split()[0] for line in text.plain.split("\n")] == ["1", "2", "5"]
    assert all(len(line) <= 7 for line in text.plain.split("\n"))


def test_the_examples_in_the_docstrings_are_true() -> None:
    result = doctest.testmod(insight_screen)
    assert result.attempted > 0 and result.failed == 0
