"""A process that a benchmark asks, line by line; while it is not asked it waits and leaves the machine alone."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Mapping
from typing import Any, TypeVar

from benchmarks.pairs import ROOT

W = TypeVar("W", bound="Worker")


class Worker:
    """`with Worker([…]) as worker: worker.ask("steps 5")`: an answer is a line of JSON.

    chatty: what it says on standard error is for us; else nobody hears it.
    """

    answers_begin = "{"  # a compiler, or a library, may have something to say in between

    def __init__(self, command: list[str], *, env: Mapping[str, str] | None = None, chatty: bool = True) -> None:
        self.process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=None if chatty else subprocess.DEVNULL,
            text=True,
            cwd=ROOT,
            env=env,
        )

    def __enter__(self: W) -> W:
        return self

    def __exit__(self, *error: object) -> None:
        assert self.process.stdin is not None and self.process.stdout is not None
        self.process.stdin.close()
        self.process.wait()
        self.process.stdout.close()

    def ask(self, question: str) -> dict[str, Any]:
        assert self.process.stdin is not None
        print(question, file=self.process.stdin, flush=True)
        return self.answer()

    def answer(self) -> dict[str, Any]:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            if line.startswith(self.answers_begin):
                found: dict[str, Any] = json.loads(line)
                return found
        raise RuntimeError(f"{' '.join(self.process.args)} ended with {self.process.wait()}")  # type: ignore[arg-type]
