"""How a table of text is written: its separator, its quotation marks, and whether its first line names the
columns.

>>> dialect_of(["sep=;\\n", "id;text\\n", "1;One, two.\\n"], ".csv").separator
';'
>>> dialect_of(["Up the hill, down the hill.\\n", "Over land, over sea.\\n"], ".csv").whole_lines
True
"""

from __future__ import annotations

import csv
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from homespun.text.fields import is_known

MAX_FIELD = 2**26  # characters of one field, which may have many lines: a whole book in one is fine
_SEPARATORS = ",;\t|"
_SEP_LINE = re.compile(r'"?sep=(.)"?\s*', re.IGNORECASE)
_QUOTED = re.compile(r'"(?:[^"]|"")*"')
_NUMBER = re.compile(r"[-+]?\d+(?:[.,]\d+)*%?")
_DATE_OR_LINK = re.compile(r"https?://\S+|\d{1,4}[./-]\d{1,2}[./-]\d{1,4}.*")
_FEW = 8  # different values of a column that are a list of labels
_MOST = 0.8  # of the lines


@dataclass
class Dialect:
    """skip: lines before the table ("sep=;"). quoted: whether fields may stand in quotation marks. spaces:
    whether a
    space after the separator is left out. whole_lines: whether a line is one text, and its commas are commas."""

    separator: str
    skip: int = 0
    quoted: bool = True
    spaces: bool = False
    whole_lines: bool = False


def dialect_of(lines: Sequence[str], suffix: str) -> Dialect:
    """How a table is written, by its first lines."""
    skip = 0
    if lines and (said := _SEP_LINE.fullmatch(lines[0].rstrip("\r\n"))):
        skip, separator = 1, said[1]
    else:
        separator = _separator(lines, suffix)
    there = [line.rstrip("\r\n") for line in lines[skip:] if line.strip()]
    found = Dialect(separator, skip)
    found.quoted = _is_quoted(there, separator)
    found.spaces = any(f'{separator} "' in line for line in there) and separator != " "
    found.whole_lines = not skip and _are_whole_lines(there, separator)
    return found


def _separator(lines: Sequence[str], suffix: str) -> str:
    there = [_QUOTED.sub("", line) for line in lines if line.strip()]
    if not there:
        return ","
    if suffix in (".tsv", ".tab") and "\t" in there[0]:
        return "\t"
    possible = [separator for separator in _SEPARATORS if separator in there[0]]

    def agreement(separator: str) -> tuple[float, int]:
        counts = [line.count(separator) for line in there]
        return round(sum(count == counts[0] for count in counts) / len(counts), 1), counts[0]

    return max(possible, key=agreement, default=",")


def _is_quoted(lines: Sequence[str], separator: str) -> bool:
    """Tabs as data know no quoting, unless fields in quotation marks have line ends or tabs in them."""
    if separator != "\t":
        return True
    widths = Counter(line.count("\t") for line in lines)
    if len(widths) <= 1:
        return False
    rows = csv.reader((line + "\n" for line in lines), delimiter="\t", strict=True)
    try:
        return len({len(row) for row in rows}) == 1
    except csv.Error:
        return False


def _are_whole_lines(lines: Sequence[str], separator: str) -> bool:
    """Whether lines are texts, one a line, as people put them into a .csv without thinking of columns."""
    if not lines or separator == "\t" or any('"' in line for line in lines):
        return False
    first = [cell.strip() for cell in lines[0].split(separator)]
    if any(is_known(cell) for cell in first):
        return len(first) == 1
    if len(lines) > 1 and _looks_like_names(first):
        return False
    rows = [line.split(separator) for line in lines]
    wide = [row for row in rows if len(row) > 1]
    widths = Counter(map(len, rows))
    if len(rows) > 2 and max(widths.values()) < _MOST * len(rows):
        return True
    spaced = sum(all(cell.startswith(" ") for cell in row[1:]) for row in wide)
    return not wide or spaced >= _MOST * len(wide)


def has_header(first: Sequence[str], rows: Sequence[Sequence[str]]) -> bool:
    """Whether the first row names the columns.

    >>> has_header(["id", "text"], [["1", "One."]]), has_header(["1", "A hen sat."], [["2", "A dog ran."]])
    (True, False)
    """
    cells = [cell.strip() for cell in first]
    if any(is_known(cell) for cell in cells if cell):
        return True
    if not _looks_like_names(cells):
        return False
    for place, name in enumerate(cells):
        column = [row[place].strip() for row in rows if place < len(row)]
        if not column or not name:
            continue
        if all(map(_NUMBER.fullmatch, column)) or sum(map(len, column)) / len(column) > 2 * len(name) + 4:
            return True
    # A word over words says nothing; names of columns have no spaces, as a rule.
    return all(" " not in cell for cell in cells) and not all(" " not in cell for row in rows for cell in row)


def _looks_like_names(cells: Sequence[str]) -> bool:
    filled = [cell for cell in cells if cell]
    if not filled or len(set(filled)) < len(filled):
        return False
    for cell in filled:
        if len(cell) > 40 or len(cell.split()) > 4 or cell[-1] in ".!?…,;:":
            return False
        if _NUMBER.fullmatch(cell) or _DATE_OR_LINK.fullmatch(cell):
            return False
    return True


@dataclass
class TableLines:
    """The rows of a table. Iterate once; `stray` counts quotation marks that never close, read as they stand."""

    lines: Iterator[str]
    dialect: Dialect
    width: int = 0  # as many as the header has; 0 where that is not known yet
    labels: dict[int, set[str] | None] = field(default_factory=dict)  # of regular columns; None: numbers
    stray: int = 0
    first_stray: int = 0
    _waiting: list[str] = field(default_factory=list)
    number: int = 0  # of the line read last

    def __iter__(self) -> Iterator[list[str]]:
        while (line := self._next()) is not None:
            if not line.strip():
                yield []
            elif self.dialect.whole_lines:
                yield [line.rstrip("\r\n")]
            elif not self.dialect.quoted:
                yield [_unwrapped(cell) for cell in line.rstrip("\r\n").split(self.dialect.separator)]
            elif '"' not in line:
                yield self._split(line)
            else:
                yield self._quoted(line)

    def learn(self, lines: Sequence[str]) -> None:
        """What columns are regular: of numbers, or of few labels. By them a line that is a row is recognised.

        lines: the first ones; those without a quotation mark are rows for sure.
        """
        rows = [self._split(line) for line in lines if '"' not in line and line.strip()]
        self.width = len(self._split(lines[0])) if lines else 0
        whole = [row for row in rows[1:] if len(row) == self.width]
        for place in range(self.width if len(whole) > 1 else 0):
            cells = {row[place] for row in whole}
            if all(map(_NUMBER.fullmatch, cells)):
                self.labels[place] = None
            elif len(cells) <= _FEW and len(whole) > 4 * len(cells) and max(map(len, cells)) < 20:
                self.labels[place] = cells

    def _next(self) -> str | None:
        line = self._waiting.pop() if self._waiting else next(self.lines, None)
        self.number += line is not None
        return line

    def _split(self, line: str) -> list[str]:
        cells = line.rstrip("\r\n").split(self.dialect.separator)
        return [cell.lstrip(" ") for cell in cells] if self.dialect.spaces else cells

    def _quoted(self, line: str) -> list[str]:
        """The row that begins in a line with a quotation mark, and the lines that belong to it."""
        parts, length, marks = [line], len(line), line.count('"')
        while marks % 2 and length <= MAX_FIELD and (more := self._next()) is not None:
            parts.append(more)
            length += len(more)
            marks += more.count('"')
        row = self._parsed("".join(parts)) if marks % 2 == 0 else None
        if row is not None and (len(parts) == 1 or not self._are_rows(parts)):
            return row
        self._waiting.extend(reversed(parts[1:]))
        self.number -= len(parts) - 1
        if marks % 2 or len(parts) > 1:
            self.stray += 1
            self.first_stray = self.first_stray or self.number
        loose = next(
            csv.reader([line], delimiter=self.dialect.separator, skipinitialspace=self.dialect.spaces), []
        )
        literal = [_unwrapped(cell, strict=False) for cell in self._split(line)]
        return loose if len(parts) == 1 and self.width and len(literal) != self.width else literal

    def _parsed(self, text: str) -> list[str] | None:
        """The row, if it is one by the strict rules: a quotation mark that closes is followed by a separator."""
        csv.field_size_limit(2 * MAX_FIELD)
        rows = csv.reader(
            text.splitlines(keepends=True), delimiter=self.dialect.separator, skipinitialspace=self.dialect.spaces,
            strict=True,
        )  # fmt: skip
        try:
            found = list(rows)
        except csv.Error:
            return None
        return found[0] if len(found) == 1 else None

    def _are_rows(self, parts: Sequence[str]) -> bool:
        """Whether the lines that a quotation mark would swallow are rows themselves."""
        if self.width < 2:
            return False
        for part in parts[1:-1] or parts[1:]:
            cells = self._split(part)
            if len(cells) != self.width:
                return False
            for place, labels in self.labels.items():
                cell = cells[place].strip().strip('"')
                if not (_NUMBER.fullmatch(cell) if labels is None else cell in labels):
                    return False
        return bool(self.labels) or len(parts) > 5


def _unwrapped(cell: str, *, strict: bool = True) -> str:
    """A field without the quotation marks that some programs put around it. strict: those within are doubled.

    >>> _unwrapped('"a hen"'), _unwrapped('"open'), _unwrapped('"a "b" c"', strict=False)
    ('a hen', '"open', 'a "b" c')
    """
    inner = cell[1:-1]
    if len(cell) < 2 or not cell[0] == cell[-1] == '"':
        return cell
    if '"' not in inner.replace('""', ""):
        return inner.replace('""', '"')
    return cell if strict else inner
