"""The command line, run in this process with a model that says what it is told to, or in a process of its own."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from homespun.cli import main
from homespun.machine import builds as native
from tests.generation.fakes import ByteTokenizer, Parrot
from tests.patience import PATIENCE


@dataclass
class Outcome:
    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


Run = Callable[..., Outcome]


@pytest.fixture(autouse=True)
def nothing_is_compiled_beside(monkeypatch: pytest.MonkeyPatch) -> None:
    """A compiler that a test leaves behind would outlive it, and slow down all that come after."""
    monkeypatch.setattr(native, "leave_to_another", lambda source, path, in_haste: None)


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Run:
    """run("data", "list") -> Outcome; stdin="…" is what is piped in."""

    def run(*arguments: str, stdin: str | bytes = b"") -> Outcome:
        content = stdin.encode() if isinstance(stdin, str) else stdin
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(content), encoding="utf-8"))
        capsys.readouterr()
        code = main(arguments)
        captured = capsys.readouterr()
        return Outcome(code, captured.out, captured.err)

    return run


@pytest.fixture
def spawn(tmp_path: Path) -> Callable[..., subprocess.CompletedProcess[bytes]]:
    """spawn("--help") -> the finished process, in an empty folder, with bytes for output."""

    def spawn(
        *arguments: str, env: dict[str, str] | None = None, **options: Any
    ) -> subprocess.CompletedProcess[bytes]:
        options = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **options}
        code = "import sys; from homespun.cli import main; sys.exit(main())"
        return subprocess.run(
            [sys.executable, "-c", code, *arguments],
            cwd=tmp_path,
            env={**os.environ, **(env or {})},
            timeout=PATIENCE,
            check=False,
            **options,
        )

    return spawn


@pytest.fixture
def parrot(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Parrot]:
    """parrot("text") makes every MODEL one that recites that text."""
    import homespun

    def recite(text: str, context_length: int = 64) -> Parrot:
        model = Parrot(ByteTokenizer().encode(text), context_length)
        opened = homespun.LanguageModel(model, ByteTokenizer(), Path("runs/parrot"))  # type: ignore[arg-type]
        monkeypatch.setattr(homespun, "load", lambda folder, **_: opened)
        return model

    return recite
