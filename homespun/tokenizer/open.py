"""Open a tokenizer from a path: a model folder, a tokenizer.json, a SentencePiece `.model`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tokenizers import Tokenizer as Backend

from homespun.errors import TokenizerError
from homespun.tokenizer.byte import ByteTokenizer, special_tokens_of
from homespun.tokenizer.char import CharTokenizer, alphabet_of
from homespun.tokenizer.json_file import (
    backend_from,
    checked,
    cuts_safely,
    read_json_object,
    read_tokenizer_json,
    wrong,
)
from homespun.tokenizer.tokenizer import END_OF_TEXT, Tokenizer, special
from homespun.tokenizer.unknown import lone_surrogate
from homespun.tokenizer.vocab_files import MERGES, VOCABULARY, content_of, has_vocabulary

LARGEST_SETTINGS = 8 * 2**20

# The settings kept from a tokenizer_config.json. Others would make transformers build a different tokenizer, or
# run code.
NAMED_TOKENS = ("bos_token", "eos_token", "pad_token", "unk_token")
KEPT_SETTINGS = ("add_bos_token", "add_eos_token", "chat_template", "model_max_length", "padding_side")
KINDS_BY_LABEL = ("bpe", "gpt2", "sentencepiece")  # char and byte are recognised by their behaviour
OPENING_CLASSES = {
    f"{name}Tokenizer{fast}" for name in ("Llama", "LLaMA", "CodeLlama", "Gemma") for fast in ("", "Fast")
}
KNOWN_ENDS = (END_OF_TEXT, "</s>", "<|end_of_text|>", "<eos>", "<|eos|>", "[EOS]")


def load(path: Path | str) -> Tokenizer:
    """Return the tokenizer in a model folder, a tokenizer.json or a SentencePiece `.model`.

    Raises TokenizerError.
    """
    path = Path(path).expanduser()
    if path.is_dir():
        for name in ("tokenizer.json", "tokenizer.model"):
            if (path / name).is_file():
                return load(path / name)
        if has_vocabulary(path):
            return _load_vocabulary(path)
        raise TokenizerError(
            f"{path} has no tokenizer: neither tokenizer.json nor tokenizer.model is there, nor "
            f"{VOCABULARY} with {MERGES}.",
            "Give a folder that homespun or transformers has saved.",
        )
    if not path.is_file():
        raise TokenizerError(f"There is no tokenizer at {path}.", "Check the path.")
    if path.suffix == ".model":
        return _load_pieces(path)
    if path.name in (VOCABULARY, MERGES) and has_vocabulary(path.parent):
        return _load_vocabulary(path.parent)
    return _load_json(path)


def _load_vocabulary(folder: Path) -> Tokenizer:
    said = _read_settings(folder)
    content = content_of(folder, said, _contents(said))
    return _tokenizer_of(checked(content, folder / VOCABULARY), said, folder / VOCABULARY)


def _load_pieces(path: Path) -> Tokenizer:
    """A SentencePiece model, with what tokenizer_config.json beside it says of it."""
    from homespun.tokenizer.sentencepiece import load_sentencepiece

    said = _read_settings(path.parent)
    # Llama's class opens a text with <s> where nothing is said, and is meant in a model folder that names none.
    in_model_folder = (path.parent / "config.json").is_file()
    usual = said["tokenizer_class"] in OPENING_CLASSES if "tokenizer_class" in said else in_model_folder
    tokenizer = load_sentencepiece(path, named=_contents(said), opens=said.get("add_bos_token", usual) is True)
    tokenizer.settings.update(_kept(said))
    return tokenizer


def _load_json(path: Path) -> Tokenizer:
    return _tokenizer_of(read_tokenizer_json(path), _read_settings(path.parent), path)


def _tokenizer_of(content: dict[str, Any], said: dict[str, Any], path: Path) -> Tokenizer:
    """The tokenizer of a checked tokenizer.json. said: the settings beside it; path: for messages."""
    found = alphabet_of(content)
    if found is not None:
        alphabet, special_tokens = found
        end = _end_among(special_tokens, said)
        settings = _kept(said) | _named_among(special_tokens, said)
        return CharTokenizer(alphabet, special_tokens=special_tokens, end_of_text=end, settings=settings)
    if (special_tokens_of_bytes := special_tokens_of(content)) is not None:
        end = _end_among(special_tokens_of_bytes, said)
        settings = _kept(said) | _named_among(special_tokens_of_bytes, said)
        return ByteTokenizer(special_tokens=special_tokens_of_bytes, end_of_text=end, settings=settings)
    backend = backend_from(content, path)
    settings = {**_kept(said), **_named_tokens(said, backend)}
    tokenizer = Tokenizer(
        backend,
        said["homespun_kind"] if said.get("homespun_kind") in KINDS_BY_LABEL else "file",
        end_of_text=settings.get("eos_token") or _usual_end(backend),
        settings=settings,
        may_be_cut=cuts_safely(content),
    )
    try:
        _ = tokenizer.opening
    except TokenizerError as error:
        raise wrong(path, error.what) from error
    return tokenizer


def _read_settings(folder: Path) -> dict[str, Any]:
    """Return the content of tokenizer_config.json, with the chat template if that is a separate file.

    Tokens with a role that it does not name may stand in special_tokens_map.json, as in older folders.
    """
    path, template = folder / "tokenizer_config.json", folder / "chat_template.jinja"
    older = folder / "special_tokens_map.json"
    settings = read_json_object(path, LARGEST_SETTINGS) if path.is_file() else {}
    if "eos_token" not in settings and older.is_file():
        named = read_json_object(older, LARGEST_SETTINGS)
        settings = {role: named[role] for role in NAMED_TOKENS if role in named} | settings
    if template.is_file() and template.stat().st_size <= LARGEST_SETTINGS:
        settings["chat_template"] = template.read_text(encoding="utf-8", errors="replace")
    return settings


def _kept(said: dict[str, Any]) -> dict[str, Any]:
    return {name: said[name] for name in KEPT_SETTINGS if said.get(name) is not None}


def _named_tokens(said: dict[str, Any], backend: Backend) -> dict[str, str]:
    """Return the tokens with a role that have an id; transformers would assign a new id to the others.

    They become special in `backend`, as they do in transformers, whether or not the tokenizer.json says so.
    """
    added = {token.content for token in backend.get_added_tokens_decoder().values() if token.special}
    named = {}
    for role, token in _contents(said).items():
        if backend.token_to_id(token) is not None:
            named[role] = token
            if token not in added:
                backend.add_special_tokens([special(token)])
    return named


def _contents(said: dict[str, Any]) -> dict[str, str]:
    """Role -> token, for the tokens that the settings name."""
    found = {}
    for role in NAMED_TOKENS:
        token = said.get(role)
        if isinstance(token, dict):  # an older way to write it
            token = token.get("content")
        if isinstance(token, str) and not lone_surrogate(token):
            found[role] = token
    return found


def _named_among(special_tokens: list[str], said: dict[str, Any]) -> dict[str, str]:
    """The tokens with a role that are special already; what ends a text, `_end_among` says."""
    named = _contents(said)
    return {role: named[role] for role in named if role != "eos_token" and named[role] in special_tokens}


def _end_among(special_tokens: list[str], said: dict[str, Any]) -> str | None:
    """Return the end-of-text token: the one that the settings name, else `<|endoftext|>` if it exists."""
    named = _contents(said).get("eos_token")
    return named if named in special_tokens else END_OF_TEXT if END_OF_TEXT in special_tokens else None


def _usual_end(backend: Backend) -> str | None:
    special_tokens = {token.content for token in backend.get_added_tokens_decoder().values() if token.special}
    return next((token for token in KNOWN_ENDS if token in special_tokens), None)
