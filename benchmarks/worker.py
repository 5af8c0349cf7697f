"""A process that a benchmark asks, line by line; while it is not asked it waits and leaves the machine alone."""

from __future__ import annotations

import contextlib
import json
import subprocess
from collections.abc import Mapping
from typing import Any, TypeVar

from benchmarks.pairs import ROOT
from benchmarks.rounds import Failed

W = TypeVar("W", bound="Worker")


class Worker:
    """`with Worker([…], "ours") as worker: worker.ask("steps 5")`: an answer is a line of JSON.

    side: what it is called where it fails. chatty: what it says on standard error is for us; else nobody hears it.
    Raises Failed where it ends before it has answered, and where it ends with anything but 0.
    """

    answers_begin = "{"  # a compiler, or a library, may have something to say in between

    def __init__(
        self, command: list[str], side: str, *, env: Mapping[str, str] | None = None, chatty: bool = True
    ) -> None:
        self.side, self.has_failed = side, False
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
        with contextlib.suppress(BrokenPipeError):  # it has ended, and what it was asked last is still on the way
            self.process.stdin.close()
        code = self.process.wait()
        self.process.stdout.close()
        if code and error[0] is None and not self.has_failed:
            raise self.failed()

    def ask(self, question: str) -> dict[str, Any]:
        assert self.process.stdin is not None
        try:
            print(question, file=self.process.stdin, flush=True)
        except BrokenPipeError:
            raise self.failed() from None
        return self.answer()

    def answer(self) -> dict[str, Any]:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            if line.startswith(self.answers_begin):
                found: dict[str, Any] = json.loads(line)
                return found
        raise self.failed()

    def failed(self) -> Failed:
        self.has_failed = True  # once is enough: its end says no more
        return Failed(f"{self.side} ended with {self.process.wait()}")
