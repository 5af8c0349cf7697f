"""Dates and times as phones of many languages write them before a message.

Whether 3/4/24 is in March or in April is decided for a whole file: by a number above 12, else by the order that
keeps the messages in order of time.

>>> found = re.match(STAMP, "3/14/24, 9:05:00\\u202fPM")
>>> Stamp.of(found).time(day_first=False)
datetime.datetime(2024, 3, 14, 21, 5)
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import pairwise

_SPACE = "[ \u00a0\u202f]"
_MARK = "[\u200e\u200f]?"  # of direction, in right-to-left languages
_DATE = (
    rf"(?P<a>\d{{1,4}}){_MARK}(?:[./-]|년|年){_MARK}{_SPACE}?(?P<b>\d{{1,2}}){_MARK}(?:[./-]|월|月){_MARK}{_SPACE}?"
    rf"(?P<c>\d{{1,4}}){_MARK}(?:\.|일|日)?"
)
_NAMED_DATE = (
    rf"(?P<d1>\d{{1,2}})(?:\.|{_SPACE}|-)+(?P<mon1>[^\W\d_]{{3,9}})\.?(?:,|{_SPACE}|-)+(?P<y1>\d{{2,4}})"
    rf"|(?P<mon2>[^\W\d_]{{3,9}})\.?{_SPACE}(?P<d2>\d{{1,2}}),{_SPACE}(?P<y2>\d{{4}})"
)
_BEFORE = rf"(?:[^\W\d_]{{1,4}}\.?{_SPACE}?)?"  # "à", "um", "下午": a word before the time
_AFTER = (
    rf"(?:{_SPACE}?[^\W\d_]\.?{_SPACE}?[^\W\d_]{{1,2}}\.?|{_SPACE}?[صم]\.?|{_SPACE}?Uhr)?"  # "PM", "p. m.", "μ.μ."
)
TIME = (
    rf"(?P<before>{_BEFORE})(?P<hour>\d{{1,2}})[:.](?P<minute>\d{{2}})(?:[:.](?P<second>\d{{2}}))?(?:[.,]\d{{1,6}})?"
    rf"(?P<after>{_AFTER})"
)
_BETWEEN = rf"(?:[,،.]|T|{_SPACE})?{_MARK}(?:{_SPACE}(?:at|a las){_SPACE})?{_SPACE}*"
STAMP = rf"(?:{_DATE}|{_NAMED_DATE}){_BETWEEN}{TIME}"
MINUTES = re.compile(r"[:.]\d\d")  # in all that TIME matches, and found much faster
_AFTERNOON = ("pm", "下午", "晚上", "中午", "오후", "午後", "م", "μμ", "ös", "du", "ch", "ip", "odp", "md", "mm")
_MORNING = ("am", "上午", "凌晨", "早上", "오전", "午前", "ص", "πμ", "öö", "de", "sa", "fp", "dop", "pd", "pg")
_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")


@dataclass(frozen=True, slots=True)
class Stamp:
    """The numbers of a stamp as they stand there: `date` in their order, `month` where it has a name."""

    date: tuple[int, int, int] | None
    month: int | None
    hour: int
    minute: int
    second: int
    half: int | None  # 0 before noon, 1 after, None on a clock of 24 hours

    @classmethod
    def of(cls, found: re.Match[str]) -> Stamp:
        parts = found.groupdict()
        date, month = None, None
        if parts.get("a"):
            date = int(parts["a"]), int(parts["b"]), int(parts["c"])
        elif parts.get("mon1") or parts.get("mon2"):
            number = "1" if parts.get("mon1") else "2"
            month = month_named(parts[f"mon{number}"])
            date = int(parts[f"y{number}"]), month or 0, int(parts[f"d{number}"])
        return cls(date, month, int(parts["hour"]), int(parts["minute"]), int(parts["second"] or 0), _half(parts))

    def time(self, day_first: bool) -> datetime | None:
        """The time it stands for; None where no calendar has such a day."""
        if self.date is None:
            return None
        first, second, third = self.date
        if self.month is not None or first > 31:
            year, month, day = first, second, third
        elif day_first:
            day, month, year = first, second, third
        else:
            month, day, year = first, second, third
        try:
            return self.on(datetime(year + 2000 if year < 100 else year, month, day))
        except ValueError:
            return None

    def on(self, day: datetime) -> datetime | None:
        """Its hour on that day."""
        hour = self.hour if self.half is None else self.hour % 12 + 12 * self.half
        try:
            return day.replace(hour=hour, minute=self.minute, second=self.second)
        except ValueError:
            return None


def month_named(name: str) -> int | None:
    """1 to 12 for an English name or its beginning."""
    start = name[:3].lower()
    return _MONTHS.index(start) + 1 if start in _MONTHS else None


def _half(parts: dict[str, str | None]) -> int | None:
    for part in (parts.get("after"), parts.get("before")):
        said = re.sub(r"[.\s\u00a0\u202f]", "", part or "").lower()
        if said in _AFTERNOON:
            return 1
        if said in _MORNING:
            return 0
    return None


def day_first(stamps: Sequence[Stamp]) -> bool:
    """Whether the day stands before the month in these stamps, which are in order of time.

    >>> at = lambda a, b: Stamp((a, b, 24), None, 0, 0, 0, None)
    >>> day_first([at(1, 2), at(14, 2)]), day_first([at(1, 31), at(2, 1)]), day_first([at(5, 6), at(6, 6)])
    (True, False, True)
    """
    numbers = [stamp.date for stamp in stamps if stamp.date and stamp.month is None]
    if any(first > 12 for first, _, _ in numbers):
        return True
    if any(second > 12 for _, second, _ in numbers):
        return False

    def oddness(is_day_first: bool) -> tuple[int, float]:
        """Steps back in time; and the span, as a chat of a few days is not spread over months with only these."""
        times = [time for stamp in stamps if (time := stamp.time(is_day_first)) is not None]
        steps_back = sum(later < earlier for earlier, later in pairwise(times))
        return steps_back, (max(times) - min(times)).total_seconds() if times else 0.0

    return oddness(True) <= oddness(False)


_DAY = re.compile(rf"(?:-{{2,}}|\W*)\s?(?:[^\W\d_]{{2,9}}[,.]? )?(?:{_DATE})\s?(?:\W?[^\W\d_]{{1,9}}\W?)?\s?-*\s*")
_DAY_CHANGED = re.compile(r"-{2,}.*?\b([A-Z][a-z]{2}) (\d{1,2})\b.*?\b(\d{4})")


def day_of(line: str) -> datetime | None:
    """The day that a line between messages begins.

    >>> day_of("--- Day changed Tue Jan 02 2024"), day_of("--------------- 2024년 1월 2일 화요일 ---------------")
    (datetime.datetime(2024, 1, 2, 0, 0), datetime.datetime(2024, 1, 2, 0, 0))
    >>> day_of("2024/01/02(火)"), day_of("He came on 2 January.")
    (datetime.datetime(2024, 1, 2, 0, 0), None)
    """
    line = line.strip()
    year = month = day = 0
    if found := _DAY.fullmatch(line):
        year, month, day = int(found["a"]), int(found["b"]), int(found["c"])
        if year < 100:  # 1/2/2024: the order is not known, and the distance of days is what counts
            year, month, day = (day, month, year) if month <= 12 else (day, year, month)
    elif found := _DAY_CHANGED.match(line):
        year, month, day = int(found[3]), month_named(found[1]) or 0, int(found[2])
    else:
        return None
    try:
        return datetime(year, month, day)
    except ValueError:
        return None
