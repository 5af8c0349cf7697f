"""`homespun train` as a process of its own, as a person starts it, measured from outside."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

from benchmarks.pairs import ROOT
from benchmarks.rounds import Failed, check_loss

MOST_WARM_UPS = 4
INTERRUPTED = 130  # what `homespun` ends with after Ctrl-C
FIRST_STEP = "the first step is done"  # what `watched` says

# The smallest run that does everything; for --smoke.
TINY = ["--model", "gpt2", "--context", "16", "--dtype", "float32"]
for setting in ("n_layer=1", "n_head=1", "n_embd=16", "n_inner=32", "batch_size=4", "compile=no"):
    TINY += ["--set", setting]


@dataclass(frozen=True)
class Finished:
    """A run that has ended.

    told        the JSON object that the command printed last
    records     the lines of its metrics.jsonl
    seconds     from the start of the process to its end, on our clock
    memory      most memory that the process had at once, in bytes
    """

    told: dict[str, Any]
    records: list[dict[str, Any]]
    seconds: float
    memory: int


def train(arguments: Sequence[str], *, out: Path, environment: Mapping[str, str]) -> Finished:
    """Runs `homespun train ARGUMENTS --json` to its end. Failed where it fails, or where its loss is no number."""
    command = [sys.executable, "-m", "homespun", "train", *arguments, "--out", str(out), "--json"]
    log = out.with_suffix(".log")
    with log.open("w") as errors:
        began = time.monotonic()
        process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=errors, text=True, env=dict(environment), cwd=out.parent
        )
        assert process.stdout is not None
        with process.stdout:
            answer = process.stdout.read()
        _, status, usage = os.wait4(process.pid, 0)
        seconds = time.monotonic() - began
        process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise failed(process.returncode, log.read_text())
    kilobytes = usage.ru_maxrss if sys.platform != "darwin" else usage.ru_maxrss / 1024
    lines = (out / "metrics.jsonl").read_text(encoding="utf-8").splitlines()
    told = json.loads(answer.splitlines()[-1])
    check_loss(told["val_loss"], "homespun train")
    return Finished(told, [json.loads(line) for line in lines], seconds, int(kilobytes * 1024))


def seconds_to_first_step(
    arguments: Sequence[str], *, out: Path, environment: Mapping[str, str], go_on: float = 0.0
) -> float:
    """From the start of the process until the first update of the weights is done; then it is interrupted.

    Failed where it does not come to that, or does not end as one that is interrupted does: what it leaves for the
    next one may be half of it.
    go_on: seconds that it is left to train after that, so that what compiles in the background comes to its end.
    """
    command = [sys.executable, "-m", "benchmarks.watched", "train", *arguments, "--out", str(out), "--json"]
    began, seconds, said = time.monotonic(), None, ""
    with subprocess.Popen(
        command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, env=dict(environment), cwd=ROOT
    ) as process:
        assert process.stderr is not None
        for line in process.stderr:
            said += line
            if FIRST_STEP in line and seconds is None:
                seconds = time.monotonic() - began
                time.sleep(go_on)
                process.send_signal(signal.SIGINT)
    if seconds is None or process.returncode not in (0, INTERRUPTED):
        raise failed(process.returncode, said)
    return seconds


def warm_up(arguments: Sequence[str], *, out: Path, environment: Mapping[str, str], seconds: float | None) -> None:
    """Runs of the same plan until one finds all it compiles in the cache.

    seconds: of training that each of them goes on for. None: to its end, and to that of what it has compiled then.
    """
    for attempt in range(MOST_WARM_UPS):
        before = compiled_files(environment)
        run = out.with_name(f"{out.name}-warm-up-{attempt}")
        if seconds is None:
            train(arguments, out=run, environment=environment)
            wait_for_steps_compiled_beside(environment)
        else:
            seconds_to_first_step(arguments, out=run, environment=environment, go_on=seconds)
        if compiled_files(environment) == before:
            return


def wait_for_steps_compiled_beside(environment: Mapping[str, str]) -> None:
    """Until nobody compiles into that cache: a short run leaves that to a process that outlives it."""
    name = "TORCHINDUCTOR_CACHE_DIR"
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            is_one = "homespun.machine.jobs" in process.cmdline()
            if is_one and process.environ().get(name) == environment[name]:
                process.wait()


def failed(code: int | None, said: str) -> Failed:
    return Failed(f"homespun train ended with {code}", said[-2000:])


def environment(folder: Path, cache: str = "warm") -> dict[str, str]:
    """The environment of a run whose caches are those named `cache` in `folder`; a new name is a cold one."""
    kept = {name: value for name, value in os.environ.items() if name != "GLIBC_TUNABLES"}
    return {
        **kept,
        "HOMESPUN_CACHE": str(folder / cache / "homespun"),
        "HOMESPUN_DATA": str(folder / "data"),
        "TORCHINDUCTOR_CACHE_DIR": str(folder / cache / "compiled"),
    }


def shakespeare(folder: Path, smoke: bool) -> str:
    """The TEXT to train on. Tiny Shakespeare is had once and put where runs with empty caches find it, too."""
    from homespun.text.sources import read

    data = folder / "data"
    data.mkdir(exist_ok=True)
    if smoke:
        path = data / "small.txt"
        path.write_text(small_text(), encoding="utf-8")
        return str(path)
    document = next(iter(read("shakespeare").documents()))
    (data / "tinyshakespeare.txt").write_bytes(document.read().encode())
    return "shakespeare"


def small_text(lines: int = 400) -> str:
    """A text that is no text, the same each time.

    >>> small_text(2)
    'line 0 has 0 words, and 0 more\\nline 1 has 7 words, and 1 more\\n'
    """
    return "".join(f"line {n} has {n * 7 % 97} words, and {n * n % 89} more\n" for n in range(lines))


def compiled_files(environment: Mapping[str, str]) -> int:
    """How many files the compiler has left in its cache."""
    return sum(1 for path in Path(environment["TORCHINDUCTOR_CACHE_DIR"]).rglob("*") if path.is_file())
