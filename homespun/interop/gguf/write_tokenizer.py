"""A tokenizer in the words of a GGUF file: what `gguf_tokenizer` reads, the other way round.

What llama.cpp cannot do is refused by name: a model that got other ids there than it was trained on would open
and write nonsense.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from homespun.errors import TokenizerError
from homespun.interop.gguf.characters import NO_MERGE, merges_of_characters, word_of
from homespun.interop.gguf.tokenizer import BOS_STAND_IN, CONTROL, NORMAL, STAND_IN, UNUSED, USER_DEFINED, WAYS
from homespun.interop.gguf.write_pieces import is_sentencepiece, pieces_settings, what_differs
from homespun.tokenizer.byte_level import byte_characters
from homespun.tokenizer.chat_template import template_of
from homespun.tokenizer.steps import pairs_of, steps_of
from homespun.tokenizer.tokenizer import Tokenizer

TODO = "Export it with --to merged. To have it in llama.cpp, train with --tokenizer char, byte, bpe or gpt2."
PLAIN_WAY = "smollm"  # how a text is cut where it makes no difference; it takes no spaces away either
# Without an end of text llama.cpp takes this id for it, where there are so many. (llama-vocab.cpp, model gpt2)
USUAL_END = 11
BOS, EOS = "tokenizer.ggml.bos_token_id", "tokenizer.ggml.eos_token_id"
NEVER_IN_TEXT = (0xFF, 0xFE, 0xC0, 0xC1)  # bytes that no text in UTF-8 has


@dataclass(frozen=True)
class Words:
    """The ordinary tokens by their ids, as llama.cpp spells them; the merges; how a text is cut before."""

    tokens: dict[int, str]
    merges: list[str]
    way: str


def tokenizer_settings(tokenizer: Tokenizer, *, rows: int, rarest: int) -> dict[str, Any]:
    """The settings `tokenizer.…` for a model whose table of tokens has that many rows.

    rarest: the token that the model writes least. Where the tokenizer has no end of text, llama.cpp takes some
    token for it in any case; that is the one that does no harm.
    Raises TokenizerError where llama.cpp has no such tokenizer.
    """
    content = json.loads(tokenizer.files()["tokenizer.json"])
    if is_sentencepiece(content):
        if reason := what_differs(content):
            raise refused(reason)
        settings = pieces_settings(content, rows)
    else:
        settings = byte_level_settings(content, rows)
    settings |= marks(tokenizer, rows) | end_of_text(tokenizer, settings["tokenizer.ggml.tokens"], rarest)
    settings = with_some_bos(settings)
    template = template_of(tokenizer.settings.get("chat_template"))
    return settings if template is None else {**settings, "tokenizer.chat_template": template}


def byte_level_settings(content: dict[str, Any], rows: int) -> dict[str, Any]:
    """Tokens, kinds and merges of a byte-pair encoding, or of characters. Raises TokenizerError."""
    check_text_is_left_alone(content)
    added = {token["id"]: token for token in content.get("added_tokens") or []}
    words = words_of(content, added.keys())
    named = {**words.tokens, **{id: token["content"] for id, token in added.items()}}
    return {
        "tokenizer.ggml.model": "gpt2",
        "tokenizer.ggml.pre": words.way,
        "tokenizer.ggml.tokens": [named.get(id, f"[PAD{id}]") for id in range(rows)],
        "tokenizer.ggml.token_type": [kind_of(id, words, added) for id in range(rows)],
        "tokenizer.ggml.merges": words.merges,
    }


def kind_of(id: int, words: Words, added: dict[int, Any]) -> int:
    if id in added:
        return CONTROL if added[id].get("special") else USER_DEFINED
    return NORMAL if id in words.tokens else UNUSED


def words_of(content: dict[str, Any], added: Any) -> Words:
    """The tokens of a byte-pair encoding, or of single characters. Raises TokenizerError for anything else."""
    model = content["model"]
    if model.get("type") != "BPE":
        raise refused(f"it is of the kind {model.get('type')}, and homespun writes llama.cpp's BPE")
    for name in ("continuing_subword_prefix", "end_of_word_suffix", "dropout"):
        if model.get(name):
            raise refused(f"it has a {name}")
    tokens = {id: token for token, id in model["vocab"].items() if id not in added}
    if are_characters(content, tokens):
        spelled = {id: word_of(tokens[id]) for id in sorted(tokens)}
        return Words(spelled, merges_of_characters(list(spelled.values())), PLAIN_WAY)
    if (content.get("decoder") or {}).get("type") != "ByteLevel":
        raise refused("its tokens are neither bytes, as GPT-2 writes them, nor single characters")
    merges = [" ".join(pair) for pair in pairs_of(model.get("merges") or [])]
    return Words(tokens, merges or [NO_MERGE], way_of(content) if merges else PLAIN_WAY)


def are_characters(content: dict[str, Any], tokens: dict[int, str]) -> bool:
    """Whether each token is a character, and a text nothing but its characters."""
    in_one_piece = not content.get("pre_tokenizer") and not content["model"].get("merges")
    return in_one_piece and all(len(token) == 1 for token in tokens.values())


def check_text_is_left_alone(content: dict[str, Any]) -> None:
    """Raises TokenizerError where a text is changed before it is cut, which llama.cpp would not do.

    NFC is let pass: llama.cpp leaves it out for Qwen's own files as well, and what people type is in NFC.
    """
    for step in steps_of(content.get("normalizer")):
        if step.get("type") not in ("NFC", "Sequence"):
            raise refused(f"it changes the text before it cuts it ({step.get('type')})")
    for token in content.get("added_tokens") or []:
        for name in ("lstrip", "rstrip", "single_word"):
            if token.get(name) and not token.get("special"):
                raise refused(f"its token {token['content'][:40]!r} has {name}")


def way_of(content: dict[str, Any]) -> str:
    """llama.cpp's name for how this tokenizer cuts a text into words. Raises TokenizerError."""
    for name, (steps, normalizer, ignore_merges) in WAYS.items():
        if (
            cuts(content.get("pre_tokenizer")) == cuts({"pretokenizers": steps})
            and cuts(content.get("normalizer")) == cuts(normalizer)
            and bool(content["model"].get("ignore_merges")) == ignore_merges
        ):
            return name
    raise refused(f"homespun knows no name of llama.cpp's for how it cuts a text into words ({', '.join(WAYS)})")


def cuts(part: Any) -> list[dict[str, Any]]:
    """The steps of a part of tokenizer.json in an order of their own, without what changes no ids.

    >>> cuts({"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True})
    [{'type': 'ByteLevel', 'use_regex': True, 'add_prefix_space': False}]
    """
    found = []
    for step in steps_of(part):
        if "type" in step and step["type"] != "Sequence":
            usual = {"type": "ByteLevel", "use_regex": True} if step["type"] == "ByteLevel" else {}
            found.append({**usual, **{name: step[name] for name in step if name != "trim_offsets"}})
    return found


def marks(tokenizer: Tokenizer, rows: int) -> dict[str, Any]:
    """The tokens with a role, and whether llama.cpp is to put the first of them before every text."""
    opening, stated = tokenizer.opening, tokenizer.special_ids
    if len(opening) > 1:
        raise refused(f"it puts {len(opening)} tokens before every text, and llama.cpp puts one")
    named = {"bos": "bos_token", "padding": "pad_token", "unknown": "unk_token"}
    ids = {role: tokenizer.special_tokens.get(tokenizer.settings.get(name, "")) for role, name in named.items()}
    ids["bos"] = first_of(*opening, stated.config.bos, stated.generation.bos, ids["bos"])
    ids["padding"] = first_of(stated.generation.pad, stated.config.pad, ids["padding"])
    settings: dict[str, Any] = {
        f"tokenizer.ggml.{role}_token_id": id for role, id in ids.items() if id is not None and id < rows
    }
    adds_end = tokenizer.settings.get("add_eos_token") is True
    return {**settings, "tokenizer.ggml.add_bos_token": bool(opening), "tokenizer.ggml.add_eos_token": adds_end}


def first_of(*ids: int | None) -> int | None:
    """The first that is one."""
    return next((id for id in ids if id is not None), None)


def ends_by_role(tokenizer: Tokenizer) -> dict[str, int]:
    """Role -> id, as far as the format has roles for the ends that the model names: it has three.

    eos ends a text, eot a turn, eom a message to a tool; to llama.cpp each ends what is written.
    """
    if not tokenizer.ends:
        return {}
    first, *others = tokenizer.ends
    others.sort(key=lambda id: "eom" in tokenizer.token(id))  # Llama 3 calls it so; the order is kept otherwise
    return dict(zip(("eos", "eot", "eom"), (first, *others), strict=False))


def end_of_text(tokenizer: Tokenizer, tokens: list[str], rarest: int) -> dict[str, Any]:
    """The tokens that end a text; where there is none, one that stands in for it, and a word that it does."""
    if tokenizer.ends:
        return {f"tokenizer.ggml.{role}_token_id": id for role, id in ends_by_role(tokenizer).items()}
    if len(tokens) <= USUAL_END:
        return {}
    letters = byte_characters()
    impossible = [letters[byte] for byte in NEVER_IN_TEXT if letters[byte] in tokens]
    stand_in = tokens.index(impossible[0]) if impossible else rarest
    return {EOS: stand_in, STAND_IN: True}


def with_some_bos(settings: dict[str, Any]) -> dict[str, Any]:
    """With an end of text instead of the BOS token, if there is none, and a note about it."""
    if BOS in settings:
        return {**settings, BOS_STAND_IN: False} if STAND_IN in settings else settings
    return {**settings, BOS: settings[EOS], BOS_STAND_IN: True} if EOS in settings else settings


def refused(reason: str) -> TokenizerError:
    return TokenizerError(f"llama.cpp has no tokenizer like that of this model: {reason}.", TODO)
