"""What the fuzzers share: what counts as a finding, and how an input is changed without losing its form.

A finding is whatever escapes that is no HomespunError, an answer that takes more than a minute of the
processor, and more than a gibibyte of memory on top of what the libraries have. The input is then kept
in the folder of `-artifact_prefix=`; give its path as the only argument to see it again.
"""

from __future__ import annotations

import copy
import json
import os
import random
import resource
import shutil
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import atheris

from homespun.errors import HomespunError

MOST_SECONDS = 60.0  # of the processor, where an answer takes a hundredth of one: what takes so long never ends
MOST_MEMORY = 2**30


def run(
    check: Callable[[Path, bytes], None],
    seeds: list[bytes],
    *,
    mutate: Callable[[bytes, random.Random], bytes],
) -> None:
    """Calls check(an empty folder, an input) until `-max_total_time` is over. Does not return."""
    # In memory where there is such a place. libFuzzer leaves without tidying up: the next run does that.
    memory = Path("/dev/shm")
    place = memory if memory.is_dir() else Path(tempfile.gettempdir())
    folder, corpus = (place / f"homespun-{Path(sys.argv[0]).stem}-{name}" for name in ("input", "seeds"))
    for old in (folder, corpus):
        shutil.rmtree(old, ignore_errors=True)
        old.mkdir()

    def one_input(data: bytes) -> None:
        start = time.process_time()
        try:
            check(folder, data)
        except HomespunError as error:
            assert error.what and error.todo, f"half a message: {error!r}"
            assert len(str(error)) < 4000, f"a message of {len(str(error))} characters"
        seconds = time.process_time() - start
        assert seconds < MOST_SECONDS, f"{seconds:.1f} seconds"

    def changed(data: bytes, max_size: int, seed: int) -> bytes:
        dice = random.Random(seed)
        if dice.random() < 0.2:
            return atheris.Mutate(data, max_size)
        # The fuzzer favours short inputs, so now and then a sound one is the beginning again.
        return mutate(data if data and dice.random() < 0.7 else dice.choice(seeds), dice)[:max_size]

    for seed in seeds:  # everything is imported and warm before memory is counted
        one_input(seed)
    limit_memory()
    for number, seed in enumerate(seeds):
        (corpus / str(number)).write_bytes(seed)
    # A file among the arguments is an input to be seen again: then nothing else is tried.
    again = any(Path(argument).is_file() for argument in sys.argv[1:])
    usual = ["-max_len=65536", "-rss_limit_mb=0", "-timeout=1200", f"-artifact_prefix={tempfile.gettempdir()}/"]
    atheris.Setup([sys.argv[0], *usual, *sys.argv[1:], *([] if again else [str(corpus)])], one_input,
                  custom_mutator=changed)  # fmt: skip
    atheris.Fuzz()


def limit_memory() -> None:
    """Whoever wants more than MOST_MEMORY from here on gets a MemoryError, which is a finding."""
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    most = pages * os.sysconf("SC_PAGE_SIZE") + MOST_MEMORY
    resource.setrlimit(resource.RLIMIT_AS, (most, most))


HOSTILE: list[Any] = [
    None, True, False, 0, 1, -1, 2, 3, 7, 64, 255, 65_537, 2**20, 2**22, 2**31, 2**32, 2**53, 2**63, 2**64, 10**30,
    0.0, -0.0, 0.5, -1.5, 1e-320, 1e308, float("nan"), float("inf"), "", "0", "1", "a", "\x00", "é", "\ud800",
    "../../etc/passwd", "/dev/zero", "▁", "x" * 1000, [], {}, [[]], [0], [None], ["a"], [1, 2], {"a": 1},
    {"type": "Sequence"}, ["default"], "default", "nan", [0] * 300,
]  # fmt: skip


def mutated(value: Any, dice: random.Random, words: list[Any] = HOSTILE) -> Any:
    """A copy of a JSON value with one to four places in it changed."""
    holder = [copy.deepcopy(value)]
    for _ in range(dice.choice((1, 1, 1, 2, 4))):
        inner, key = dice.choice(places(holder))
        kind = dice.randrange(7)
        if kind < 3:
            inner[key] = copy.deepcopy(dice.choice(words))
        elif kind == 3:
            inner[key] = near(inner[key], dice)
        elif kind == 4 and inner is not holder:
            del inner[key]
        elif kind == 5:  # what stands somewhere else
            other, place = dice.choice(places(holder))
            inner[key] = copy.deepcopy(other[place])
        elif isinstance(inner, dict):
            inner[dice.choice([str(key) + "x", *(word for word in words if isinstance(word, str))])] = inner[key]
        else:
            inner.extend(copy.deepcopy(inner[:50]) * dice.choice((1, 1, 5)))
        if not holder:
            return None
    return holder[0]


def places(holder: Any) -> list[tuple[Any, Any]]:
    found: list[tuple[Any, Any]] = []
    waiting = [holder]
    while waiting and len(found) < 5000:
        inner = waiting.pop()
        keys = list(inner) if isinstance(inner, dict) else range(len(inner))
        for key in keys:
            found.append((inner, key))
            if isinstance(inner[key], (dict, list)):
                waiting.append(inner[key])
    return found


def near(value: Any, dice: random.Random) -> Any:
    """Something of the same type, close by."""
    if isinstance(value, bool):
        return not value
    if isinstance(value, (int, float)):
        return dice.choice((value + 1, value - 1, -value, value * 2, value * 1024, str(value), [value], value / 2))
    if isinstance(value, str):
        at = dice.randint(0, len(value))
        return (
            value[:at]
            + dice.choice(("", "x", "\x00", "é", "\\", "*", "+", "(", "[", " ", ".", "/", value))
            + value[at:]
        )
    return [value] if dice.random() < 0.5 else {"a": value}


def json_bytes(value: Any) -> bytes:
    return json.dumps(value, ensure_ascii=True).encode()


def json_mutator(words: list[Any]) -> Callable[[bytes, random.Random], bytes]:
    def mutate(data: bytes, dice: random.Random) -> bytes:
        try:
            value = json.loads(data)
        except (ValueError, RecursionError):
            return atheris.Mutate(data, 65536)
        return json_bytes(mutated(value, dice, HOSTILE + words))

    return mutate
