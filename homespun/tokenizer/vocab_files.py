"""A byte-level tokenizer as folders had it before tokenizer.json: vocab.json and merges.txt, as a tokenizer.json.

The two files say nothing about how a text is cut into words; the class that tokenizer_config.json names does.
Where there is no such file, as in the first folders, it is GPT-2's way.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from homespun.errors import TokenizerError
from homespun.tokenizer.json_file import LARGEST_FILE, read_json_object, wrong
from homespun.tokenizer.steps import BYTES, NFC, QWEN_2, opening_template, words
from homespun.tokenizer.tokenizer import END_OF_TEXT

VOCABULARY, MERGES = "vocab.json", "merges.txt"
ADDED = "added_tokens.json"  # token -> id

GPT2_CLASSES = {"GPT2Tokenizer", "CodeGenTokenizer", "PreTrainedTokenizer", "TokenizersBackend"}
QWEN2_CLASSES = {"Qwen2Tokenizer"}


def has_vocabulary(folder: Path) -> bool:
    return (folder / VOCABULARY).is_file() and (folder / MERGES).is_file()


def content_of(folder: Path, said: dict[str, Any], named: dict[str, str]) -> dict[str, Any]:
    """Return what would stand in the tokenizer.json of these files.

    said: the content of tokenizer_config.json. named: role -> token, for the tokens that the settings name.
    Raises TokenizerError for files that are damaged, and for a class whose way to cut words is not known here.
    """
    ids = read_json_object(folder / VOCABULARY, LARGEST_FILE)
    normalizer, pre_tokenizer = way_of(folder, said)
    added = added_tokens(folder, said, named, ids)
    first = named.get("bos_token", "")
    opens = said.get("add_bos_token") is True and first in added
    return {
        "version": "1.0",
        "added_tokens": [added[token] for token in sorted(added, key=lambda token: added[token]["id"])],
        "normalizer": normalizer,
        "pre_tokenizer": pre_tokenizer,
        "post_processor": opening_template(first, added[first]["id"]) if opens else None,
        "decoder": BYTES,
        "model": {"type": "BPE", "vocab": ids, "merges": merges_in(folder / MERGES), "unk_token": None},
    }


def merges_in(path: Path) -> list[list[str]]:
    """Return the pairs of a merges.txt, in order. Raises TokenizerError."""
    try:
        if path.stat().st_size > LARGEST_FILE:
            raise wrong(path, f"it has {path.stat().st_size / 1e6:,.0f} MB")
        lines = path.read_text(encoding="utf-8-sig").split("\n")
    except OSError as error:
        raise TokenizerError(f"{path} cannot be read: {error.strerror or error}.", "Check the path.") from error
    except UnicodeDecodeError as error:
        raise wrong(path, f"it is not UTF-8 ({error})") from error
    if lines and lines[0].startswith("#version"):
        lines = lines[1:]
    merges = []
    for number, line in enumerate((line.rstrip("\r") for line in lines), start=1):
        pair = line.split(" ")
        if line and (len(pair) != 2 or not all(pair)):
            raise wrong(path, f"merge {number:,} is {line[:40]!r}, which is no pair of tokens")
        if line:
            merges.append(pair)
    return merges


def way_of(folder: Path, said: dict[str, Any]) -> tuple[dict[str, Any] | None, dict[str, Any]]:
    """Return the normalizer and the pre-tokenizer of the class that the settings name. Raises TokenizerError."""
    name = str(said.get("tokenizer_class") or "GPT2Tokenizer").removesuffix("Fast")
    if name in QWEN2_CLASSES:
        return NFC, {"type": "Sequence", "pretokenizers": words(QWEN_2)}
    if name in GPT2_CLASSES:
        return None, {**BYTES, "add_prefix_space": said.get("add_prefix_space") is True}
    raise TokenizerError(
        f"{folder} has {VOCABULARY} and {MERGES} of a {name[:60]}; how that cuts a text is not known here.",
        "Make its tokenizer.json with transformers: AutoTokenizer.from_pretrained, then save_pretrained.",
    )


def added_tokens(
    folder: Path, said: dict[str, Any], named: dict[str, str], ids: dict[str, Any]
) -> dict[str, dict[str, Any]]:
    """Return the added tokens by their text: those with a role, those of added_tokens.json and of the settings."""
    found: dict[str, dict[str, Any]] = {}
    for token in dict.fromkeys((*named.values(), END_OF_TEXT)):
        if type(ids.get(token)) is int:
            found[token] = entry(token, ids[token])
    if (folder / ADDED).is_file():
        for token, id in read_json_object(folder / ADDED, LARGEST_FILE).items():
            found[token] = entry(token, id)
    decoder = said.get("added_tokens_decoder")
    for id, about in decoder.items() if isinstance(decoder, dict) else ():
        if isinstance(about, dict) and isinstance(about.get("content"), str) and str(id).isdecimal():
            kept = {name: about.get(name) is True for name in ("lstrip", "rstrip", "single_word", "normalized")}
            special = about.get("special", True) is True
            found[about["content"]] = {**entry(about["content"], int(id)), **kept, "special": special}
    return found


def entry(token: str, id: Any) -> dict[str, Any]:
    plain = dict.fromkeys(("single_word", "lstrip", "rstrip", "normalized"), False)
    return {"id": id, "content": token, "special": True, **plain}
