"""What a tokenizer.json from elsewhere may do with a text before and after its model, and what it may not.

Its steps (normalizer, pre-tokenizer, post-processor, decoder) are a small program. Here those are refused that
would never end, that would make a page of text out of a letter, and that would crash the `tokenizers` library,
which says so in a trace of its own on the terminal. First by reading them, then by trying them on a few texts.
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
LARGEST_NUMBER = 2**20
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
            reason = step_problem(step)
            if reason:
                return f'in its "{part}", {step.get("type")} {reason}'
            growth *= growth_of(step)
        if growth > MOST_GROWTH:
            return f'its "{part}" makes a text {growth:,} times as long'
    return model_problem(content["model"])


def steps_of(step: Any) -> Iterator[dict[str, Any]]:
    """A step, and the steps that it is a sequence of. What is no step is the library's to refuse."""
    waiting = [step]
    while waiting:
        step = waiting.pop()
        if isinstance(step, dict):
            yield step
            for name in ("normalizers", "pretokenizers", "processors", "decoders"):
                inner = step.get(name)
                waiting += inner if isinstance(inner, list) else []


def step_problem(step: dict[str, Any]) -> str:
    pattern = step.get("pattern")
    if isinstance(pattern, dict) and isinstance(pattern.get("Regex"), str):
        reason = too_slow(pattern["Regex"])
        if reason:
            return f"has a regular expression that may take for ever: {reason}"
    for name in ("prepend", "append", "content"):
        value = step.get(name)
        if isinstance(value, str) and len(value) > LONGEST_ADDITION:
            return f"puts {len(value):,} characters into the text"
    for name in ("length", "start", "stop"):
        value = step.get(name, 1 if name == "length" else 0)
        least = 1 if name == "length" else 0
        if isinstance(value, int) and not least <= value <= LARGEST_NUMBER:
            return f"has {name} = {value}"
    kinds = {"TemplateProcessing": template_problem, "Precompiled": charsmap_problem}
    kind = step.get("type")
    return kinds[kind](step) if isinstance(kind, str) and kind in kinds else ""


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
    """Marks that the template speaks of and does not describe."""
    described = step.get("special_tokens")
    for side in ("single", "pair"):
        marks = step.get(side)
        for mark in marks if isinstance(marks, list) else []:
            special = mark.get("SpecialToken") if isinstance(mark, dict) else None
            name = special.get("id") if isinstance(special, dict) else None
            if isinstance(name, str) and isinstance(described, dict) and name not in described:
                return f"speaks of a mark {name[:40]!r} that it does not describe"
    return ""


def growth_of(step: dict[str, Any]) -> int:
    """How many characters a step can make of one."""
    content, pattern = step.get("content"), step.get("pattern")
    if step.get("type") != "Replace" or not isinstance(content, str) or not isinstance(pattern, dict):
        return 1
    found = pattern.get("String")
    if isinstance(found, str) and found:
        return max(1, -(-len(content) // len(found)))
    expression = pattern.get("Regex")
    if isinstance(expression, str) and not can_be_empty(expression):
        return max(1, len(content))
    return len(content) + 1  # something more between any two characters


def model_problem(model: dict[str, Any]) -> str:
    if model["type"] == "BPE":
        return merges_problem(model)
    longest = model.get("max_input_chars_per_word", 0)
    if model["type"] == "WordPiece" and isinstance(longest, int) and longest > LONGEST_WORDPIECE:
        return f"its max_input_chars_per_word is {longest:,}, and at most {LONGEST_WORDPIECE} are allowed"
    return ""


def merges_problem(model: dict[str, Any]) -> str:
    """The library cuts the prefix off the second token of a merge without looking whether it is there."""
    prefix, merges = model.get("continuing_subword_prefix"), model.get("merges")
    if not isinstance(prefix, str) or not prefix or not isinstance(merges, list):
        return ""
    for merge in merges:
        pair = merge.split(" ") if isinstance(merge, str) else merge
        if (
            isinstance(pair, list)
            and len(pair) == 2
            and isinstance(pair[1], str)
            and not pair[1].startswith(prefix)
        ):
            return (
                f"it merges {str(pair[0])[:40]!r} with {pair[1][:40]!r}, which does not begin with {prefix[:40]!r}"
            )
    return "" if prefix.isascii() else f"its continuing_subword_prefix is {prefix[:40]!r}"


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
