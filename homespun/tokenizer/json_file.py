"""Read a tokenizer.json from elsewhere, and check it before it is used.

Whatever is wrong with it is reported here, in plain words, before the `tokenizers` library or a model uses it.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from tokenizers import Tokenizer as Backend

from homespun.errors import TokenizerError
from homespun.tokenizer.byte_level import byte_characters
from homespun.tokenizer.failure import failures_explained
from homespun.tokenizer.steps import PARTS, is_known
from homespun.tokenizer.trial import trial
from homespun.tokenizer.unknown import UNKNOWN

LARGEST_FILE = 40 * 2**20  # bytes; the largest in use (262,144 ids) has 33 MB
# enough for Gemma's; opening so many takes about as long as reading them in transformers
LARGEST_VOCABULARY = 300_000
# In memory, a hostile file of this size could take twenty times as much: its values are counted before parsing.
MOST_VALUES = 3_000_000  # Gemma's has half as many
MOST_LISTS = 1_500_000  # and a third of these
MOST_UNIGRAM_CHARACTERS = 4_000_000  # of all pieces together; the library takes about 300 bytes for each
LONGEST_PIECE = 1024  # characters
MOST_ADDED = 2**16  # tokens; Gemma's has 6,415
LONGEST_WORDPIECE = 500  # characters; the worst-case time to split a word is cubic in this

LONGEST_REASON = 500  # characters; the library quotes what it does not accept, which may be megabytes

TODO = "Get it anew from where it came from, or let homespun make one: --tokenizer bpe"


def read_json_object(path: Path, largest: int) -> dict[str, Any]:
    """Return the JSON object in a file. Raises TokenizerError if it is absent, too large, damaged or no object."""
    try:
        size = path.stat().st_size
        if size > largest:
            raise wrong(path, f"it has {size / 1e6:,.0f} MB, and at most {largest / 1e6:,.0f} MB are read")
        text = path.read_bytes()
        if text.count(b",") > MOST_VALUES or text.count(b"[") + text.count(b"{") > MOST_LISTS:
            raise wrong(path, "it holds more values than any tokenizer has")
        content = json.loads(text)
    except OSError as error:
        raise TokenizerError(f"{path} cannot be read: {error.strerror or error}.", "Check the path.") from error
    except (ValueError, RecursionError) as error:
        raise wrong(path, f"it is not JSON ({error})") from error
    if not isinstance(content, dict):
        raise wrong(path, f"it is a JSON {type(content).__name__}, not an object")
    return content


def read_tokenizer_json(path: Path) -> dict[str, Any]:
    """Return the content of a tokenizer.json after checking its ids.

    Settings that would change the text (truncation, padding) or make ids random (dropout) are switched off.
    Raises TokenizerError.
    """
    return checked(read_json_object(path, LARGEST_FILE), path)


def checked(content: dict[str, Any], path: Path) -> dict[str, Any]:
    """Return the content of a tokenizer.json, as `read_tokenizer_json` checks it. path: for messages."""
    model = content.get("model")
    if not isinstance(model, dict) or "vocab" not in model:
        raise wrong(path, 'it has no "model" with a "vocab"')
    for part in PARTS:
        if not isinstance(content.get(part), (dict, type(None))):
            raise wrong(path, f'its "{part}" is not an object')
    if model.get("type") is None:
        model["type"] = _type_of_old_file(model)  # older files have no type
    if (model["type"] == "Unigram") != isinstance(model["vocab"], list):
        raise wrong(path, f'its "vocab" is not what a model of type {model["type"]} has')
    ids = [*_vocabulary_ids(path, model["vocab"]), *_added_ids(path, content.get("added_tokens") or [])]
    _check_ids(path, ids)
    longest = model.get("max_input_chars_per_word", 0)
    if model["type"] == "WordPiece" and isinstance(longest, int) and longest > LONGEST_WORDPIECE:
        raise wrong(
            path, f"its max_input_chars_per_word is {longest:,}, and at most {LONGEST_WORDPIECE} are allowed"
        )
    content.update(truncation=None, padding=None)
    if model["type"] == "BPE":
        model["dropout"] = None
        if model.get("unk_token") is None and not _knows_every_byte(model):
            model["unk_token"] = UNKNOWN
    return content


def backend_from(content: dict[str, Any], path: Path) -> Backend:
    """Return the `tokenizers` object for this content.

    Content that is not known to be safe is first tried in a separate process. Raises TokenizerError.
    """
    serialized = json.dumps(content)
    if not is_known(content) and (reason := trial(content, serialized, str(path))):
        raise wrong(path, reason)
    with failures_explained(lambda error: wrong(path, f"the tokenizers library does not accept it ({error})")):
        return Backend.from_str(serialized)


def cuts_safely(content: dict[str, Any]) -> bool:
    """Return whether a text can be cut between a word and the space after it without changing its ids."""
    if content.get("normalizer") or not all(token.get("special") for token in content.get("added_tokens") or []):
        return False
    pre_tokenizer = content.get("pre_tokenizer") or {}
    steps = pre_tokenizer.get("pretokenizers", [pre_tokenizer])
    return [step.get("type") for step in steps if step.get("type") != "Digits"] == ["ByteLevel"] and not any(
        step.get("add_prefix_space") or not step.get("use_regex", True) for step in steps if "use_regex" in step
    )


def wrong(path: Path, reason: str) -> TokenizerError:
    """Return the error for a file that is not a valid tokenizer."""
    reason = reason.rstrip(".")
    short = reason if len(reason) <= LONGEST_REASON else reason[:LONGEST_REASON] + "…"
    return TokenizerError(f"{path} is not a tokenizer that can be used: {short}.", TODO)


def _vocabulary_ids(path: Path, vocabulary: Any) -> list[Any]:
    """Return the ids of a model's vocabulary: an object token -> id, or (Unigram) a list of [token, score]."""
    if isinstance(vocabulary, dict):
        _check_doubles(path, vocabulary)
        return list(vocabulary.values())
    if isinstance(vocabulary, list):
        for place, entry in enumerate(vocabulary):
            if not (isinstance(entry, list) and len(entry) == 2 and isinstance(entry[0], str)):
                raise wrong(path, f"entry {place} of its vocabulary is not a [token, score]")
        check_pieces(path, [entry[0] for entry in vocabulary])
        return list(range(len(vocabulary)))
    raise wrong(path, 'its "vocab" is neither an object nor a list')


def check_pieces(path: Path, pieces: list[str]) -> None:
    """Limit the pieces of a unigram model, which the library stores in a trie of characters."""
    longest, together = max(map(len, pieces), default=0), sum(map(len, pieces))
    if longest > LONGEST_PIECE:
        raise wrong(
            path, f"one of its pieces has {longest:,} characters, and at most {LONGEST_PIECE:,} are allowed"
        )
    if together > MOST_UNIGRAM_CHARACTERS:
        raise wrong(
            path, f"its pieces have {together:,} characters, and at most {MOST_UNIGRAM_CHARACTERS:,} are read"
        )


def _check_doubles(path: Path, vocabulary: dict[str, Any]) -> None:
    """Reject two tokens with the same id: the second could be encoded but never decoded."""
    owner: dict[Any, str] = {}
    for token, id in vocabulary.items():
        if type(id) is int and owner.setdefault(id, token) != token:
            raise wrong(path, f"two of its tokens have the id {id}: {owner[id][:40]!r} and {token[:40]!r}")


def _added_ids(path: Path, added: Any) -> list[Any]:
    well_formed = isinstance(added, list) and all(
        isinstance(token, dict) and isinstance(token.get("content"), str) for token in added
    )
    if not well_formed:
        raise wrong(path, 'its "added_tokens" are not a list of objects with a "content"')
    if len(added) > MOST_ADDED:
        raise wrong(path, f"it has {len(added):,} added tokens, and at most {MOST_ADDED:,} are allowed")
    return [token.get("id") for token in added]


def _check_ids(path: Path, ids: list[Any]) -> None:
    """Check that ids are integers from 0 on, not too many, and that at most half of them are missing."""
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
