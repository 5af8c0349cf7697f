"""Texts on which two models, or two tokenizers, are held against each other."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable

from homespun.errors import UnknownCharacter
from homespun.tokenizer.tokenizer import Tokenizer

# Said in the report as "a general text". Plain prose, some code, some numbers, other alphabets.
GENERAL = """\
The river was high that spring, and for three weeks nobody crossed it. Then, on the fourth of May, a boat came
down with two men and a dog in it, and the younger of the men stood up and called: "Is there anyone who can read?"
There was. Her name was Anna; she had learned it from her grandmother, who had it from a book of 1,250 pages.

def area(width: float, height: float) -> float:
    return width * height  # in square metres

Am Abend saßen sie am Feuer und erzählten. Il était tard quand le vent tourna.
Вечером они сидели у огня и рассказывали. 夜になると、風が変わった。 😀
"""

# Where tokenizers differ from each other, if they do.
NASTY = (
    "Hello, world!",
    "  two  spaces   and\ttabs\t\t end  ",
    "a\n\nb\r\n\r\n  c\n \n",
    "1234567890 3.14 1,000 ½ ² ٣٤٥",
    "def f(x):\n    return x**2  # code\n\n\n\tpass",
    "don't we'LL I'M she'd 'tis O'Brien",
    "naïve café Größe 漢字かな 한국어 русский עברית العربية हिन्दी",
    "😀👍🏽👩‍👩‍👧 🇩🇪 \u200b\u00a0\u3000z",
    "<|endoftext|> <|im_start|>user </s> <s>",
    "".join(map(chr, range(1, 400))),
    "x" * 300 + " " * 300,
    "https://example.org/a?b=c&d=%20 user@example.org 50% €5",
    " ",
    "\n",
    "x",
)


def known_part(tokenizer: Tokenizer, text: str) -> str:
    """The text in NFC, without the characters that this tokenizer has no id for."""
    text = unicodedata.normalize("NFC", text)
    try:
        tokenizer.encode(text)
    except UnknownCharacter:
        unknown = {character for character in set(text) if not is_known(tokenizer, character)}
        return "".join(character for character in text if character not in unknown)
    return text


def is_known(tokenizer: Tokenizer, character: str) -> bool:
    try:
        tokenizer.encode(character)
    except UnknownCharacter:
        return False
    return True


def trials(tokenizer: Tokenizer, texts: Iterable[str]) -> list[str]:
    """The nasty texts, each character that the tokenizer itself has, and these texts, as far as it knows them."""
    alphabet = getattr(tokenizer, "alphabet", "")
    every = [alphabet, alphabet[::-1]] + [alphabet[start : start + 50] for start in range(0, len(alphabet), 50)]
    kept = (known_part(tokenizer, text) for text in (*NASTY, *every, *texts))
    return list(dict.fromkeys(text for text in kept if text))
