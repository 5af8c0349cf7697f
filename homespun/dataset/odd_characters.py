"""Unexpected characters: characters that a text should not have, or that look like others.

Nearly all of it follows exactly from the alphabet alone; only what depends on the neighbours of a character is
searched for in the text.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping
from typing import TYPE_CHECKING

from homespun.dataset.damage import Matches
from homespun.dataset.finding import Finding, percent, times

if TYPE_CHECKING:
    from homespun.dataset.pipeline import Part

KIND = "alphabet"

SELDOM = 5  # occurrences: a model can learn nothing from a character that is rarer
# Tiny Shakespeare has one $ and three &: every text has a few such characters, and they cost next to nothing.
FEWEST_RARE, RARE_SHARE = 20, 0.15
SHORT = 50_000  # characters: in a shorter text, rare letters are to be expected
FEW = 3  # mixed-script words; one or two may be typing errors
# quotation marks; if there are fewer, the other style comes from a quotation
FEWEST_STYLED, BOTH_STYLES = 20, 0.05
# English prose is one sixth spaces, indented code one third; no letter of any language reaches a fifth.
MOST_SPACES, MOST_OF_ONE, SMALL_ALPHABET = 0.5, 0.3, 20
LONGEST_LINES = 20_000  # characters on average; the longest paragraphs of novels have a tenth of that
FEWEST_INDENTED, BOTH_INDENTED = 50, 0.1

INVISIBLE = {
    "\u00ad": "soft hyphens",
    "\u200b": "zero-width spaces",
    "\u200e": "left-to-right marks",
    "\u200f": "right-to-left marks",
    "\u2060": "word joiners",
    "\ufeff": "byte order marks within the text",
    **dict.fromkeys(map(chr, [*range(0x202A, 0x202F), *range(0x2066, 0x206A)]), "marks that turn lines around"),
}
# They are needed if the script runs from right to left.
DIRECTIONS = "\u200e\u200f" + "".join(map(chr, [*range(0x202A, 0x202F), *range(0x2066, 0x206A)]))
RIGHT_TO_LEFT = re.compile("[\u0590-\u08ff]")

OTHER = "[\u0370-\u04ff]"  # Greek and Cyrillic, which have letters that look like Latin ones
BESIDE_LATIN = re.compile(f"{OTHER}(?:(?<=[A-Za-z]{OTHER})|(?=[A-Za-z]))")
LOOK_ALIKE = frozenset("аеорсухіјѕАВЕКМНОРСТУХІЈЅοΑΒΕΖΗΙΚΜΝΟΡΤΥΧaceopxyijsABCEHIKMOPTXYZJS")
NO_BREAK = re.compile(r"(?<=[^\W\d])\u00a0(?=[^\W\d])")  # in French they are next to punctuation, and intended
COMBINING = re.compile("[\u0300-\u036f\u1161-\u1175]")  # accents, and the vowels of Korean syllables


class Letters(Matches):
    """Letters written as two characters for which a single character exists."""

    def note(self, match: re.Match[str], part: Part) -> None:
        start = max(0, match.start() - 1)
        pair = part.text[start : match.end()]
        if len(unicodedata.normalize("NFC", pair)) < len(pair):
            super().note(match, part)
            if self.count == 1:
                self.first = pair


class MixedWords(Matches):
    """Words of one script with look-alike letters of another. Neither μm nor iPhoneом is one."""

    def note(self, match: re.Match[str], part: Part) -> None:
        word = word_around(part.text, match.start())
        if LOOK_ALIKE.issuperset(strangers(word)):
            super().note(match, part)
            if self.count == 1:
                self.first = word


def word_around(text: str, position: int, reach: int = 30) -> str:
    """Return the word at a position, up to `reach` characters to each side.

    >>> word_around("to be, or not", 4)
    'be'
    """
    start = end = position
    while start > max(0, position - reach) and text[start - 1].isalpha():
        start -= 1
    while end < min(len(text), position + reach) and text[end].isalpha():
        end += 1
    return text[start:end]


def strangers(word: str) -> list[str]:
    """Return the letters of the script, Latin or the other one, that has fewer letters in the word."""
    latin = [letter for letter in word if letter.isascii()]
    others = [letter for letter in word if not letter.isascii()]
    return latin if len(latin) < len(others) else others


class OddCharacters:
    """Searches a text, part by part, for unexpected characters. kind: the kind of tokenizer that will be used."""

    def __init__(self, alphabet: Mapping[str, int], lines: int, kind: str) -> None:
        self.alphabet = alphabet
        self.characters = sum(alphabet.values())
        self.lines = lines
        self.kind = kind
        self.mixed, self.no_break = MixedWords(BESIDE_LATIN), Matches(NO_BREAK)
        self.decomposed = Letters(COMBINING)
        self.invisible = Matches(re.compile(f"[{''.join(self.invisible_ones())}]"))
        self.tabs = self.spaces = 0
        needed = (
            (self.mixed, OTHER),
            (self.no_break, "\u00a0"),
            (self.decomposed, COMBINING),
            (self.invisible, self.invisible.pattern),
        )
        letters = "".join(alphabet)
        self.at_work = [matches for matches, any_of in needed if re.search(any_of, letters)]

    def invisible_ones(self) -> list[str]:
        turned = any(RIGHT_TO_LEFT.match(character) for character in self.alphabet)
        return [character for character in INVISIBLE if not (turned and character in DIRECTIONS)]

    def look_at(self, part: Part) -> None:
        if not part.text.isascii():
            for matches in self.at_work:
                matches.look_at(part)
        if "\t" in self.alphabet:
            self.tabs += part.text.count("\n\t")
            self.spaces += part.text.count("\n  ")

    def findings(self) -> list[Finding]:
        found = [
            self.describe_one_character(),
            self.describe_mixed(),
            self.describe_decomposed(),
            self.describe_rare(),
        ]
        found += [
            self.describe_invisible(),
            self.describe_no_break(),
            self.describe_quotes(),
            self.describe_indents(),
        ]
        found += [self.describe_no_lines()]
        return [finding for finding in found if finding]

    def describe_one_character(self) -> Finding | None:
        character, count = max(self.alphabet.items(), key=lambda item: item[1])
        share = count / self.characters
        most = MOST_SPACES if character in " \t\n" else MOST_OF_ONE
        if share <= most or len(self.alphabet) <= SMALL_ALPHABET:
            return None
        return Finding(
            KIND,
            "warn",
            f"{percent(share)} of the text is one character, {name_of(character)}.",
            "It makes the loss look good. See what it is (a table, a drawing, padding), and leave it out.",
        )

    def describe_mixed(self) -> Finding | None:
        if self.mixed.count < FEW:
            return None
        word = self.mixed.first
        return Finding(
            KIND,
            "warn" if self.mixed.count * 1000 > self.characters else "note",
            f"In {self.mixed.count:,} places, words have a letter of another script that looks like their own, as "
            f"{word} with its {name_of(strangers(word)[0])} ({self.mixed.place}).",
            "To the model they are other words. They come from scanning, or from someone who hides words from a "
            "search. Replace these letters.",
        )

    def describe_decomposed(self) -> Finding | None:
        if self.decomposed.count < FEW:
            return None
        pair = self.decomposed.first
        whole = unicodedata.normalize("NFC", pair)
        both = whole in self.alphabet
        elsewhere = f"elsewhere it is one, {times(self.alphabet[whole])}" if both else "keyboards write one"
        return Finding(
            KIND,
            "warn" if both else "note",
            f"{self.decomposed.count:,} letters are written as two characters, such as {pair} "
            f"({self.decomposed.place}); {elsewhere}.",
            "To the model these are other words, and what you type is not what it has learned. Make them one:\n"
            "python3 -c 'import sys, unicodedata; "
            'print(unicodedata.normalize("NFC", sys.stdin.read()))\' < FILE > composed.txt',
        )

    def describe_rare(self) -> Finding | None:
        """Matters only if every character has its own id: sub-word and byte tokenizers spell rare characters."""
        rare = sorted((c for c, count in self.alphabet.items() if count < SELDOM), key=self.alphabet.__getitem__)
        if self.kind != "char" or self.characters < SHORT:
            return None
        if len(rare) < FEWEST_RARE or len(rare) < RARE_SHARE * len(self.alphabet):
            return None
        return Finding(
            KIND,
            "note",
            f"{len(rare)} of {len(self.alphabet)} characters come fewer than {SELDOM} times, "
            f"such as {', '.join(map(name_of, rare[:4]))}.",
            "As tokens of their own they cannot be learned. Leave them out, or choose tokens that spell them: "
            "--tokenizer byte, or bpe for a long text.",
        )

    def describe_invisible(self) -> Finding | None:
        counts: dict[str, int] = {}
        for character in self.invisible_ones():
            if character in self.alphabet:
                counts[INVISIBLE[character]] = counts.get(INVISIBLE[character], 0) + self.alphabet[character]
        total = sum(counts.values())
        if total < FEW:
            return None
        return Finding(
            KIND,
            "warn" if total * 1000 > self.characters else "note",
            f"{total:,} characters cannot be seen: {', '.join(f'{n:,} {name}' for name, n in counts.items())} "
            f"(first in {self.invisible.place}).",
            "They part words that look whole. Take them out:\n"
            "python3 -c 'import re, sys; "
            'print(re.sub("[\\u00ad\\u200b\\u200e\\u200f\\u202a-\\u202e\\u2060\\u2066-\\u2069\\ufeff]", "", '
            "sys.stdin.read()))' < FILE > clean.txt",
        )

    def describe_no_break(self) -> Finding | None:
        if self.no_break.count < FEWEST_STYLED or self.no_break.count * 10_000 < self.characters:
            return None
        return Finding(
            KIND,
            "note",
            f"{self.no_break.count:,} of the spaces between words are no-break spaces, as in web pages "
            f"(first in {self.no_break.place}).",
            "To the model they are another character than the space. Make them spaces:\n"
            'python3 -c \'import sys; print(sys.stdin.read().replace("\\u00a0", " "))\' < FILE > clean.txt',
        )

    def describe_quotes(self) -> Finding | None:
        for straight, curly in (('"', "“”"), ("'", "’")):
            old, new = self.alphabet.get(straight, 0), sum(self.alphabet.get(c, 0) for c in curly)
            if min(old, new) >= max(FEWEST_STYLED, BOTH_STYLES * (old + new)):
                return Finding(
                    KIND,
                    "note",
                    f"Two kinds of quotation marks do the same work: {straight} {old:,} times, "
                    f"{' and '.join(curly)} {new:,} times.",
                    "The model learns every such word twice. Choose one kind, and replace the other.",
                )
        return None

    def describe_indents(self) -> Finding | None:
        least, both = min(self.tabs, self.spaces), self.tabs + self.spaces
        if least < FEWEST_INDENTED or least < BOTH_INDENTED * both:
            return None
        return Finding(
            KIND,
            "note",
            f"{self.tabs:,} lines are indented with tabs and {self.spaces:,} with spaces.",
            "The model has to learn both. Where it is one language, format it in one way.",
        )

    def describe_no_lines(self) -> Finding | None:
        if self.characters < LONGEST_LINES * self.lines:
            return None
        return Finding(
            KIND,
            "note",
            f"A line has {self.characters // self.lines:,} characters on average: there are hardly any line ends.",
            "The model will not learn to end lines. Where they were lost, get the text again.",
        )


def name_of(character: str) -> str:
    """Return a character; if it is not an obvious one, its name.

    >>> name_of("$"), name_of("\\u200b"), name_of("о")
    ('$', 'ZERO WIDTH SPACE', 'CYRILLIC SMALL LETTER O (о)')
    """
    if character.isascii() and character.isprintable() and character != " ":
        return character
    plain = {" ": "the space", "\n": "the line end", "\t": "the tab"}
    name = plain[character] if character in plain else unicodedata.name(character, f"U+{ord(character):04X}")
    return f"{name} ({character})" if character.isalpha() else name
