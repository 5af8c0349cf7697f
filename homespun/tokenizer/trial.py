"""`python -m homespun.tokenizer.trial`: uses a tokenizer from elsewhere before the user's process does.

A tokenizer.json can hold a regular expression that never ends, ask for all memory there is, and crash the
`tokenizers` library. Here that happens to a process of its own, with limits on memory and on the processor's work
that no sound tokenizer comes near. Within these no time decides, only how the work grows with the text. What has
passed is remembered in the user's cache by its hash.
"""

from __future__ import annotations

import gc
import hashlib
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import partial
from itertools import cycle, islice
from pathlib import Path
from typing import Any

import tokenizers

from homespun.errors import TokenizerError, WriteFailed
from homespun.fetch.cache import cache_folder

MOST_WORK = 60  # seconds of the processor; the largest tokenizer in use (262,144 ids) takes 3
MOST_MEMORY = 3 * 2**29  # bytes; it takes a fifth of that
MOST_WAITING = 900  # seconds, for a process that the computer leaves no time to work

# Texts of one character or word over and over, where sound expressions may take the square of the length, as
# `\d{1,3}(?=(?:\d{3})*\b)` does; and prose, where none does. Lengths in characters; growth for twice the text.
RUNS = ("a", " ", "7", "-", "\n", "漢", "\ufffd")
LONGEST_RUN, MOST_GROWTH_OF_RUNS = 2**12, 2**2.5
PROSE = (
    "In the beginning, 16 or 17 quick brown foxes (mine & yours) jumped over the lazy dog's back; who - if\n"
    "anyone - would’ve thought “that”?\tYes: you did…\nЕщё в 1999 году, как говорят, жил-был царь; и было у него\n"
    "три сына, да кот.\n«Ça va», dit-il, où est-ce qu'on va très tôt demain matin avec l'été ?\n"
    "人之初，性本善。性相近，习相远。苟不教，性乃迁。 def f(x):\n    return x ** 2  # 😀\n"
)
LONGEST_PROSE, MOST_GROWTH_OF_PROSE = 2**16, 2**1.5
WORTH_COMPARING = 0.25  # seconds of the processor: growth is no matter below it. Most take a tenth for all texts

MOST_KINDS = 64  # characters and words of its own expressions that are tried as well
MOST_TIMES, MOST_ADDED = 64, 1000  # as long may a text become, and so many characters longer


def trial(content: dict[str, Any], serialized: str, name: str) -> str:
    """Why this tokenizer.json cannot be used; empty where it can.

    serialized: the content as the library is to read it. name: what the user calls the file.
    Raises TokenizerError where the trial could not be held.
    """
    passed = _place(serialized)
    if passed is not None and passed.exists():
        return ""
    order = f"{json.dumps([MOST_WORK, list(expressions(content))])}\n{serialized}"
    paths = os.pathsep.join(filter(None, sys.path))
    try:
        done = subprocess.run(
            [sys.executable, "-m", __name__],
            input=order.encode(),
            capture_output=True,
            timeout=MOST_WAITING,
            check=False,
            env=os.environ | {"PYTHONPATH": paths, "TOKENIZERS_PARALLELISM": "false"},
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise not_held(name, str(error)) from error
    reason = outcome(done.returncode, done.stdout, done.stderr.decode(errors="replace"), name)
    if not reason and passed is not None:
        passed.touch()
    return reason


def outcome(code: int, answer: bytes, trace: str, name: str) -> str:
    """What the end of the other process says of the tokenizer."""
    if code == 0:
        return str(json.loads(answer))
    if "memory allocation of" in trace:
        return TOO_MUCH_MEMORY
    if code == -getattr(signal, "SIGXCPU", 0):
        return f"it had not come to an end after {MOST_WORK} seconds of work on a page of text"
    if code < 0 and code != -getattr(signal, "SIGKILL", 0):  # with which a system short of memory ends a process
        return f"the tokenizers library crashes with it ({signal.Signals(-code).name})"
    raise not_held(name, trace.strip().rpartition("\n")[2][:200] or f"the process for it ended with {code}")


def not_held(name: str, why: str) -> TokenizerError:
    return TokenizerError(
        f"{name} comes from elsewhere, and could not be tried in a process of its own: {why.rstrip('.')}.",
        "Try again when the computer has less to do and more memory free.",
    )


def expressions(part: Any) -> Iterator[str]:
    """The regular expressions in the steps of a tokenizer.json.

    >>> list(expressions({"model": {}, "normalizer": {"pattern": {"Regex": "a+"}, "content": "a"}}))
    ['a+']
    """
    inner = [part[name] for name in part if name != "model"] if isinstance(part, dict) else part
    for value in inner if isinstance(inner, list) else []:
        yield from expressions(value)
    if isinstance(part, dict) and isinstance(part.get("Regex"), str):
        yield part["Regex"]


def _place(serialized: str) -> Path | None:
    """The file that is there when this tokenizer has passed; None where nothing can be remembered."""
    judge = tokenizers.__version__.encode() + Path(__file__).read_bytes()
    try:
        return cache_folder("tokenizers") / hashlib.sha256(judge + serialized.encode()).hexdigest()
    except WriteFailed:
        return None


# What follows runs in the process of its own.

TOO_MUCH_MEMORY = f"it takes more than {MOST_MEMORY / 1e9:.0f} GB of memory"


def main() -> None:
    gc.disable()
    most_work, found = json.loads(sys.stdin.readline())
    limit_this_process(most_work)
    sys.stdout.write(json.dumps(judged(sys.stdin.read(), found)))


def limit_this_process(most_work: int) -> None:
    try:
        import resource
    except ImportError:
        return  # Windows has none of this; there only MOST_WAITING holds
    for kind, most in (
        (resource.RLIMIT_AS, MOST_MEMORY),
        (resource.RLIMIT_CPU, most_work),
        (resource.RLIMIT_CORE, 0),
    ):
        hard = resource.getrlimit(kind)[1]
        try:
            resource.setrlimit(kind, (most if hard == resource.RLIM_INFINITY else min(most, hard), hard))
        except (OSError, ValueError):
            continue  # macOS knows no limit on memory


def judged(serialized: str, found: list[str]) -> str:
    """Why the tokenizer is refused, or nothing. found: the regular expressions in it."""
    doing = "does not accept it"
    try:
        backend = tokenizers.Tokenizer.from_str(serialized)
        doing = "fails when it is used"
        return used(backend, found)
    except MemoryError:
        return TOO_MUCH_MEMORY
    except BaseException as error:  # the library raises Exception and, where it panics, no Exception
        if not isinstance(error, Exception) and type(error).__name__ != "PanicException":
            raise
        return f"the tokenizers library {doing} ({error})"


def used(backend: tokenizers.Tokenizer, found: list[str]) -> str:
    """Decodes every token, then encodes and decodes texts that become longer and longer."""
    backend.encode_special_tokens = True
    vocabulary = dict(sorted(backend.get_vocab().items()))  # the library gives them in an order by chance
    for ids in ([], *([id] for id in vocabulary.values())):
        backend.decode(ids, skip_special_tokens=False)
    words = [re.sub(r"\W", "", expression) for expression in found]
    letters = list(dict.fromkeys("".join(found).encode(errors="ignore").decode()))
    # Behind it stands what an expression might look for; without it, Oniguruma would not even begin.
    behind = "".join([*map(chr, range(127)), *letters])

    def work(kind: str, length: int) -> tuple[float, int]:
        """(seconds of the processor, how many times as long as before a text became)."""
        text = (kind * length)[:length] + behind
        tokens = [*islice(cycle([kind] if kind in vocabulary else vocabulary), length), *islice(vocabulary, 100)]
        start, times = time.process_time(), 0
        if backend.normalizer is not None:
            times = excess(len(backend.normalizer.normalize_str(text)), len(text))
        decoded = backend.decode([vocabulary[token] for token in tokens], skip_special_tokens=False)
        with suppress(
            Exception
        ):  # no panic: it has no id for some character, which shows after all steps are done
            backend.encode(text)
        return time.process_time() - start, max(times, excess(len(decoded), sum(map(len, tokens))))

    for kind in dict.fromkeys([*RUNS, *filter(None, (letters + words)[:MOST_KINDS])]):
        if reason := grown(partial(work, kind), LONGEST_RUN, MOST_GROWTH_OF_RUNS):
            return f"{reason} ({kind[:20]!r} over and over)"
    return grown(partial(work, PROSE), LONGEST_PROSE, MOST_GROWTH_OF_PROSE)


def grown(work: Callable[[int], tuple[float, int]], longest: int, most: float) -> str:
    """Why it is refused: it works too much on texts of some kind, or makes too much of them."""
    length, before = 16, 0.0
    while length <= longest:
        seconds, times = work(length)
        if times > MOST_TIMES:
            return f"it makes a text {times:,} times as long"
        if seconds > max(WORTH_COMPARING, most * before) and all(
            work(length)[0] > most * work(length // 2)[0] for _ in range(3)
        ):
            return f"it may take for ever: {length:,} characters are far more than twice the work of half as many"
        length, before = 2 * length, seconds
    return ""


def excess(became: int, length: int) -> int:
    return max(0, became - MOST_ADDED) // max(length, 1)


if __name__ == "__main__":
    main()
