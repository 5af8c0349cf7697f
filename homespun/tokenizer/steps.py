"""What a tokenizer.json from elsewhere may do with a text before and after its model, and what it may not.

Its steps (normalizer, pre-tokenizer, post-processor, decoder) are a small program. Here those are refused that
would never end, that would make a page of text out of a letter, and that would crash the `tokenizers` library,
which says so in a trace of its own on the terminal. First by reading them, then by trying them on a few texts.

A step is judged by what is in it, not by its "type": the library takes it for whatever its parts fit.
"""

from __future__ import annotations

import base64
import time
from collections.abc import Iterator
from typing import Any

from tokenizers import Tokenizer as Backend

from homespun.tokenizer.patterns import can_be_empty, too_slow

PARTS = ("normalizer", "pre_tokenizer", "post_processor", "decoder")
MOST_STEPS = 100
MOST_GROWTH = 64  # characters out of one
LONGEST_ADDITION = 1000  # characters
# Characters are taken away at the end of no token (`stop`): of a token that is shorter, the library takes more
# than it has, and crashes. Those in use take away a space at the beginning.
NUMBERS = (("length", 1, 2**20), ("start", 0, 2**20), ("stop", 0, 0))
MOST_MERGES = 750_000  # Gemma has 580,604
LONGEST_WORDPIECE = 500  # characters: finding its pieces takes the cube of that in the worst case

KINDS_OF_TEXT = ("to be, or Not to be 16 don't\n", "a", " ", "7", "-", "\n", "漢", "\ufffd")
# Behind it stands what an expression might look for; without it, Oniguruma would not even begin.
BEHIND = "\0" + "".join(map(chr, range(1, 127)))
LONGEST_TRIAL = 1024  # characters, doubled from 16
MOST_SECONDS = 0.1  # a sound tokenizer takes a thousandth of it


def what_is_wrong(content: dict[str, Any]) -> str:
    """Why the content of a tokenizer.json is refused, as far as that can be read off; empty where it is sound."""
    for part in PARTS:
        steps = list(steps_of(content.get(part)))
        if len(steps) > MOST_STEPS:
            return f'its "{part}" has {len(steps)} steps'
        growth = 1
        for step in steps:
            if not isinstance(step, dict):
                return f'in its "{part}", a step is not an object'
            reason = step_problem(step)
            if reason:
                return f'in its "{part}", {step.get("type")} {reason}'
            growth *= growth_of(step)
        if growth > MOST_GROWTH:
            return f'its "{part}" makes a text {growth:,} times as long'
    return model_problem(content["model"])


def steps_of(step: Any) -> Iterator[Any]:
    """A step, and the steps that it is a sequence of, whatever they are; nothing where there is none."""
    waiting = [] if step is None else [step]
    while waiting:
        step = waiting.pop()
        yield step
        for name in ("normalizers", "pretokenizers", "processors", "decoders"):
            inner = step.get(name) if isinstance(step, dict) else None
            waiting += inner if isinstance(inner, list) else []


def step_problem(step: dict[str, Any]) -> str:
    pattern = step.get("pattern")
    if isinstance(pattern, dict) and isinstance(pattern.get("Regex"), str):
        reason = too_slow(pattern["Regex"])
        if reason:
            return f"has a regular expression that may take for ever: {reason}"
    if "content" in step and pattern_can_be_empty(pattern):
        return "replaces nothing by something, and at that the library loses count"
    for name in ("prepend", "append", "content"):
        value = step.get(name)
        if isinstance(value, str) and len(value) > LONGEST_ADDITION:
            return f"puts {len(value):,} characters into the text"
    for name, least, most in NUMBERS:
        value = step.get(name, least)
        if isinstance(value, int) and not least <= value <= most:
            return f"has {name} = {value}"
    if step.get("type") == "Precompiled" or "precompiled_charsmap" in step:
        return charsmap_problem(step)
    return template_problem(step) if "single" in step else ""


def pattern_can_be_empty(pattern: Any) -> bool:
    """Whether it matches between two characters as well. It is not one that is too slow."""
    if not isinstance(pattern, dict):
        return False
    expression = pattern.get("Regex")
    return pattern.get("String") == "" or (isinstance(expression, str) and can_be_empty(expression))


def charsmap_problem(step: dict[str, Any]) -> str:
    """The table begins with its own size, for which the library takes memory without looking at what follows."""
    charsmap = step.get("precompiled_charsmap")  # in base 64
    try:
        table = base64.b64decode(charsmap) if isinstance(charsmap, str) else b""
    except ValueError:
        return "has a table that is no base64"
    return table_problem(table)


def table_problem(table: bytes) -> str:
    """A precompiled table: four bytes with the length of a tree, the tree, and texts that end with a zero each."""
    size = int.from_bytes(table[:4], "little")
    if not 0 < size <= len(table) - 4:
        return f"says that its table has {size:,} bytes, and {len(table):,} are there"
    longest = max(map(len, table[4 + size :].split(b"\0")))
    return f"puts {longest:,} bytes into the text" if longest > LONGEST_ADDITION else ""


def template_problem(step: dict[str, Any]) -> str:
    """Marks that the template speaks of and does not describe, and a second text where there is only one."""
    described = step.get("special_tokens")
    for side in ("single", "pair"):
        parts = step.get(side)
        for part in parts if isinstance(parts, list) else []:
            mark, text = (
                part.get(kind) if isinstance(part, dict) else None for kind in ("SpecialToken", "Sequence")
            )
            name = next((one.get("id") for one in (mark, text) if isinstance(one, dict)), None)
            if not isinstance(name, str):
                return "has a template with a part that is neither a mark nor a text"
            if mark and isinstance(described, dict) and name not in described:
                return f"speaks of a mark {name[:40]!r} that it does not describe"
            if text and side == "single" and name != "A":
                return f"speaks of a text {name[:40]!r} where there is only A"
    return ""


def growth_of(step: dict[str, Any]) -> int:
    """How many characters a step that is sound can make of one."""
    content, pattern = step.get("content"), step.get("pattern")
    if not isinstance(content, str) or not isinstance(pattern, dict):
        return 1
    found = pattern.get("String")
    return max(1, -(-len(content) // len(found)) if isinstance(found, str) and found else len(content))


def model_problem(model: dict[str, Any]) -> str:
    if model["type"] == "BPE":
        return merges_problem(model)
    longest = model.get("max_input_chars_per_word", 0)
    if model["type"] == "WordPiece" and isinstance(longest, int) and longest > LONGEST_WORDPIECE:
        return f"its max_input_chars_per_word is {longest:,}, and at most {LONGEST_WORDPIECE} are allowed"
    return ""


def merges_problem(model: dict[str, Any]) -> str:
    """Merges of tokens that are none, or into one that is none: not all of them does the library expect.

    Of the second token it cuts the prefix off without looking whether it is there.
    """
    vocabulary, merges = model["vocab"], model.get("merges")
    prefix = model.get("continuing_subword_prefix")
    prefix = prefix if isinstance(prefix, str) else ""
    if not isinstance(merges, list):
        return ""
    if len(merges) > MOST_MERGES:
        return f"it has {len(merges):,} merges, and at most {MOST_MERGES:,} are read"
    for first, second in pairs_of(merges):
        if not second.startswith(prefix):
            return f"it merges {first[:40]!r} with {second[:40]!r}, which does not begin with {prefix[:40]!r}"
        for token in (first, second, first + second[len(prefix) :]):
            if token not in vocabulary:
                return f"it merges {first[:40]!r} with {second[:40]!r}, and has no token {token[:80]!r}"
    return "" if prefix.isascii() or not merges else f"its continuing_subword_prefix is {prefix[:40]!r}"


def pairs_of(merges: list[Any]) -> Iterator[tuple[str, str]]:
    """Both ways to write them. What is no pair is the library's to refuse; `#version` it takes for a heading.

    >>> list(pairs_of(["#version: 0.2", "t h", ["th", "e"]]))
    [('t', 'h'), ('th', 'e')]
    """
    for merge in merges:
        if isinstance(merge, str):
            merge = [] if merge.startswith("#version") else merge.split(" ")
        if isinstance(merge, list) and len(merge) == 2 and all(isinstance(token, str) for token in merge):
            yield merge[0], merge[1]


def try_out(backend: Backend) -> str:
    """Some of what is wrong shows only in use: why this tokenizer is refused, or nothing.

    Texts of growing length are encoded, so that one that takes for ever is found out while it still takes little.
    """
    backend.decode([])
    backend.decode([0], skip_special_tokens=False)
    for kind in KINDS_OF_TEXT:
        length = 16
        while length <= LONGEST_TRIAL:
            text = (kind * length)[:length] + BEHIND
            start = time.thread_time()
            if backend.normalizer is not None:
                text = backend.normalizer.normalize_str(text)
                if len(text) > MOST_GROWTH * (length + LONGEST_ADDITION):
                    return f"of {length} characters it makes {len(text):,}"
            if backend.pre_tokenizer is not None:
                backend.pre_tokenizer.pre_tokenize_str(text)
            seconds = time.thread_time() - start
            if seconds > MOST_SECONDS:
                return f"for {length} characters it takes {seconds:.1f} seconds"
            length *= 2
    return ""
