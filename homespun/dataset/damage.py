"""Encoding damage: what went wrong when the bytes of a text were decoded, and what the text was before.

A pattern is searched for only if the alphabet, which the survey has counted, makes a match possible, so most
texts are not searched at all. Mojibake is detected by reversing its cause: characters that, encoded in an old
encoding, are valid UTF-8. With two characters that happens by chance now and then, with three hardly ever.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from functools import lru_cache
from typing import TYPE_CHECKING

from homespun.dataset.finding import Finding, Place, percent, place_of

if TYPE_CHECKING:
    from homespun.dataset.pipeline import Part

KIND = "encoding damage"

MUCH = 1e-2  # share of characters that are lost; above it, too little of the original text is left
SOME = 1e-4  # share of characters: one on every fourth page of a book; below it, a model hardly meets the damage
FEW = 3  # two-character matches that may be chance
# The text of a web page has an HTML entity every few lines; a book on HTML has fewer.
FEWEST_ENTITIES, ENTITY_EVERY = 10, 20_000
# A scanned book hyphenates a few lines on each page; lines of a poem or a list hardly ever end in a hyphen.
FEWEST_HYPHENS, HYPHENATED = 20, 0.01


def bytes_of(codec: str) -> dict[str, int]:
    """Map characters to the bytes 0x80 … 0xFF of an old encoding; bytes without a character become C1 controls."""
    table = {chr(byte): byte for byte in range(0x80, 0xA0)}
    for byte in range(0x80, 0x100):
        if character := bytes([byte]).decode(codec, "ignore"):
            table[character] = byte
    return table


WESTERN = bytes_of("cp1252") | {chr(byte): byte for byte in range(0xA0, 0x100)}
CYRILLIC = bytes_of("cp1251")


def those(table: Mapping[str, int], first: int, last: int) -> str:
    """Return a regex class of the characters whose bytes are first … last."""
    return "[" + "".join(re.escape(c) for c, byte in table.items() if first <= byte <= last) + "]"


def utf8_in(table: Mapping[str, int]) -> str:
    """Return a regex for a run of multi-byte UTF-8 characters as they appear in an old encoding."""
    tail = those(table, 0x80, 0xBF)
    two, three, four = those(table, 0xC2, 0xDF), those(table, 0xE0, 0xEF), those(table, 0xF0, 0xF4)
    return f"(?:{two}{tail}|{three}{tail}{{2}}|{four}{tail}{{3}})+"


# A cheap regex finds possible beginnings; only there the full pattern is tried.
LEADS, TAILS = those(WESTERN, 0xC2, 0xF4), those(WESTERN, 0x80, 0xBF)
PERHAPS_WESTERN = re.compile(f"{LEADS}{TAILS}(?:{LEADS}|{TAILS})*")
IN_WESTERN = re.compile(utf8_in(WESTERN))
# Two-character matches must begin with one of these, the lead bytes of Western and Central European letters: É”
# may be the end of a CAFÉ in quotation marks.
ACCENTED = "ÂÃÄÅ"
# In Windows-1251 the lead bytes of Cyrillic letters are letters themselves, so three pairs in a row are required.
IN_CYRILLIC = re.compile(f"[РС]{those(CYRILLIC, 0x80, 0xBF)}(?:[РС]{those(CYRILLIC, 0x80, 0xBF)}){{2,}}")
LOST = re.compile("\ufffd")
C1_CODES = "".join(map(chr, range(0x80, 0xA0)))
# All control codes except tab, newline and form feed (which separates pages).
C0_CODES = "".join(chr(code) for code in (*range(32), 127) if chr(code) not in "\t\n\f")
C1, C0 = re.compile(f"[{C1_CODES}]"), re.compile(f"[{C0_CODES}]")
ENTITY = re.compile("&(?:[a-zA-Z]{2,8}|#[0-9]{2,6}|#x[0-9a-fA-F]{2,5});")
HYPHEN = re.compile(r"-\n(?<=[^\W\d_]-\n)[^\W\d_A-Z]")


@lru_cache(maxsize=4096)
def mended(text: str, codec: str = "cp1252") -> tuple[str, int]:
    """Return the text before it became mojibake, and how many times it was decoded wrongly; 0 if it is none.

    >>> mended("â€™"), mended("Ã©Ã¨"), mended("ÃƒÂ©"), mended("Ã!")
    (('’', 1), ('éè', 1), ('é', 2), ('Ã!', 0))
    """
    table = WESTERN if codec == "cp1252" else CYRILLIC
    rounds = 0
    while all(character in table for character in text):
        try:
            text = bytes(table[character] for character in text).decode("utf-8")
        except UnicodeDecodeError:
            break
        rounds += 1
    return text, rounds


class Matches:
    """Counts the matches of a pattern in a text and records the first one."""

    def __init__(self, pattern: re.Pattern[str]) -> None:
        self.pattern = pattern
        self.count = 0
        self.first = ""
        self.place = Place("", 0)

    def look_at(self, part: Part) -> None:
        for match in self.pattern.finditer(part.text):
            self.note(match, part)

    def note(self, match: re.Match[str], part: Part) -> None:
        if not self.count:
            self.first, self.place = match[0], place_of(part, match.start())
        self.count += 1


class Mojibake(Matches):
    """Counts runs of characters that are valid UTF-8.

    Matches that may be chance are counted by their first character.
    """

    def __init__(self, perhaps: re.Pattern[str], pattern: re.Pattern[str], codec: str) -> None:
        super().__init__(perhaps)
        self.run = pattern
        self.codec = codec
        self.characters = self.twice = 0
        self.pairs: Counter[str] = Counter()

    def note(self, match: re.Match[str], part: Part) -> None:
        for run in self.run.finditer(part.text, match.start(), match.end()):
            self.note_run(run, part)

    def note_run(self, run: re.Match[str], part: Part) -> None:
        text = run[0]
        rounds = mended(text, self.codec)[1]
        if not rounds or (len(text) == 2 and text[0] not in ACCENTED):
            return
        self.characters += len(text)
        self.twice += rounds > 1
        if len(text) == 2:
            self.pairs[text[0]] += 1
        # a longer match is more certain, so it is the better example
        if not self.count or len(self.first) == 2 < len(text):
            self.first, self.place = text, place_of(part, run.start())
        self.count += 1

    def certain(self, alphabet: Mapping[str, int]) -> int:
        """Return how many matches are damage.

        If less than half of all Ã begin valid UTF-8, they are real (Portuguese) letters.
        """
        by_chance = sum(count for lead, count in self.pairs.items() if 2 * count < alphabet[lead])
        sure = self.count - by_chance
        longer = self.count - sum(self.pairs.values())
        return sure if longer or sure >= FEW else 0


class Damage:
    """Searches a text, part by part, for encoding damage."""

    def __init__(self, alphabet: Mapping[str, int], lines: int) -> None:
        self.alphabet = alphabet
        self.characters = sum(alphabet.values())
        self.lines = lines
        self.lost, self.c1, self.c0 = Matches(LOST), Matches(C1), Matches(C0)
        self.western = Mojibake(PERHAPS_WESTERN, IN_WESTERN, "cp1252")
        self.cyrillic = Mojibake(IN_CYRILLIC, IN_CYRILLIC, "cp1251")
        self.entities, self.hyphens = Matches(ENTITY), Matches(HYPHEN)
        in_ascii = ((self.c0, C0_CODES), (self.entities, "&"), (self.hyphens, "-"))
        beyond = ((self.lost, "\ufffd"), (self.c1, C1_CODES), (self.western, WESTERN), (self.cyrillic, "РС"))
        self.in_ascii = [matches for matches, any_of in in_ascii if any(c in alphabet for c in any_of)]
        self.beyond = [matches for matches, any_of in beyond if any(c in alphabet for c in any_of)]

    def look_at(self, part: Part) -> None:
        for matches in self.in_ascii:
            matches.look_at(part)
        if not part.text.isascii():
            for matches in self.beyond:
                matches.look_at(part)

    def findings(self) -> list[Finding]:
        found = [self.describe_lost(), self.describe_mojibake(self.western, "Windows-1252")]
        found += [self.describe_mojibake(self.cyrillic, "Windows-1251"), self.describe_c1(), self.describe_c0()]
        found += [self.describe_entities(), self.describe_hyphens()]
        return [finding for finding in found if finding]

    def describe_lost(self) -> Finding | None:
        if not self.lost.count:
            return None
        share = self.lost.count / self.characters
        are = "character is" if self.lost.count == 1 else "characters are"
        return Finding(
            KIND,
            "stop" if share > MUCH else "warn" if share > SOME else "note",
            f"{self.lost.count:,} {are} lost: where they were, there is \ufffd (first in {self.lost.place}).",
            "They cannot be had back from this text. Get it again, and save it as UTF-8.",
        )

    def describe_mojibake(self, found: Mojibake, encoding: str) -> Finding | None:
        count = found.certain(self.alphabet)
        if not count:
            return None
        before = mended(found.first, found.codec)[0]
        places = "1 place is" if count == 1 else f"{count:,} places are"
        twice = ", many of them twice over" if 2 * found.twice > count else ""
        return Finding(
            KIND,
            "warn" if found.characters / self.characters > SOME else "note",
            f"{places} UTF-8 that was read as {encoding}{twice}: {found.first[:20]} stands for "
            f"{before[:20]} ({found.place}).",
            "Get the text again, and save it as UTF-8. Or mend it:\npip install ftfy\nftfy -o mended.txt FILE",
        )

    def describe_c1(self) -> Finding | None:
        if not self.c1.count or self.western.certain(self.alphabet):  # then the codes are bytes of mojibake
            return None
        code = ord(self.c1.first)
        before = bytes([code]).decode("cp1252", "ignore")
        stands = f"stands for {before}" if before else "stands for nothing that can be seen"
        return Finding(
            KIND,
            "warn" if self.c1.count / self.characters > SOME else "note",
            f"{self.c1.count:,} control codes from 80 to 9F: Windows-1252 was read as Latin-1. "
            f"U+{code:04X} {stands} ({self.c1.place}).",
            "Mend it:\npip install ftfy\nftfy -o mended.txt FILE",
        )

    def describe_c0(self) -> Finding | None:
        if not self.c0.count:
            return None
        colours = self.c0.first == "\x1b"
        kind = "escape codes, as they colour a terminal" if colours else "control codes, which nobody sees"
        return Finding(
            KIND,
            "warn" if self.c0.count / self.characters > SOME else "note",
            f"{self.c0.count:,} {kind}: the first is U+{ord(self.c0.first):04X} ({self.c0.place}).",
            "Write the text again without colours (most programs have --no-color)."
            if colours
            else "Take them out:\ntr -d '\\000-\\010\\013\\016-\\037\\177' < FILE > clean.txt",
        )

    def describe_entities(self) -> Finding | None:
        count = self.entities.count
        if count < FEWEST_ENTITIES or count * ENTITY_EVERY < self.characters:
            return None
        return Finding(
            KIND,
            "warn" if count / self.characters > 10 * SOME else "note",
            f"{count:,} HTML codes such as {self.entities.first} are in the text ({self.entities.place}).",
            "Where it is a web page, give it the suffix .html and it is read as one. Where it is plain text:\n"
            "python3 -c 'import sys, html; print(html.unescape(sys.stdin.read()))' < FILE > clean.txt",
        )

    def describe_hyphens(self) -> Finding | None:
        count = self.hyphens.count
        if count < FEWEST_HYPHENS or count < HYPHENATED * self.lines:
            return None
        return Finding(
            KIND,
            "note",
            f"{percent(count / self.lines)} of the lines end within a word, as in a scanned book "
            f"(first in {self.hyphens.place}).",
            "The model will learn to part words. Join them, if you don't want that:\n"
            "python3 -c 'import re, sys; "
            'print(re.sub(r"(?<=[^\\W\\d])-\\n(?=[^\\W\\d])", "", sys.stdin.read()))\' < FILE > joined.txt',
        )
