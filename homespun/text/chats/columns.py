"""Chats in tables: Discord's .csv, iMazing's, KakaoTalk's, and others with a sender, a time and a text.

>>> rows = [["2024-01-02 10:01:02", "Anna", "Hi"], ["2024-01-02 10:02:02", "Ben", "Yo"]]
>>> read(columns_of(["Date", "User", "Message"], rows), rows).text()
'Anna: Hi\\nBen: Yo\\n'
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from homespun.text.chats.message import Chat
from homespun.text.chats.objects import discord_text
from homespun.text.chats.stamps import STAMP, Stamp, day_first

_LOOK = 200  # rows
_WHO = ("sender name", "sender", "from name", "from", "speaker", "author", "user", "username", "name", "nickname")
_SENDERS = {"sender name", "sender", "from name", "from", "speaker"}  # only chats have these
_WHAT = ("text", "message", "content", "body", "msg", "message text")
_WHEN = (
    "message date",
    "date",
    "timestamp",
    "time",
    "datetime",
    "sent at",
    "date time",
    "created at",
    "date sent",
)
_TIME = re.compile(STAMP + r"(?:\.\d+)?(?:Z|[+-]\d\d:?\d\d)?")
_ME = "Me"  # who wrote what a table calls outgoing


@dataclass(frozen=True)
class Columns:
    """Where in a row the sender, the text and the time stand; `kind` as in Chat."""

    who: int
    what: int
    when: int
    kind: str
    outgoing: int = -1  # where it says whether the message went out: then there is no sender


def columns_of(header: Sequence[str], rows: Sequence[Sequence[str]]) -> Columns | None:
    """The columns of a chat, judged by the header and the first rows; None for any other table."""
    names = [re.sub(r"[\s_-]+", " ", name).strip().lower() for name in header]
    who, what, when = (_first(names, wanted) for wanted in (_WHO, _WHAT, _WHEN))
    if min(who, what, when) < 0 or not rows or "role" in names:
        return None
    sample = rows[:_LOOK]
    kind = "Discord" if "authorid" in names else "iMessage" if "chat session" in names else ""
    outgoing = names.index("type") if kind == "iMessage" and "type" in names else -1
    times = sum(bool(_TIME.fullmatch(_cell(row, when))) for row in sample)
    if times < 0.8 * len(sample):
        return None
    people = {_cell(row, who) for row in sample}
    if kind or names[who] in _SENDERS or len(people) <= max(2, len(sample) / 2):
        return Columns(who, what, when, kind, outgoing)
    return None


def _first(names: list[str], wanted: tuple[str, ...]) -> int:
    return next((names.index(name) for name in wanted if name in names), -1)


def _cell(row: Sequence[str], column: int) -> str:
    return row[column].strip() if column < len(row) else ""


def read(columns: Columns, rows: Iterable[Sequence[str]]) -> Chat:
    """The messages in these rows."""
    chat = Chat(columns.kind)
    kept = [row for row in rows if row]
    found = [_TIME.fullmatch(_cell(row, columns.when)) for row in kept]
    stamps = [Stamp.of(match) if match else None for match in found]
    first = day_first([stamp for stamp in stamps if stamp])
    for row, stamp in zip(kept, stamps, strict=True):
        who, text = _cell(row, columns.who), _cell(row, columns.what)
        if columns.outgoing >= 0:
            kind = _cell(row, columns.outgoing).lower()
            if kind == "notification":
                chat.leave_out("service")
                continue
            who = who or (_ME if kind == "outgoing" else "")
        text = discord_text(text) if columns.kind == "Discord" else text
        who = re.sub(r"#\d{4}\Z", "", who) if columns.kind == "Discord" else who
        chat.add(who, text, stamp.time(first) if stamp else None)
    chat.sort()
    return chat
