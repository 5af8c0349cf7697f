"""A tokenizer.json from anywhere: read with care, checked before it is used.

What can be wrong with it is found here, in plain words, before the `tokenizers` library or a model meets it.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from tokenizers import Tokenizer as Backend

from homespun.errors import TokenizerError
from homespun.tokenizer.byte_level import byte_characters
from homespun.tokenizer.unknown import UNKNOWN

LARGEST_FILE = 64 * 2**20  # the largest in use (262,144 ids) has 33 MB
LARGEST_VOCABULARY = 2**20

TODO = "Get it anew from where it came from, or let homespun make one: --tokenizer bpe"


def read_json_object(path: Path, largest: int) -> dict[str, Any]:
    """The JSON object in a file. Raises TokenizerError where it is absent, too large, damaged or no object."""
    try:
        size = path.stat().st_size
        if size > largest:
            raise wrong(path, f"it has {size / 1e6:,.0f} MB, and at most {largest / 1e6:,.0f} MB are read")
        content = json.loads(path.read_bytes())
    except OSError as error:
        raise TokenizerError(f"{path} cannot be read: {error.strerror or error}.", "Check the path.") from error
    except (ValueError, RecursionError) as error:
        raise wrong(path, f"it is not JSON ({error})") from error
    if not isinstance(content, dict):
        raise wrong(path, f"it is a JSON {type(content).__name__}, not an object")
    return content


def read_tokenizer_json(path: Path) -> dict[str, Any]:
    """The content of a tokenizer.json whose ids are as they should be.

    Settings that would change the text (truncation, padding) or make ids random (dropout) are switched off.
    Raises TokenizerError.
    """
    content = read_json_object(path, LARGEST_FILE)
    model = content.get("model")
    if not isinstance(model, dict) or "vocab" not in model:
        raise wrong(path, 'it has no "model" with a "vocab"')
    for part in ("normalizer", "pre_tokenizer", "post_processor", "decoder"):
        if not isinstance(content.get(part), (dict, type(None))):
            raise wrong(path, f'its "{part}" is not an object')
    model.setdefault("type", _type_of_old_file(model))  # older files do not say
    if (model["type"] == "Unigram") != isinstance(model["vocab"], list):
        raise wrong(path, f'its "vocab" is not what a model of type {model["type"]} has')
    ids = [*_vocabulary_ids(path, model["vocab"]), *_added_ids(path, content.get("added_tokens") or [])]
    _check_ids(path, ids)
    content.update(truncation=None, padding=None)
    if model["type"] == "BPE":
        model["dropout"] = None
        if model.get("unk_token") is None and not _knows_every_byte(model):
            model["unk_token"] = UNKNOWN
    return content


def backend_from(content: dict[str, Any], path: Path) -> Backend:
    """The `tokenizers` object that this content describes. Raises TokenizerError."""
    try:
        backend = Backend.from_str(json.dumps(content))
        _try_out(backend)
    except BaseException as error:  # its failed assertions are no Exception
        if not isinstance(error, Exception) and type(error).__name__ != "PanicException":
            raise
        raise wrong(path, f"the tokenizers library does not accept it ({error})") from error
    return backend


def _try_out(backend: Backend) -> None:
    """Some of what is wrong with a file shows only in use."""
    if backend.normalizer is not None:
        backend.normalizer.normalize_str("a b")
    if backend.pre_tokenizer is not None:
        backend.pre_tokenizer.pre_tokenize_str("a b")
    backend.decode([])
    backend.decode([0], skip_special_tokens=False)


def cuts_safely(content: dict[str, Any]) -> bool:
    """Whether a text may be cut between a word and the space after it with no change to its ids."""
    if content.get("normalizer") or not all(token.get("special") for token in content.get("added_tokens") or []):
        return False
    pre_tokenizer = content.get("pre_tokenizer") or {}
    steps = pre_tokenizer.get("pretokenizers", [pre_tokenizer])
    return [step.get("type") for step in steps if step.get("type") != "Digits"] == ["ByteLevel"] and not any(
        step.get("add_prefix_space") or not step.get("use_regex", True) for step in steps if "use_regex" in step
    )


def wrong(path: Path, reason: str) -> TokenizerError:
    """The error for a file that is not what it should be."""
    return TokenizerError(f"{path} is not a tokenizer that can be used: {reason}.", TODO)


def _vocabulary_ids(path: Path, vocabulary: Any) -> list[Any]:
    """The ids of a model's vocabulary: an object token -> id, or (Unigram) a list of [token, score]."""
    if isinstance(vocabulary, dict):
        return list(vocabulary.values())
    if isinstance(vocabulary, list):
        for place, entry in enumerate(vocabulary):
            if not (isinstance(entry, list) and len(entry) == 2 and isinstance(entry[0], str)):
                raise wrong(path, f"entry {place} of its vocabulary is not a [token, score]")
        return list(range(len(vocabulary)))
    raise wrong(path, 'its "vocab" is neither an object nor a list')


def _added_ids(path: Path, added: Any) -> list[Any]:
    well_formed = isinstance(added, list) and all(
        isinstance(token, dict) and isinstance(token.get("content"), str) for token in added
    )
    if not well_formed:
        raise wrong(path, 'its "added_tokens" are not a list of objects with a "content"')
    return [token.get("id") for token in added]


def _check_ids(path: Path, ids: list[Any]) -> None:
    """Ids must be whole numbers from 0 on, not too many, and more of them present than missing."""
    if not ids:
        raise wrong(path, "its vocabulary is empty")
    for id in ids:
        if type(id) is not int or id < 0:
            raise wrong(path, f"one of its ids is {id!r}, which is not a whole number from 0 on")
    different, highest = len(set(ids)), max(ids)
    if highest >= LARGEST_VOCABULARY:
        raise wrong(path, f"its highest id is {highest:,}, and at most {LARGEST_VOCABULARY:,} ids are allowed")
    if highest + 1 > 2 * different:
        raise wrong(path, f"it has {different:,} ids, but the highest is {highest:,}: most are missing")


def _knows_every_byte(model: dict[str, Any]) -> bool:
    vocabulary = model["vocab"]
    return bool(model.get("byte_fallback")) or all(character in vocabulary for character in byte_characters())


def _type_of_old_file(model: dict[str, Any]) -> str:
    if isinstance(model["vocab"], list):
        return "Unigram"
    if "merges" in model:
        return "BPE"
    return "WordPiece" if "continuing_subword_prefix" in model else "WordLevel"
