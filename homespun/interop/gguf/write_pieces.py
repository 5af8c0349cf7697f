"""A SentencePiece tokenizer as llama.cpp has it: pieces with kinds and scores, and no merges.

llama.cpp joins those two neighbours whose piece has the best score, and again; `tokenizers` carries out the
merges of a list in their order. Where the list is the order of the scores, both come to the same, and the scores
can be had back from the list.
"""

from __future__ import annotations

import re
from typing import Any

from homespun.interop.gguf.tokenizer import BYTE, CONTROL, NORMAL, UNKNOWN_KIND, UNUSED, USER_DEFINED
from homespun.tokenizer.steps import SYMBOLS, pairs_of, steps_of

SPACE = "▁"
CODE_POINT = re.compile(r"\\x\{([0-9a-f]+)\}")
BYTE_PIECE = re.compile(r"<0x[0-9A-F]{2}>")
LEAST = -1e9  # of a piece that no merge leads to: single characters


def is_sentencepiece(content: dict[str, Any]) -> bool:
    """Whether this tokenizer.json is a BPE model of SentencePiece's, with a piece for every byte."""
    model = content["model"]
    return model.get("type") == "BPE" and bool(model.get("byte_fallback")) and has_bytes(model["vocab"])


def has_bytes(vocabulary: dict[str, int]) -> bool:
    return all(f"<0x{byte:02X}>" in vocabulary for byte in range(256))


def what_differs(content: dict[str, Any]) -> str:
    """What this tokenizer does to a text that llama.cpp would not do; empty where it does nothing else."""
    space = {"type": "Replace", "pattern": {"String": " "}, "content": SPACE}
    for step in steps_of(content.get("normalizer")):
        if step.get("type") != "Sequence" and step not in (space, {"type": "Prepend", "prepend": SPACE}):
            return f"it changes the text before it cuts it ({step.get('type')})"
    for token in content.get("added_tokens") or []:
        if not token.get("special") and any(token.get(name) for name in ("lstrip", "rstrip", "single_word")):
            return f"its word {token['content'][:20]!r} takes what stands beside it"
    for step in steps_of(content.get("pre_tokenizer")):
        if step.get("type") == "Metaspace" and step.get("replacement") != SPACE:
            return f"it writes a space as {str(step.get('replacement'))[:20]!r}"
    if content["model"].get("ignore_merges") and not symbols_of(content):
        return "a word that is a token skips its merges"
    return ""


def symbols_of(content: dict[str, Any]) -> set[str]:
    """The pieces that a user defined, where this tokenizer.json was made from a SentencePiece model."""
    for step in steps_of(content.get("pre_tokenizer")):
        pattern = step.get("pattern") if isinstance(step, dict) else None
        expression = pattern.get("Regex") if isinstance(pattern, dict) else None
        if isinstance(expression, str) and SYMBOLS.fullmatch(expression):
            alternatives = expression.partition("|(?:")[0].split("|")
            return {CODE_POINT.sub(lambda one: chr(int(one[1], 16)), one) for one in alternatives if one[0] != "("}
    return set()


def pieces_settings(content: dict[str, Any], rows: int) -> dict[str, Any]:
    """The settings `tokenizer.ggml.…` of such a tokenizer, for a table of so many rows."""
    model = content["model"]
    pieces = {id: piece for piece, id in model["vocab"].items()}
    added = {token["id"]: token for token in content.get("added_tokens") or []}
    special = {id: token["content"] for id, token in added.items()}
    symbols = symbols_of(content)
    scores = scores_of(model)
    unknown = model.get("unk_token")

    def kind(id: int) -> int:
        piece = special.get(id, pieces.get(id))
        if piece is None:
            return UNUSED
        if piece == unknown:
            return UNKNOWN_KIND
        if piece in symbols or (id in added and not added[id].get("special")):
            return USER_DEFINED
        return CONTROL if id in special else BYTE if BYTE_PIECE.fullmatch(piece) else NORMAL

    def written(id: int) -> str:
        """A piece that a user defined is found in the text as it is there, before spaces are written otherwise."""
        piece = str(special.get(id, pieces.get(id, f"[PAD{id}]")))
        return piece.replace(SPACE, " ") if kind(id) == USER_DEFINED else piece

    return {
        "tokenizer.ggml.model": "llama",
        "tokenizer.ggml.pre": "default",
        "tokenizer.ggml.tokens": [written(id) for id in range(rows)],
        "tokenizer.ggml.scores": [scores.get(pieces.get(id, ""), LEAST) for id in range(rows)],
        "tokenizer.ggml.token_type": [kind(id) for id in range(rows)],
        "tokenizer.ggml.add_space_prefix": begins_with_space(content),
    }


def begins_with_space(content: dict[str, Any]) -> bool:
    """Whether a space is put before a text: by a step of its own, or by Metaspace, as newer files have it."""
    prepends = any(step.get("type") == "Prepend" for step in steps_of(content.get("normalizer")))
    return prepends or spares_spaces(content)


def spares_spaces(content: dict[str, Any]) -> bool:
    """Whether a space is put before a text only where it does not begin with one, as Metaspace does it.

    SentencePiece and llama.cpp put one there in any case.
    """
    for step in steps_of(content.get("pre_tokenizer")):
        if step.get("type") == "Metaspace":  # older files say add_prefix_space
            scheme = step.get("prepend_scheme", "always" if step.get("add_prefix_space", True) else "never")
            return bool(scheme != "never")
    return False


def scores_of(model: dict[str, Any]) -> dict[str, float]:
    """Piece -> score: the earlier a merge leads to it, the better.

    >>> scores_of({"merges": ["a b", "c d", "ab c", "a bc"]})
    {'ab': -0.0, 'cd': -1.0, 'abc': -2.0}
    """
    places: dict[str, int] = {}
    for first, second in pairs_of(model.get("merges") or []):
        places.setdefault(first + second, len(places))
    return {piece: -float(place) for piece, place in places.items()}
