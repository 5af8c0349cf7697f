"""`python -m homespun.tokenizer.trial`: try a tokenizer from elsewhere in a process of its own.

A tokenizer.json can contain a regular expression that never ends, allocate all memory, or crash the `tokenizers`
library. Here that happens in a separate process, with limits on memory and CPU time that no sound tokenizer comes
near. Below these limits the result does not depend on elapsed time, only on how the work grows with the length of
the text. Tokenizers that passed are recorded in the user's cache by their hash.
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

MOST_WORK = 60  # seconds of CPU time; the largest tokenizer in use (262,144 ids) takes 3
MOST_MEMORY = 3 * 2**29  # bytes; the same tokenizer takes a fifth of that
MOST_WAITING = 900  # seconds of elapsed time, for a process that gets no CPU time

# Texts that repeat one character or word, for which sound expressions may take quadratic time, as
# `\d{1,3}(?=(?:\d{3})*\b)` does; and prose, for which none does. Lengths in characters; growth of the work when
# the length doubles.
RUNS = ("a", " ", "7", "-", "\n", "漢", "\ufffd")
LONGEST_RUN, MOST_GROWTH_OF_RUNS = 2**12, 2**2.5
PROSE = (
    "In the beginning, 16 or 17 quick brown foxes (mine & yours) jumped over the lazy dog's back; who - if\n"
    "anyone - would’ve thought “that”?\tYes: you did…\nЕщё в 1999 году, как говорят, жил-был царь; и было у него\n"
    "три сына, да кот.\n«Ça va», dit-il, où est-ce qu'on va très tôt demain matin avec l'été ?\n"
    "人之初，性本善。性相近，习相远。苟不教，性乃迁。 def f(x):\n    return x ** 2  # 😀\n"
)
LONGEST_PROSE, MOST_GROWTH_OF_PROSE = 2**16, 2**1.5
# seconds of CPU time; growth does not matter below it. Most tokenizers take a tenth for all texts
WORTH_COMPARING = 0.25

MOST_KINDS = 64  # characters and words from its own expressions that are also tried
MOST_TIMES, MOST_ADDED = 64, 1000  # a text may become this many times as long, plus this many characters


def trial(content: dict[str, Any], serialized: str, name: str) -> str:
    """Return why this tokenizer.json cannot be used; "" if it can.

    serialized: the content as the library will read it. name: the user's name for the file.
    Raises TokenizerError if the trial could not be run.
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
    """Return what the exit of the other process means for the tokenizer."""
    if code == 0:
        return str(json.loads(answer))
    if "memory allocation of" in trace:
        return TOO_MUCH_MEMORY
    if code == -getattr(signal, "SIGXCPU", 0):
        return f"it had not come to an end after {MOST_WORK} seconds of work on a page of text"
    # SIGKILL does not count: a system that is short of memory ends processes with it
    if code < 0 and code != -getattr(signal, "SIGKILL", 0):
        return f"the tokenizers library crashes with it ({signal.Signals(-code).name})"
    raise not_held(name, trace.strip().rpartition("\n")[2][:200] or f"the process for it ended with {code}")


def not_held(name: str, why: str) -> TokenizerError:
    return TokenizerError(
        f"{name} comes from elsewhere, and could not be tried in a process of its own: {why.rstrip('.')}.",
        "Try again when the computer has less to do and more memory free.",
    )


def expressions(part: Any) -> Iterator[str]:
    """Yield the regular expressions in the steps of a tokenizer.json.

    >>> list(expressions({"model": {}, "normalizer": {"pattern": {"Regex": "a+"}, "content": "a"}}))
    ['a+']
    """
    inner = [part[name] for name in part if name != "model"] if isinstance(part, dict) else part
    for value in inner if isinstance(inner, list) else []:
        yield from expressions(value)
    if isinstance(part, dict) and isinstance(part.get("Regex"), str):
        yield part["Regex"]


def _place(serialized: str) -> Path | None:
    """Return the file that records that this tokenizer has passed; None if there is no writable cache."""
    judge = tokenizers.__version__.encode() + Path(__file__).read_bytes()
    try:
        return cache_folder("tokenizers") / hashlib.sha256(judge + serialized.encode()).hexdigest()
    except WriteFailed:
        return None


# The rest runs in the separate process.

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
        return  # Windows has no such limits; there only MOST_WAITING applies
    for kind, most in (
        (resource.RLIMIT_AS, MOST_MEMORY),
        (resource.RLIMIT_CPU, most_work),
        (resource.RLIMIT_CORE, 0),
    ):
        hard = resource.getrlimit(kind)[1]
        try:
            resource.setrlimit(kind, (most if hard == resource.RLIM_INFINITY else min(most, hard), hard))
        except (OSError, ValueError):
            continue  # macOS has no limit on memory


def judged(serialized: str, found: list[str]) -> str:
    """Return why the tokenizer is refused, or "". found: the regular expressions in it."""
    doing = "does not accept it"
    try:
        backend = tokenizers.Tokenizer.from_str(serialized)
        doing = "fails when it is used"
        return used(backend, found)
    except MemoryError:
        return TOO_MUCH_MEMORY
    # the library raises Exception or, if it panics, PanicException, which is not an Exception
    except BaseException as error:
        if not isinstance(error, Exception) and type(error).__name__ != "PanicException":
            raise
        return f"the tokenizers library {doing} ({error})"


def used(backend: tokenizers.Tokenizer, found: list[str]) -> str:
    """Decode every token, then encode and decode texts of increasing length."""
    backend.encode_special_tokens = True
    vocabulary = dict(sorted(backend.get_vocab().items()))  # the library returns them in random order
    for ids in ([], *([id] for id in vocabulary.values())):
        backend.decode(ids, skip_special_tokens=False)
    words = [re.sub(r"\W", "", expression) for expression in found]
    letters = list(dict.fromkeys("".join(found).encode(errors="ignore").decode()))
    # This suffix contains what an expression may search for; without it, Oniguruma would skip the search.
    behind = "".join([*map(chr, range(127)), *letters])

    def work(kind: str, length: int) -> tuple[float, int]:
        """Return (seconds of CPU time, how many times longer a text became)."""
        text = (kind * length)[:length] + behind
        tokens = [*islice(cycle([kind] if kind in vocabulary else vocabulary), length), *islice(vocabulary, 100)]
        start, times = time.process_time(), 0
        if backend.normalizer is not None:
            times = excess(len(backend.normalizer.normalize_str(text)), len(text))
        decoded = backend.decode([vocabulary[token] for token in tokens], skip_special_tokens=False)
        with suppress(
            Exception
        ):  # not a panic: a character has no id, which is only detected after all steps have run
            backend.encode(text)
        return time.process_time() - start, max(times, excess(len(decoded), sum(map(len, tokens))))

    for kind in dict.fromkeys([*RUNS, *filter(None, (letters + words)[:MOST_KINDS])]):
        if reason := grown(partial(work, kind), LONGEST_RUN, MOST_GROWTH_OF_RUNS):
            return f"{reason} ({kind[:20]!r} over and over)"
    return grown(partial(work, PROSE), LONGEST_PROSE, MOST_GROWTH_OF_PROSE)


def grown(work: Callable[[int], tuple[float, int]], longest: int, most: float) -> str:
    """Return why it is refused: its work or its output grows too much with texts of some kind; else ""."""
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
