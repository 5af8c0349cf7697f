"""Every error that a user can meet, as the command line tells it: what is wrong, and what to do next.

Each is brought about through a real command, on real files. What the lines before it say is not looked at.
"""

from __future__ import annotations

import ast
import socket
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from homespun import errors
from homespun.cli import main
from homespun.errors import HomespunError

ROOT = Path(__file__).parents[2]


@dataclass(frozen=True)
class Case:
    """A command that fails in a folder that `prepare` has made, and the whole of what is told then."""

    kind: str
    command: str
    told: str
    code: int = 1
    prepare: Callable[[pytest.MonkeyPatch], None] = lambda monkeypatch: None


def without_pyarrow(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("pyarrow", "pyarrow.parquet"):
        monkeypatch.setitem(sys.modules, name, None)


def without_a_cache(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOMESPUN_CACHE", "empty.txt")


def with_a_run_whose_text_has_changed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its ids are gone from the cache as well: as long as they are there, the text is not needed."""
    small = "--set n_layer=1 --set n_head=1 --set n_embd=8 --set batch_size=2 --context 8 --device cpu"
    assert main(f"train book.txt --steps 1 --out old {small}".split(" ")) == 0
    with Path("book.txt").open("a") as book:
        book.write("Whether 'tis nobler in the mind to suffer.\n")
    monkeypatch.setenv("HOMESPUN_CACHE", "another")


def with_another_process_that_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    from homespun.distributed import join
    from homespun.distributed.processes import process_lost

    def lost(note: object) -> None:
        raise process_lost(silent=False)

    monkeypatch.setattr(join, "joined", lost)


CASES = [
    Case(
        "ProcessLost",
        "train book.txt --steps 5",
        f"error: Another process of this run has ended, as {socket.gethostname()} sees it.\n"
        "  Look at what that one says. With --max-restarts, torchrun goes on from the last resume point by\n"
        "  itself; by hand, give the same command with --resume.",
        code=75,
        prepare=with_another_process_that_ends,
    ),
    Case(
        "UsageError",
        "train book.txt --steps 5 --minutes 1",
        "error: --steps and --minutes both say how long to train.\n  Give one of them.",
        code=2,
    ),
    Case(
        "UnknownSetting",
        "train book.txt --set n_layer=four",
        "error: n_layer = 'four' is not a whole number.\n  n_layer: transformer blocks.",
        code=2,
    ),
    Case(
        "MissingExtra",
        "train words.parquet --steps 1",
        "error: Reading .parquet files needs a library that is not installed.\n"
        '  Install it with:  pip install "homespun[formats]"',
        prepare=without_pyarrow,
    ),
    Case(
        "DownloadFailed",
        "data show http://example.org/book.txt",
        "error: http://example.org/book.txt is plain http, where anyone on the way can change the text.\n"
        "  Use the https:// address, or download it yourself and give the path of the file.",
    ),
    Case(
        "TextError",
        "train --out old --resume",
        "error: The text of old has changed since it was trained on:\n{here}/book.txt.\n"
        "  Put the old text back to go on with this run, or train anew in another folder with --out.",
        prepare=with_a_run_whose_text_has_changed,
    ),
    Case(
        "TextNotFound",
        "train bok.txt",
        "error: No file, folder or named corpus is called bok.txt.\n  Did you mean book.txt?",
    ),
    Case(
        "TextUnreadable",
        "train noise.bin",
        "error: noise.bin is not text: it has NUL bytes, the first at byte 0.\n"
        "  Give a text, or save it as one (UTF-8) first.",
    ),
    Case(
        "NotEnoughText",
        "train empty.txt",
        "error: empty.txt is empty.\n  Give a text with some words in it.",
    ),
    Case(
        "TokenizerError",
        "generate torn",
        "error: torn/tokenizer.json is not a tokenizer that can be used: it is not JSON (Unterminated string\n"
        "starting at: line 1 column 12 (char 11)).\n"
        "  Get it anew from where it came from, or let homespun make one: --tokenizer bpe",
    ),
    Case(
        "UnknownCharacter",
        "generate run café",
        "error: 'é' (U+00E9, LATIN SMALL LETTER E WITH ACUTE) at line 1, column 4 is not among the 31\n"
        'characters that this tokenizer knows: "café"\n'
        "  Leave it out, or train with --tokenizer byte or --tokenizer bpe: those know every character.",
    ),
    Case(
        "ModelError",
        "train book.txt --steps 1 --set n_embd=10 --set n_head=4",
        "error: n_embd = 10 cannot be shared out among n_head = 4 heads.\n"
        "  Take a multiple of 4 for n_embd, such as 12.",
    ),
    Case(
        "CheckpointError",
        "generate runn",
        "error: There is no model folder runn.\n  Did you mean run?",
    ),
    Case(
        "TrainingError",
        "train book.txt --steps 1 --out empty.txt/run",
        "error: The folder empty.txt/run cannot be made: Not a directory.\n  Choose another one with --out.",
    ),
    Case(
        "DeviceError",
        "train book.txt --device tpu",
        "error: There is no device 'tpu'.\n  Take --device auto, cpu, cuda, cuda:1 or mps.",
    ),
    Case(
        "WriteFailed",
        "train book.txt --steps 1",
        "error: The cache folder empty.txt/datasets cannot be made: Not a directory.\n"
        "  Set HOMESPUN_CACHE to a folder that you may write to.",
        prepare=without_a_cache,
    ),
]


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a text, things that are none, a model, and a model whose tokenizer was cut off."""
    from homespun.checkpoint.folder import save_model
    from tests.checkpoint.models import char_tokenizer, lively, tiny

    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "100")
    monkeypatch.delenv("HOMESPUN_DEBUG", raising=False)
    Path("book.txt").write_text("To be, or not to be, that is the question.\n" * 40)
    Path("empty.txt").write_text("")
    Path("noise.bin").write_bytes(bytes(range(256)) * 40)
    Path("words.parquet").write_bytes(b"PAR1")
    for name in ("run", "torn"):
        save_model(name, lively(tiny("modern")), char_tokenizer())
    Path("torn/tokenizer.json").write_text('{"model": {"vo')
    return tmp_path


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.kind)
def test_the_whole_message_is_told(
    case: Case, here: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    case.prepare(monkeypatch)
    met: list[type] = []
    monkeypatch.setattr(
        HomespunError, "__new__", lambda kind, *a, **k: (met.append(kind), Exception.__new__(kind))[1]
    )
    code = main(case.command.split(" "))
    printed = capsys.readouterr()
    assert printed.err[printed.err.rindex("error:") :] == case.told.replace("{here}", str(here)) + "\n"
    assert code == case.code == getattr(errors, case.kind).exit_code
    assert any(issubclass(kind, getattr(errors, case.kind)) for kind in met)


def kinds() -> set[str]:
    return {
        name for name, kind in vars(errors).items() if isinstance(kind, type) and issubclass(kind, HomespunError)
    }


def raised_kinds() -> set[str]:
    """The names of all that is made somewhere in homespun: `raise UsageError(...)`, `return UsageError(...)`."""
    calls = [
        node.func.id
        for path in (ROOT / "homespun").rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)
    ]
    return kinds() & set(calls)


# Names of families, which are caught and never raised.
FAMILIES = {"HomespunError"}


def test_every_kind_of_error_has_a_case_here() -> None:
    assert kinds() - FAMILIES == {case.kind for case in CASES}


def test_the_families_are_never_raised_themselves() -> None:
    assert raised_kinds() == kinds() - FAMILIES


def test_every_kind_says_when_it_is_raised() -> None:
    assert all((getattr(errors, name).__doc__ or "").endswith(".") for name in kinds())
