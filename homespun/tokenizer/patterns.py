r"""Regular expressions from elsewhere: those that could take for ever on some text are told from the others.

An expression takes for ever where the same text can be matched in many ways and all of them are tried: twice as
many with each further character for `(a*)*`, a hundred times as many for ten times the text with `a*a*a*`. The
expressions of real tokenizers are lists of short alternatives: `'s| ?\p{L}+| ?\p{N}+|\s+(?!\S)|\s+`. So within
what is repeated there may be no choice, few repeats and choices may follow one another, and what can run over a
whole text (`.*`) stands at the end: `.*☃` reads the rest of the text anew for each of its characters.

Source of the syntax: Oniguruma's doc/RE, which `tokenizers` matches with.

>>> too_slow(r"'s| ?\p{L}+| ?\p{N}{1,3}|\s+(?!\S)|\s+"), too_slow("(a*)*b")
('', 'a repeat within a repeat')
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache

from tokenizers import Regex, pre_tokenizers

LONGEST = 2**19  # characters; a converted SentencePiece model lists all that it knows
MOST_CLASSES = 300  # each may become a table of thousands of ranges; o200k has some thirty
MOST_ALTERNATIVES = 20_000
MOST_REPEATS = 2  # as o200k has, the most intricate in use
MOST_CHOICES = 12  # it has four
LARGEST_COUNT = 1000
SMALL_COUNT = 16
LONGEST_WORD = 48  # characters: a repeat that matches more of PROSE at once can run over a whole text

PROSE = (
    "In the beginning, 16 or 17 quick brown foxes (mine & yours) jumped over the lazy dog's back; who - if\n"
    "anyone - would've thought that?\tYes: you did!\nЕщё в 1999 году, как говорят, жил-был царь; и было у него\n"
    "три сына, да кот.\n«Ça va», dit-il, où est-ce qu'on va très tôt demain matin avec l'été ?\n"
    "人之初，性本善。性相近，习相远。苟不教，性乃迁。教之道，贵以专。昔孟母，择邻处。子不学，断机杼。\n"
    "窦燕山，有义方。教五子，名俱扬。\n"
)

REPEAT = re.compile(r"[*+?][?+]?|\{(\d*)(,?)(\d*)\}\??")
GROUP = re.compile(r"\((?:\?(?:<?[=!]|:|>|<[A-Za-z_]\w*>|[im-]+[:)]))?")
ESCAPE = re.compile(r"\\(?:x\{[^}]*\}|x[0-9A-Fa-f]{1,2}|[pP]\{[^}]*\}|.)", re.DOTALL)
CLASS = re.compile(r"\[|\\[pPwWsSdDhH]")
# What refers to another part of the expression, or changes how the matching goes on.
REFERENCES = set("123456789gkKXRyY")
ANCHORS = set("bBAzZG")  # a place and no character


@dataclass
class Sequence:
    """What stands in a row: how many repeats, how many places where there is a choice, whether one of
    its repeats can run over a whole text, and whether it can match no character at all."""

    repeats: int = 0
    choices: int = 0
    runs: bool = False
    empty: bool = False


class TooSlow(Exception):
    """Why."""


def too_slow(pattern: str) -> str:
    """What makes the pattern dangerous; empty where nothing does."""
    for what, found, most in (
        ("characters", len(pattern), LONGEST),
        ("classes of characters", len(CLASS.findall(pattern)), MOST_CLASSES),
        ("alternatives", pattern.count("|"), MOST_ALTERNATIVES),
    ):
        if found > most:
            return f"it has {found:,} {what}"
    reader = Reader(pattern)
    try:
        reader.alternatives()
    except TooSlow as reason:
        return str(reason)
    except RecursionError:
        return "groups within groups within groups"
    return "" if reader.at == len(pattern) else "a parenthesis that closes nothing"


def can_be_empty(pattern: str) -> bool:
    """Whether a pattern that is not too slow can match no character, between two of them.

    >>> can_be_empty(r"\\s+|a"), can_be_empty(r"\\b"), can_be_empty("a*"), can_be_empty("(?=a)")
    (False, True, True, True)
    """
    return Reader(pattern).alternatives().empty


class Reader:
    """Reads a pattern from left to right. What is no sound pattern is Oniguruma's to refuse."""

    def __init__(self, pattern: str) -> None:
        self.pattern = pattern
        self.at = 0

    def alternatives(self) -> Sequence:
        """As far as the group's end: the most that any of the alternatives has."""
        worst, count = Sequence(), 0
        while True:
            row = self.row()
            worst.repeats, worst.choices = max(worst.repeats, row.repeats), max(worst.choices, row.choices)
            worst.runs |= row.runs
            worst.empty |= row.empty
            count += 1
            if self.peek() != "|":
                worst.choices += count > 1
                return worst
            self.at += 1

    def row(self) -> Sequence:
        row, beginning = Sequence(empty=True), self.at
        while self.peek() not in ("", "|", ")"):
            start = self.at
            inner = self.item()
            can_be_left_out = self.repeated(inner, self.pattern[start : self.at])
            if row.runs and not can_be_left_out:
                raise TooSlow("a repeat that can run over the whole text, with more behind it")
            row.runs |= inner.runs and not rare(self.pattern[beginning:start])
            row.empty &= inner.empty or can_be_left_out
            row.repeats += inner.repeats
            row.choices += inner.choices
            if row.repeats > MOST_REPEATS:
                raise TooSlow(f"more than {MOST_REPEATS} repeats after one another")
            if row.choices > MOST_CHOICES:
                raise TooSlow(f"more than {MOST_CHOICES} choices after one another")
        return row

    def item(self) -> Sequence:
        """One character, class or group."""
        match self.peek():
            case "\\":
                return self.escape()
            case "[":
                self.character_class()
            case "(":
                return self.group()
            case anchor:
                self.at += 1
                return Sequence(empty=anchor in "^$")
        return Sequence()

    def escape(self) -> Sequence:
        found = ESCAPE.match(self.pattern, self.at)
        if found is None:
            self.at = len(self.pattern)  # a lone backslash at the end
            return Sequence()
        if found.group()[1] in REFERENCES:
            raise TooSlow(f"a reference to another part ({found.group()})")
        self.at = found.end()
        return Sequence(empty=found.group()[1] in ANCHORS)

    def character_class(self) -> None:
        """`[^a-z&&[^aeiou]]`: classes may stand in classes, and a `]` that comes first is a character."""
        depth = 0
        while self.at < len(self.pattern):
            character = self.peek()
            if character == "\\":
                found = ESCAPE.match(self.pattern, self.at)
                self.at = found.end() if found else len(self.pattern)
                continue
            self.at += 1
            if character == "[":
                depth += 1
                self.at += self.pattern.startswith("^", self.at)
                self.at += self.pattern.startswith("]", self.at)
            elif character == "]":
                depth -= 1
                if not depth:
                    return

    def group(self) -> Sequence:
        start = GROUP.match(self.pattern, self.at)
        assert start is not None  # it begins with a parenthesis
        self.at = start.end()
        if self.peek() in ("?", "*"):
            raise TooSlow(f"a kind of group that is not known ({self.pattern[start.start() : self.at + 2]})")
        if start.group().endswith(")"):
            return Sequence(empty=True)  # options for what follows
        inner = self.alternatives()
        self.at += 1  # the closing parenthesis
        if not start.group().endswith(("=", "!")):
            return inner
        if inner.runs:
            raise TooSlow("a look over the whole text")
        return Sequence(inner.repeats, empty=True)  # it is never tried a second way

    def repeated(self, inner: Sequence, item: str) -> bool:
        """What follows an item says how often: adds that to `inner`. Whether it may be no time at all."""
        found = REPEAT.match(self.pattern, self.at)
        if found is None or found.group() in ("{}", "{,}"):
            return False
        self.at = found.end()
        if REPEAT.match(self.pattern, self.at):
            raise TooSlow("a repeat of a repeat")
        if found.group()[0] == "?":
            inner.choices += 1
            return True
        least, comma, most = found.groups()
        if len(least or "") + len(most or "") > 6 or max(int(least or 0), int(most or 0)) > LARGEST_COUNT:
            raise TooSlow(f"a repeat of more than {LARGEST_COUNT:,} times")
        if least and not comma and int(least) <= SMALL_COUNT:
            return False  # so many and no other number: there is nothing to choose
        if inner.repeats or inner.choices:
            raise TooSlow("a repeat within a repeat" if inner.repeats else "a choice within a repeat")
        inner.repeats += 1
        inner.runs = (comma is None or not most or int(most) > SMALL_COUNT) and can_run(item)
        return found.group()[0] == "*" or least == "" or (least is not None and int(least) == 0)

    def peek(self) -> str:
        return self.pattern[self.at : self.at + 1]


@lru_cache(maxsize=1000)
def can_run(item: str) -> bool:
    """Whether a repeat of this can run over words, spaces and the ends of lines, in some language.

    >>> can_run("[^☃]"), can_run(r"\\s"), can_run(r"[\\p{L}\\p{M}]")
    (True, False, False)
    """
    return any(length > LONGEST_WORD for length in matches(f"(?:{item})+"))


@lru_cache(maxsize=1000)
def rare(beginning: str) -> bool:
    """Whether what has to come first comes nowhere in PROSE: then what follows is seldom tried.

    >>> rare(r"<\\|"), rare("e"), rare("")
    (True, False, False)
    """
    return bool(beginning) and not matches(rf"(?:{beginning})[\s\S]")  # with one more, so that no match is empty


def matches(pattern: str) -> list[int]:
    """How long the matches in PROSE are; none where it is no pattern, and then the library refuses the whole."""
    try:
        split = pre_tokenizers.Split(Regex(pattern), "removed")
    except Exception:  # noqa: BLE001 - the library knows no narrower class
        return []
    ends = [0, *(place for _, span in split.pre_tokenize_str(PROSE) for place in span), len(PROSE)]
    return [end - start for start, end in zip(ends[::2], ends[1::2], strict=True) if end > start]
