"""Make the tokenizer of a new model, from the user's choice."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from homespun.errors import UsageError
from homespun.tokenizer.bpe import train_bpe
from homespun.tokenizer.byte import ByteTokenizer
from homespun.tokenizer.char import char_tokenizer
from homespun.tokenizer.choose import bpe_size, choose
from homespun.tokenizer.gpt2 import gpt2_tokenizer
from homespun.tokenizer.open import load
from homespun.tokenizer.tokenizer import Tokenizer


def build(
    spec: str, *, alphabet: Mapping[str, int], documents: int, pieces: Callable[[], Iterator[str]]
) -> Tokenizer:
    """Return the tokenizer that `spec` names: auto, char, byte, bpe, bpe:N, gpt2, or the path of one.

    alphabet: character -> how often it occurs in the text.
    documents: the number of documents; if there are several, the tokenizer has an end-of-text token.
    pieces: the text in chunks, for tokenizers that are trained on it.
    Raises UsageError, TokenizerError, NotEnoughText, DownloadFailed, MissingExtra.
    """
    characters = sum(alphabet.values())
    if spec == "auto":
        spec, _ = choose(characters=characters, alphabet=alphabet, documents=documents)
    name, _, size = spec.partition(":")
    if spec == "char":
        return char_tokenizer(alphabet, documents=documents)
    if spec == "byte":
        return ByteTokenizer().for_a_new_model(documents=documents)
    if spec == "gpt2":
        return gpt2_tokenizer()
    if spec == "bpe" or (name == "bpe" and size.isdecimal()):
        return train_bpe(int(size) if size else bpe_size(characters), characters=characters, pieces=pieces)
    path = Path(spec).expanduser()
    if spec and path.is_symlink() and not path.exists():
        raise UsageError(
            f"{spec} is a symbolic link, and what it points to is not there: {path.resolve()}.",
            "Put that back, or give the tokenizer itself.",
        )
    if not spec or not path.exists():
        raise UsageError(
            f"There is no tokenizer called {spec!r}, and no file or folder of that name.",
            "Choose auto, char, byte, bpe, bpe:N (N ids), gpt2, or the path of a tokenizer.json, "
            "of a SentencePiece .model, or of a model folder.",
        )
    return load(path).for_a_new_model(documents=documents)
