from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

import homespun
from homespun.model.config import GPTConfig
from homespun.model.gpt import GPT
from homespun.tokenizer.make import build
from tests.cli.conftest import Run
from tests.generation.fakes import Parrot

MakeParrot = Callable[..., Parrot]


def test_the_prompt_comes_first_and_the_text_behind_it(run: Run, parrot: MakeParrot) -> None:
    parrot("hello")
    outcome = run("generate", "m", "He said: ", "--max-tokens", "5")
    assert (outcome.code, outcome.out, outcome.err) == (0, "He said: hello\n", "")


def test_no_new_line_is_added_to_one(run: Run, parrot: MakeParrot) -> None:
    parrot("hi\n")
    assert run("generate", "m", "--max-tokens", "3").out == "hi\n"


def test_text_streams_in_whole_characters_as_it_comes(parrot: MakeParrot, monkeypatch: pytest.MonkeyPatch) -> None:
    from homespun.cli import main

    model = parrot("né😀!")
    written: list[tuple[str, int]] = []

    class Terminal:
        encoding = "utf-8"
        errors = "strict"

        def write(self, text: str) -> int:
            if text:
                written.append((text, len(model.seen)))
            return len(text)

        def flush(self) -> None:
            pass

        def isatty(self) -> bool:
            return False

    monkeypatch.setattr(sys, "stdout", Terminal())
    assert main(["generate", "m", "x", "--max-tokens", "8"]) == 0
    # each with how often the model had been asked by then: never later than it had to be
    assert [pair for pair in written if pair[0] != "\n"] == [("x", 0), ("n", 1), ("é", 3), ("😀", 7), ("!", 8)]


def test_json_is_one_object(run: Run, parrot: MakeParrot) -> None:
    parrot("abcEND")
    outcome = run(
        "generate", "m", "p", "--max-tokens", "6", "--stop", "END", "--samples", "2", "--seed", "7", "--json"
    )
    result = outcome.json
    assert result.pop("tokens_per_second") > 0
    assert result == {
        "model": "m",
        "prompt": "p",
        "seed": 7,
        "weights": "float32",
        "samples": [
            {"text": "abc", "seed": 7, "tokens": 6, "finish_reason": "stop"},
            {"text": "abc", "seed": 8, "tokens": 6, "finish_reason": "stop"},
        ],
    }


def test_json_keeps_its_characters_where_the_terminal_has_none(
    run: Run, parrot: MakeParrot, monkeypatch: pytest.MonkeyPatch
) -> None:
    parrot("😀")
    monkeypatch.setattr("homespun.cli.screens.plain.shows_unicode", lambda stream: False)
    outcome = run("generate", "m", "--max-tokens", "4", "--json")
    assert outcome.out.isascii() and outcome.json["samples"][0]["text"] == "😀"


def test_without_a_seed_one_is_taken_and_told(run: Run, parrot: MakeParrot) -> None:
    parrot("a")
    seeds = {run("generate", "m", "--max-tokens", "1", "--json").json["seed"] for _ in range(3)}
    assert len(seeds) == 3 and all(0 <= seed < 2**63 for seed in seeds)


def test_samples_are_told_apart(run: Run, parrot: MakeParrot) -> None:
    parrot("ab")
    lines = run("generate", "m", "x", "--max-tokens", "2", "--samples", "2", "--seed", "3").out.splitlines()
    assert lines[1] == lines[4] == "xab" and lines[2] == ""
    assert "1 of 2, seed 3" in lines[0] and "2 of 2, seed 4" in lines[3]


def test_a_stop_string_can_be_a_new_line(run: Run, parrot: MakeParrot) -> None:
    parrot("one\n\ntwo")
    assert run("generate", "m", "--max-tokens", "8", "--stop", r"\n\n").out == "one\n"


@pytest.mark.parametrize("content", [b"ROMEO:\n", b"ROMEO:", b"ROMEO:\r\n", b"\xef\xbb\xbfROMEO:\n"])
def test_a_prompt_can_come_from_a_file_or_a_pipe(
    run: Run, parrot: MakeParrot, tmp_path: Path, content: bytes
) -> None:
    parrot("!")
    file = tmp_path / "prompt.txt"
    file.write_bytes(content)
    assert run("generate", "m", "-", "--max-tokens", "1", stdin=content).out == "ROMEO:!\n"
    assert run("generate", "m", "--prompt-file", str(file), "--max-tokens", "1").out == "ROMEO:!\n"


def test_only_one_new_line_is_left_out(run: Run, parrot: MakeParrot) -> None:
    parrot("!")
    assert run("generate", "m", "-", "--max-tokens", "1", stdin="a\n\n").out == "a\n!\n"


def test_a_prompt_file_that_cannot_be_read(run: Run, tmp_path: Path) -> None:
    binary = tmp_path / "photo.jpg"
    binary.write_bytes(b"\xff\xd8\xff\xe0")
    for file, words in ((tmp_path / "none.txt", "no file"), (binary, "not a text"), (tmp_path, "not a text")):
        outcome = run("generate", "m", "--prompt-file", str(file))
        assert outcome.code == 1 and words in outcome.err and str(file) in outcome.err
    assert run("generate", "m", "-", stdin=b"\xff\xfe").code == 1


def test_two_prompts_are_one_too_many(run: Run, tmp_path: Path) -> None:
    assert run("generate", "m", "prompt", "--prompt-file", str(tmp_path)).code == 2


def test_a_prompt_longer_than_the_window_is_told(run: Run, parrot: MakeParrot) -> None:
    model = parrot("!", context_length=4)
    outcome = run("generate", "m", "123456", "--max-tokens", "1")
    assert outcome.out == "123456!\n" and "6 tokens" in outcome.err and "last 4" in outcome.err
    assert model.seen == [list(b"3456")]


def test_what_a_model_writes_cannot_steer_the_terminal(
    parrot: MakeParrot, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    parrot("\x1b[2J")
    assert run("generate", "m", "--max-tokens", "4").out == "\x1b[2J\n"  # a pipe gets what was written
    monkeypatch.setattr(sys.stdout.__class__, "isatty", lambda self: True, raising=False)
    shown = run("generate", "m", "--max-tokens", "4").out
    assert "␛[2J" in shown and "\x1b[2J" not in shown


def test_an_encoding_without_the_character_is_no_reason_to_stop() -> None:
    code = (
        "import sys; sys.path.insert(0, '.')\n"
        "from pathlib import Path\n"
        "import homespun\n"
        "from homespun.cli import main\n"
        "from tests.generation.fakes import ByteTokenizer, Parrot\n"
        "model = Parrot(ByteTokenizer().encode('a\\U0001f600\\u2014'), 64)\n"
        "opened = homespun.LanguageModel(model, ByteTokenizer(), Path('m'))\n"
        "homespun.load = lambda folder, **_: opened\n"
        "sys.exit(main(['generate', 'm', '\\xe9', '--max-tokens', '8', '--samples', '2']))"
    )
    env = {**os.environ, "LC_ALL": "C", "PYTHONIOENCODING": "ascii", "PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0"}
    done = subprocess.run(
        [sys.executable, "-c", code], env=env, cwd=Path(__file__).parents[2], capture_output=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, b"")
    assert b"\n?a??\n" in done.stdout and b"1 of 2" in done.stdout


@pytest.fixture
def babbler(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every MODEL is a real one that has learnt nothing; a tokenizer that constraints can look into."""
    pytest.importorskip("llguidance")
    torch.manual_seed(0)
    config = GPTConfig.of("modern", vocab_size=256, context_length=32, n_layer=1, n_head=2, n_embd=16)
    tokenizer = build("byte", alphabet={}, documents=1, pieces=lambda: iter([]))
    opened = homespun.LanguageModel(GPT(config).eval(), tokenizer, Path("m"))
    monkeypatch.setattr(homespun, "load", lambda folder, **_: opened)


@pytest.mark.usefixtures("babbler")
def test_a_pattern_or_a_schema_holds_the_text(run: Run, tmp_path: Path) -> None:
    outcome = run("generate", "m", "n: ", "--pattern", "[0-9]{3}", "--temperature", "0")
    assert (outcome.code, outcome.err) == (0, "") and outcome.out[3:6].isdigit() and len(outcome.out) == 7
    schema = tmp_path / "schema.json"
    schema.write_text('{"enum": [12, 13]}')
    for given in (str(schema), '{"enum": [12, 13]}'):
        result = run("generate", "m", "--schema", given, "--json").json["samples"][0]
        assert result["text"] in ("12", "13") and result["finish_reason"] == "stop"


@pytest.mark.usefixtures("babbler")
def test_a_text_that_is_cut_off_before_its_pattern_is_fulfilled_is_told(run: Run) -> None:
    outcome = run("generate", "m", "--pattern", "[a-z]{9}", "--max-tokens", "4")
    assert outcome.code == 0 and "cut off after 4 tokens" in outcome.err


@pytest.mark.parametrize(
    ("options", "code", "words"),
    [
        (["--pattern", "[0-9"], 2, "unclosed character class"),
        (["--pattern", "a", "--schema", "{}"], 2, "to a pattern and to a schema at once"),
        (["--schema", "gone.json"], 1, "There is no file gone.json"),
        (["--schema", "{broken"], 2, "is not JSON"),
        (["--schema", '{"type": "objekt"}'], 2, "Invalid type: objekt"),
        (["--logit-bias", "e"], 2, "TOKEN=NUMBER"),
        (["--logit-bias", "e=much"], 2, "TOKEN=NUMBER"),
        (["--logit-bias", "e=nan"], 2, "logit_bias is nan"),
        (["--logit-bias", "the=1"], 2, "#116 #104 #101"),
        (["--logit-bias", "#999=1"], 2, "no token with the id 999"),
        (["--weights", "int4"], 2, "int4"),
    ],
)
@pytest.mark.usefixtures("babbler")
def test_what_cannot_be_asked_for_is_told_with_what_can(
    run: Run, options: list[str], code: int, words: str
) -> None:
    outcome = run("generate", "m", *options)
    assert outcome.code == code and words in " ".join(outcome.err.split())


def test_a_schema_that_is_a_list_or_too_large(run: Run, tmp_path: Path) -> None:
    file = tmp_path / "schema.json"
    file.write_text("[1]")
    assert "holds no JSON object" in " ".join(run("generate", "m", "--schema", str(file)).err.split())
    file.write_text("[" + "1," * 2**20 + "1]")
    assert "too large" in run("generate", "m", "--schema", str(file)).err
    assert run("generate", "m", "--schema", str(tmp_path)).code == 1


def test_a_bias_forbids_a_token_by_its_text_and_by_its_id(run: Run, parrot: MakeParrot) -> None:
    parrot("aaaa")
    for token in ("a", "#97"):
        outcome = run(
            "generate", "m", "--logit-bias", f"{token}=-inf", "--logit-bias", "z=50", "--max-tokens", "3"
        )
        assert outcome.out == "zzz\n"


def test_the_ids_are_those_of_what_is_shown(parrot: MakeParrot) -> None:
    parrot("hello END, and more")
    pieces = homespun.load("m").stream("x: ", stop=["END"])
    assert pieces.prompt_ids == tuple(b"x: ") and pieces.ids == []
    assert "".join(pieces) == "hello " and bytes(pieces.ids) == b"hello END" and pieces.tokens == 9
