"""What a person wants to know about a corpus before training on it, as plain data: `homespun data show`."""

from __future__ import annotations

import unicodedata
from collections import Counter
from dataclasses import dataclass
from itertools import islice

from homespun.text.corpus import Corpus

_SHOWN = 12  # characters at either end of the alphabet
_BEGINNINGS = 2  # documents
_BEGINNING = 300  # characters of the first document
_SCRIPTS = {"CJK": "Han", "IDEOGRAPHIC": "Han", "FULLWIDTH": "Latin", "HALFWIDTH": "Katakana", "MICRO": "Greek",
            "FEMININE": "Latin", "MASCULINE": "Latin", "MODIFIER": "modifiers", "MATHEMATICAL": "mathematics",
            "DOUBLE-STRUCK": "mathematics", "SCRIPT": "mathematics"}  # fmt: skip


@dataclass(frozen=True)
class Description:
    """Numbers are as in `Survey`; shares are between 0 and 1."""

    name: str
    title: str
    documents: int
    characters: int
    bytes: int
    lines: int
    alphabet_size: int
    most_common: list[tuple[str, int]]
    least_common: list[tuple[str, int]]
    scripts: list[tuple[str, float]]  # of the letters
    kinds: list[tuple[str, float]]  # letters, digits, white space, …: of all characters
    encodings: dict[str, int]
    read_as: dict[str, int]
    duplicates: int
    longest: tuple[str, int]
    shortest: tuple[str, int]
    beginning: str
    beginnings: list[tuple[str, str]]  # where the first documents stand, and how they begin
    notes: list[str]


def describe(corpus: Corpus) -> Description:
    """Survey the corpus and say what is in it. Raises what `Corpus.survey` raises."""
    survey = corpus.survey()
    by_count = sorted(survey.alphabet.items(), key=lambda item: (-item[1], item[0]))
    beginnings = [
        (document.origin, document.beginning(_BEGINNING)[:_BEGINNING])
        for document in islice(corpus.documents(), _BEGINNINGS)
    ]
    return Description(
        name=corpus.name,
        title=corpus.title,
        documents=survey.documents,
        characters=survey.characters,
        bytes=survey.bytes,
        lines=survey.lines,
        alphabet_size=len(by_count),
        most_common=by_count[:_SHOWN],
        least_common=by_count[::-1][:_SHOWN],
        scripts=scripts(survey.alphabet),
        kinds=kinds(survey.alphabet),
        encodings=survey.encodings,
        read_as=survey.read_as,
        duplicates=survey.duplicates,
        longest=survey.longest,
        shortest=survey.shortest,
        beginning=beginnings[0][1],
        beginnings=beginnings,
        notes=list(corpus.notes),
    )


def scripts(alphabet: dict[str, int]) -> list[tuple[str, float]]:
    """The scripts that the letters belong to, the commonest first, with their shares.

    >>> scripts({"a": 3, "ж": 1, "1": 9})
    [('Latin', 0.75), ('Cyrillic', 0.25)]
    """
    counts: Counter[str] = Counter()
    for character, count in alphabet.items():
        if unicodedata.category(character).startswith("L"):
            counts[_script(character)] += count
    return _shares(counts)


def _script(character: str) -> str:
    """The first word of a letter's Unicode name says its script."""
    word = unicodedata.name(character, "UNKNOWN").split()[0]
    return _SCRIPTS.get(word.split("-")[0], word.capitalize())


_KINDS = {"L": "letters", "M": "marks on letters", "N": "digits", "P": "punctuation", "S": "symbols",
          "Z": "white space", "C": "control codes"}  # fmt: skip


def kinds(alphabet: dict[str, int]) -> list[tuple[str, float]]:
    """What kinds of characters there are, the commonest first, with their shares.

    >>> kinds({"a": 3, "\\n": 1})
    [('letters', 0.75), ('white space', 0.25)]
    """
    counts: Counter[str] = Counter()
    for character, count in alphabet.items():
        kind = "white space" if character.isspace() else _KINDS[unicodedata.category(character)[0]]
        counts[kind] += count
    return _shares(counts)


def _shares(counts: Counter[str]) -> list[tuple[str, float]]:
    total = sum(counts.values())
    return [(name, count / total) for name, count in sorted(counts.items(), key=lambda item: (-item[1], item[0]))]
