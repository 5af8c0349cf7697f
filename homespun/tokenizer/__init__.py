"""Text to ids and back.

Every kind of tokenizer is one `tokenizer.json`, the format of the `tokenizers`
library, so that `transformers.AutoTokenizer` opens what we save with no code of
ours. Read the files in this order: tokenizer (what all kinds share), char, byte,
bpe, gpt2, sentencepiece; then words and joined (long texts, quickly), stream (ids to
whole characters as they come), json_file (what may be wrong with a file from
elsewhere), chat_template (a talk as an instruct model wants it), choose, make, open.

>>> from homespun.tokenizer import build
>>> hello = build("char", alphabet={"h": 1, "e": 1, "l": 2, "o": 1}, documents=1, pieces=lambda: iter(["hello"]))
>>> hello.encode("hello"), hello.decode([1, 0, 2, 2, 3])
([1, 0, 2, 2, 3], 'hello')
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from homespun.tokenizer.choose import bpe_size, choose

if TYPE_CHECKING:
    from homespun.tokenizer.make import build
    from homespun.tokenizer.open import load
    from homespun.tokenizer.stream import TokenStream
    from homespun.tokenizer.tokenizer import END_OF_TEXT, Tokenizer

__all__ = ["END_OF_TEXT", "TokenStream", "Tokenizer", "bpe_size", "build", "choose", "load"]

_LIVES_IN = {
    "END_OF_TEXT": "tokenizer",
    "TokenStream": "stream",
    "Tokenizer": "tokenizer",
    "build": "make",
    "load": "open",
}


def __getattr__(name: str) -> Any:
    """The rest needs the `tokenizers` library, which is imported when it is first used."""
    if name not in _LIVES_IN:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(f"{__name__}.{_LIVES_IN[name]}"), name)
