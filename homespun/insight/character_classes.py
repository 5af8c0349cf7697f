"""What can be said of each place of a text without a model: vowel, capital, inside quotes, place in the line, …

Each property is a column of numbers over the tokens: 0 or 1 for a class, or a count, as the place in the line is.
A token is described by the character that it ends with, because the model knows no more at that place.
"""

from __future__ import annotations

import unicodedata
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from homespun.insight.passes import Characters
    from homespun.tokenizer.tokenizer import Tokenizer

FEWEST = 20  # places: a rarer class is left out, its correlation would be a matter of chance
MOST_TOKENS = 100  # single tokens that are classes of their own, the most frequent ones
VOWELS = set("aeiouyäöüáéíóúàèìòùâêîôûãõåæøœаеёиоуыэюяαεηιουωάέήίόύώ")
OPENING, CLOSING = "“«„", "”»"


@dataclass(frozen=True)
class CharacterClasses:
    """K properties of the N tokens of a text.

    names   (K) as a person may read them: "vowel", "place in the line", "'e'"
    values  (N, K) float32: 0 or 1 for a class; a count for a place
    is_class (K) bool: whether the values are 0 and 1
    """

    names: tuple[str, ...]
    values: NDArray[np.float32]
    is_class: NDArray[np.bool_]


def character_classes(tokenizer: Tokenizer, ids: NDArray[np.int64], characters: Characters) -> CharacterClasses:
    """The properties of the tokens of a text which vary in it."""
    text, ends = characters.text, characters.ends
    last = np.clip(ends - 1, 0, max(0, len(text) - 1))  # the character that each token ends with
    columns = {name: values[last] for name, values in of_characters(text).items()} if text else {}
    begins = np.concatenate([[0], ends[:-1]])
    if np.any(ends - begins > 1):  # tokens of several characters
        first = np.array([text[at : at + 1] for at in begins.tolist()])
        columns["begins with a space"] = (first == " ").astype(np.float32)
        columns["length of the token"] = (ends - begins).astype(np.float32)
    for id, count in Counter(ids.tolist()).most_common(MOST_TOKENS):
        if count >= FEWEST:
            columns[f"'{tokenizer.token(id)}'"] = (ids == id).astype(np.float32)
    kept, is_class = {}, []
    for name, values in columns.items():
        values = values.astype(np.float32)
        zero_or_one = bool(np.isin(values, (0, 1)).all())
        if min((values == 0).sum(), (values != 0).sum()) >= FEWEST or (not zero_or_one and values.std() > 0):
            kept[name] = values
            is_class.append(zero_or_one)
    stacked = np.stack(list(kept.values()), axis=1) if kept else np.empty((len(ids), 0), np.float32)
    return CharacterClasses(tuple(kept), stacked, np.array(is_class, bool))


def of_characters(text: str) -> dict[str, NDArray[np.float32]]:
    """Name -> a number for each character of the text; what comes after a character has no part in it.

    >>> {name: values.tolist() for name, values in of_characters("Ah, no").items() if name in ("vowel", "capital")}
    {'vowel': [1.0, 0.0, 0.0, 0.0, 0.0, 1.0], 'capital': [1.0, 0.0, 0.0, 0.0, 0.0, 0.0]}
    """
    lower = [character.lower() for character in text]
    classes = {
        "vowel": [c in VOWELS for c in lower],
        "consonant": [c.isalpha() and low not in VOWELS for c, low in zip(text, lower, strict=True)],
        "capital": [c.isupper() for c in text],
        "letter": [c.isalpha() for c in text],
        "digit": [c.isdigit() for c in text],
        "space": [c == " " for c in text],
        "white space": [c.isspace() for c in text],
        "newline": [c == "\n" for c in text],
        "punctuation": [unicodedata.category(c)[0] == "P" for c in text],
        "end of a sentence": [c in ".!?" for c in text],
        **along(text),
    }
    return {name: np.array(values, np.float32) for name, values in classes.items()}


def along(text: str) -> dict[str, list[float]]:
    """What depends on the characters before: quotes, and places in the word, the line and the paragraph."""
    names = (
        *("inside quotes", "inside brackets", "first letter of a word", "place in the word", "place in the line"),
        *("line after an empty line", "line in capitals"),
    )
    found: dict[str, list[float]] = {name: [] for name in names}
    quoted, depth, word, column = False, 0, 0, 0
    after_empty, capitals = True, False  # of this line
    for character in text:
        if character == '"':
            quoted = not quoted
        elif character in OPENING:
            quoted = True
        elif character in CLOSING:
            quoted = False
        if character in "([{":
            depth += 1
        elif character in ")]}":
            depth = max(0, depth - 1)
        word = word + 1 if character.isalnum() or (word and character in "'’") else 0
        if character.isalpha():
            capitals = character.isupper() and (capitals or column == 0)
        row = (quoted, depth > 0, word == 1, word, column, after_empty, capitals)
        for name, value in zip(names, row, strict=True):
            found[name].append(float(value))
        column += 1
        if character == "\n":
            after_empty, column, capitals = column == 1, 0, False
            if after_empty:
                quoted, depth = False, 0  # a quotation that nobody closed ends with its paragraph
    return found
