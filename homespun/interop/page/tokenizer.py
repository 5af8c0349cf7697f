"""A tokenizer as a page reads it (web/page/tokenizer): characters, bytes, byte pairs, or tokenizer.json.

Which of them it is follows from what the tokenizer does, not from its label.
"""

from __future__ import annotations

import json
import re
from typing import Any

from homespun.tokenizer.byte_level import byte_characters, has_affixes
from homespun.tokenizer.steps import pairs_of
from homespun.tokenizer.stream import decoder_steps
from homespun.tokenizer.tokenizer import Tokenizer

DIGITS = r"\p{N}"
# How GPT-2 splits a text, as the tokenizers library has it.
GPT2_WORDS = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"
# What JavaScript's regular expressions have under another name: (?i:…) of contractions is spelled out.
IGNORED_CASE = re.compile(r"\(\?i:([^()]*)\)")
CLASS = re.compile(r"\\[pP]\{\w+\}")


def tokenizer_data(tokenizer: Tokenizer) -> dict[str, Any]:
    """What stands in the page of it: `kind`, `special` (token -> id), and what the kind needs."""
    content = json.loads(tokenizer.files()["tokenizer.json"])
    special = tokenizer.special_tokens
    if alphabet := getattr(tokenizer, "alphabet", ""):
        return {"kind": "char", "alphabet": list(alphabet), "special": special}
    if tokenizer.kind == "byte":
        return {"kind": "byte", "special": special}
    pairs = byte_pairs(content, tokenizer)
    return {**(pairs or for_library(content, tokenizer)), "special": special}


def byte_pairs(content: dict[str, Any], tokenizer: Tokenizer) -> dict[str, Any] | None:
    """Vocabulary, merges and splits of a byte-level BPE; None where the tokenizer is something else."""
    model = content["model"]
    splits = splits_of(content.get("pre_tokenizer"))
    normalizers = [step["type"] for step in in_order(content.get("normalizer"))]
    vocabulary = model["vocab"]
    plain = (
        model.get("type") == "BPE"
        and not has_affixes(model)
        and not model.get("ignore_merges")
        and splits is not None
        and set(normalizers) <= {"NFC"}
        and all(character in vocabulary for character in byte_characters())
        and all(token["special"] for token in content.get("added_tokens") or [])
        and (content.get("decoder") or {}).get("type") == "ByteLevel"
    )
    if not plain:
        return None
    names = [""] * tokenizer.vocab_size
    for token, id in vocabulary.items():
        names[id] = token
    merges = [
        [vocabulary[left], vocabulary[right], vocabulary[left + right]]
        for left, right in pairs_of(model["merges"])
    ]
    return {"kind": "bpe", "vocab": names, "merges": merges, "splits": splits, "nfc": bool(normalizers)}


def splits_of(pre_tokenizer: dict[str, Any] | None) -> list[str] | None:
    """The regular expressions in JavaScript that split a text as these steps do; None where none would do."""
    splits: list[str] = []
    for step in in_order(pre_tokenizer):
        if step["type"] == "Digits" and step.get("individual_digits"):
            splits.append(DIGITS)
        elif step["type"] == "ByteLevel" and not step.get("add_prefix_space"):
            splits += [GPT2_WORDS] if step.get("use_regex", True) else []
        elif step["type"] == "Split" and step.get("behavior") == "Isolated" and not step.get("invert"):
            expression = step["pattern"].get("Regex")
            if expression is None or not is_the_same_elsewhere(expression):
                return None
            splits.append(IGNORED_CASE.sub(lambda found: f"(?:{either_case(found[1])})", expression))
        else:
            return None
    # \s of JavaScript knows another set of spaces.
    return [split.replace(r"\s", r"\p{White_Space}").replace(r"\S", r"\P{White_Space}") for split in splits]


def in_order(step: dict[str, Any] | None) -> list[dict[str, Any]]:
    """A step, or the steps of a sequence, in the order in which they are applied."""
    if not step:
        return []
    inner = step.get("pretokenizers") or step.get("normalizers")
    return [step] if inner is None else [one for part in inner for one in in_order(part)]


def is_the_same_elsewhere(expression: str) -> bool:
    """Whether JavaScript reads this expression of the tokenizers library (Oniguruma) in the same way.

    >>> is_the_same_elsewhere(r"(?i:'s|'t)| ?\\p{L}+|\\s+(?!\\S)"), is_the_same_elsewhere(r"\\p{L}++"), \
        is_the_same_elsewhere(r"\\A +")
    (True, False, False)
    """
    plain = IGNORED_CASE.sub("", expression)
    unknown_group = re.search(r"\(\?(?![:!=])", plain)
    possessive = re.search(r"[*+?}]\+", CLASS.sub("x", plain))
    escapes = set(re.findall(r"\\(.)", plain)) <= set("pPsSrntd.?*+|()[]{}\\")
    return not unknown_group and not possessive and escapes and "&&" not in plain


def either_case(alternatives: str) -> str:
    """
    >>> either_case("'s|'re")
    "'[sSſ]|'[rR][eE]"
    """
    others = {"s": "ſ", "k": "\N{KELVIN SIGN}"}  # of the same letter, in Unicode
    return "".join(
        f"[{c.lower()}{c.upper()}{others.get(c, '')}]" if c.isascii() and c.isalpha() else c for c in alternatives
    )


def for_library(content: dict[str, Any], tokenizer: Tokenizer) -> dict[str, Any]:
    """The tokenizer.json without its special tokens, which text never makes, and how ids become text."""
    json_file = {**content, "post_processor": None}
    json_file["added_tokens"] = [token for token in content.get("added_tokens") or [] if not token["special"]]
    steps = decoder_steps(tokenizer._backend.decoder)
    pieces = steps and {"byteFallback": steps["byte_fallback"], "strip": steps["strip"]}
    names = [tokenizer._backend.id_to_token(id) or "" for id in range(tokenizer.vocab_size)]
    return {"kind": "library", "json": json_file, "tokens": names, "pieces": pieces}
