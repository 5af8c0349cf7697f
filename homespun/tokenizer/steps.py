r"""Decide which processing steps of a tokenizer.json, before and after its model, are known to be safe.

Its steps (normalizer, pre-tokenizer, post-processor, decoder) are a small program, and one from an unknown source
may never end. The steps that homespun writes are recognised here by their content, and so are those of GPT-2,
Llama 3 and Qwen 2. Every other tokenizer.json is first opened in a separate process (trial.py).

A step is recognised by all of its fields, not by its "type" alone, because the library accepts it as whatever
type the fields fit.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from homespun.tokenizer.byte_level import has_affixes

PARTS = ("normalizer", "pre_tokenizer", "post_processor", "decoder")
SEQUENCES = ("normalizers", "pretokenizers", "processors", "decoders")

BYTES: dict[str, Any] = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": True}
DIGITS = {"type": "Digits", "individual_digits": True}
NFC = {"type": "NFC"}
CONTRACTIONS = "(?i:'s|'t|'re|'ve|'m|'ll|'d)"
LLAMA_3 = CONTRACTIONS + r"|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
# The words of o200k_base, which GPT-4o and Phi-4-mini have: they begin anew with a capital letter.
_UPPER, _LOWER = r"\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}", r"\p{Ll}\p{Lm}\p{Lo}\p{M}"
O200K = "|".join(
    (
        rf"[^\r\n\p{{L}}\p{{N}}]?[{_UPPER}]*[{_LOWER}]+{CONTRACTIONS}?",
        rf"[^\r\n\p{{L}}\p{{N}}]?[{_UPPER}]+[{_LOWER}]*{CONTRACTIONS}?",
        r"\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+",
    )
)
QWEN_2 = LLAMA_3.replace(r"\p{N}{1,3}", r"\p{N}")

# The steps of SentencePiece models (sentencepiece.py).
SPACE = "▁"
OUTER_SPACES = rf"\A +|[ {SPACE}]+\z"
SPACES = " {2,}"
WORDS = f"{SPACE}*[^{SPACE}]+|{SPACE}+"
_CHARACTERS = r"(?:\\x\{[0-9a-f]+\})+"
_SYMBOLS = rf"{_CHARACTERS}(?:\|{_CHARACTERS})*"
SYMBOLS = re.compile(
    rf"{_SYMBOLS}(?:\|\(\?:\(\?!{_SYMBOLS}\)\[\^{_CHARACTERS}\]\)\+)?|\(\?:\[\^{_CHARACTERS}\]\)\+"
)
MOST_SYMBOLS = 2**14  # characters of such an expression; each character of a text is compared with all of it

SETTINGS = ("add_prefix_space", "trim_offsets", "use_regex", "individual_digits")  # booleans
WITH_SETTINGS = ("ByteLevel", "Digits", "NFC", "ByteFallback", "Fuse")
MODEL_FIELDS = {
    *("type", "vocab", "merges", "unk_token", "unk_id", "dropout", "fuse_unk", "byte_fallback", "ignore_merges"),
    *("continuing_subword_prefix", "end_of_word_suffix"),
}


def split(expression: str) -> dict[str, Any]:
    """Return the pre-tokenizer that splits a text into the matches of a regular expression and the rest."""
    return {"type": "Split", "pattern": {"Regex": expression}, "behavior": "Isolated", "invert": False}


def words(expression: str) -> list[dict[str, Any]]:
    """Return the pre-tokenizers that split a text into such words, and then write the bytes of each."""
    return [split(expression), {**BYTES, "use_regex": False}]


def replace(pattern: dict[str, str], content: str) -> dict[str, Any]:
    return {"type": "Replace", "pattern": pattern, "content": content}


KNOWN_STEPS = (
    *(split(expression) for expression in (LLAMA_3, QWEN_2, O200K, WORDS)),
    replace({"String": "\r\n"}, "\n\n"),
    replace({"Regex": OUTER_SPACES}, ""),
    replace({"Regex": SPACES}, " "),
    replace({"String": " "}, SPACE),
    replace({"String": SPACE}, " "),
    {"type": "Prepend", "prepend": SPACE},
    {"type": "Strip", "content": " ", "start": 1, "stop": 0},
)


def is_known(content: dict[str, Any]) -> bool:
    """Return whether all steps of this tokenizer.json are known to be safe, so that it needs no trial."""
    model = content["model"]
    return (
        set(model) <= MODEL_FIELDS
        and model["type"] in ("BPE", "Unigram")
        and not has_affixes(model)
        and all(is_known_step(step) for part in PARTS for step in steps_of(content.get(part)))
        and merges_are_tokens(model)
    )


def is_known_step(step: Any) -> bool:
    """
    >>> is_known_step({"type": "NFC"}), is_known_step({"type": "NFC", "precompiled_charsmap": "/////w=="})
    (True, False)
    """
    if not isinstance(step, dict):
        return False
    fields = {name: value for name, value in step.items() if name != "type"}
    match step.get("type"):
        case "Sequence":
            return len(fields) == 1 and any(isinstance(fields.get(name), list) for name in SEQUENCES)
        case "TemplateProcessing":
            return is_known_template(step)
        case kind if kind in WITH_SETTINGS:
            return all(name in SETTINGS and isinstance(value, bool) for name, value in fields.items())
    pattern = step.get("pattern")
    expression = pattern.get("Regex") if isinstance(pattern, dict) else None
    if isinstance(expression, str) and len(expression) <= MOST_SYMBOLS and SYMBOLS.fullmatch(expression):
        return step == split(expression)
    return step in KNOWN_STEPS


def opening_template(token: str, id: int) -> dict[str, Any]:
    """Return the post-processor that adds one token before every text."""
    special, text = {"SpecialToken": {"id": token, "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}
    return {
        "type": "TemplateProcessing",
        "single": [special, text],
        "pair": [special, text, special, {"Sequence": {"id": "B", "type_id": 0}}],
        "special_tokens": {token: {"id": token, "ids": [id], "tokens": [token]}},
    }


def is_known_template(step: dict[str, Any]) -> bool:
    tokens = step.get("special_tokens")
    if not isinstance(tokens, dict) or len(tokens) != 1:
        return False
    token, described = next(iter(tokens.items()))
    ids = described.get("ids") if isinstance(described, dict) else None
    return isinstance(ids, list) and len(ids) == 1 and step == opening_template(token, ids[0])


def merges_are_tokens(model: dict[str, Any]) -> bool:
    """Return whether both parts and the result of each merge are tokens; for any other the library crashes."""
    merges, vocabulary = model.get("merges") or [], model["vocab"]
    return isinstance(merges, list) and all(
        first in vocabulary and second in vocabulary and first + second in vocabulary
        for first, second in pairs_of(merges)
    )


def steps_of(step: Any) -> Iterator[Any]:
    """Yield a step and, if it is a sequence, its steps at all levels, without checking them; nothing for None."""
    waiting = [] if step is None else [step]
    while waiting:
        step = waiting.pop()
        yield step
        for name in SEQUENCES:
            inner = step.get(name) if isinstance(step, dict) else None
            waiting += inner if isinstance(inner, list) else []


def pairs_of(merges: list[Any]) -> Iterator[tuple[str, str]]:
    """Yield merges in either notation as pairs.

    The library itself rejects what is not a pair; it takes `#version` for a heading.

    >>> list(pairs_of(["#version: 0.2", "t h", ["th", "e"]]))
    [('t', 'h'), ('th', 'e')]
    """
    for merge in merges:
        if isinstance(merge, str):
            merge = [] if merge.startswith("#version") else merge.split(" ")
        if isinstance(merge, list) and len(merge) == 2 and all(isinstance(token, str) for token in merge):
            yield merge[0], merge[1]
