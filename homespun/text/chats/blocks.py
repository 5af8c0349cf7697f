"""Chats with a heading above each message: Discord's .txt, Teams, Telegram as it is copied, iMessage, Zoom.

[02-Jan-24 10:01 AM] anna            Anna, [02.01.2024 10:01]         Jan 02, 2024 10:01:02 AM (Read by you)
Hello                                Hello                            Anna
                                                                      Hello
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import islice

from homespun.text.chats.message import Chat
from homespun.text.chats.objects import discord_text
from homespun.text.chats.stamps import STAMP, TIME, Stamp, day_first

LOOK = 400  # lines by which a text is taken for a chat
FEWEST = 2
_ZONE = r"(?:Z|[+-]\d\d:?\d\d)?"
_HEADINGS = {
    "Discord": re.compile(rf"\[{STAMP}{_ZONE}\] (?P<who>[^\n]{{1,80}})"),
    "Telegram": re.compile(rf"(?P<who>[^\n]{{1,80}}?),? \[{STAMP}\]:?"),
    "Discord copied": re.compile(rf"(?P<who>[^\n]{{1,60}}?) ?[—–] ?(?:{STAMP}|(?:Today|Yesterday) at \d+:\d\d.*)"),
    "iMessage": re.compile(rf"{STAMP}(?: \([^()\n]*\))?"),
    "Zoom": re.compile(
        rf"{TIME}\s+[Ff]rom\s+(?P<who>[^\n]{{1,80}}?)(?:\s+[Tt]o\s+[^\n:]{{1,80}})? ?:(?:\s(?P<what>.*))?"
    ),
}
_SECTION = re.compile(r"\{(?:Attachments|Embed|Embeds|Reactions|Stickers|Invite)\}|(?:Tapbacks|Reactions):?")
_FRAME = re.compile(r"={10,}|-{20,}")
_FILE = re.compile(r"(?:/|~/|attachments/|Attachments/)[^\n]*\.\w{2,5}")
_NOTICES = re.compile(
    r"(?:Started a call.*|Pinned a message\.|Joined the server\.|Added .* to the group\.|Left the group\."
    r"|Removed .* from the group\.|Changed the channel .*|Boosted the server.*|Started a thread.*)"
)


@dataclass(frozen=True)
class Form:
    """kind: what wrote it. heading: the line above a message."""

    kind: str
    heading: re.Pattern[str]


def form_of(lines: Iterable[str]) -> Form | None:
    """Which kind of headings the lines have; None if they are no chat.

    >>> form_of(["[02-Jan-24 10:01 AM] anna\\n", "hi\\n", "\\n", "[02-Jan-24 10:02 AM] ben\\n", "yo\\n"]).kind
    'Discord'
    """
    sample = [line.strip("\n\r ") for line in islice(lines, LOOK)]
    for kind, heading in _HEADINGS.items():
        found = [(number, match) for number, line in enumerate(sample) if (match := heading.fullmatch(line))]
        if len(found) < FEWEST or found[0][0] > 12:
            continue
        if kind == "iMessage":  # the name stands on the next line
            names = [sample[number + 1].strip() for number, _ in found if number + 1 < len(sample)]
        else:
            names = [match["who"].strip() for _, match in found]
        places = {number for number, match in found if not match.groupdict().get("what")}
        bare = sum(number + 1 in places for number in places)  # headings with nothing below
        between = sum(1 for line in sample if line) / len(found)  # lines a message
        if kind == "iMessage" and not all(len(name.split()) <= 4 and name[-1:] not in ".!?…" for name in names):
            continue
        if all(names) and between < 30 and 2 * bare < len(found) and _recur(names):
            return Form(kind, heading)
    return None


def _recur(names: list[str]) -> bool:
    return len(names) < 5 or len(Counter(names)) <= 0.7 * len(names)


def read(lines: Iterable[str], form: Form) -> Chat:
    """The messages below these headings."""
    chat = Chat(form.kind.split()[0])
    entries: list[tuple[Stamp | None, str, list[str]]] = []
    frame = False  # of a head or foot: "=====", "Guild: …", "====="
    for line in lines:
        line = line.rstrip("\n\r")
        found = form.heading.fullmatch(line.strip())
        if found is not None:
            parts = found.groupdict()
            stamp = Stamp.of(found) if parts.get("hour") else None
            entries.append((stamp, parts.get("who") or "", [parts["what"]] if parts.get("what") else []))
            frame = False
        elif _FRAME.fullmatch(line.strip()):
            frame = not frame
        elif entries and not frame:
            entries[-1][2].append(line)
    first = day_first([stamp for stamp, _, _ in entries if stamp])
    for stamp, who, body in entries:
        if form.kind == "iMessage":
            who, body = (body[0], body[1:]) if body else ("", [])
        text = _said(body)
        if _NOTICES.fullmatch(text):
            chat.leave_out("service")
        else:
            who = re.sub(r"#\d{4}\b|\s*\(pinned\)", "", who) if form.kind.startswith("Discord") else who
            chat.add(who, text, stamp.time(first) if stamp else None)
    return chat


def _said(body: list[str]) -> str:
    """The text below a heading, without attachments and reactions."""
    kept = []
    for line in body:
        if _SECTION.fullmatch(line.strip()):
            break
        if not _FILE.fullmatch(line.strip()):
            kept.append(line.strip() if line.startswith((" ", "\t")) else line)
    return discord_text("\n".join(kept).strip())
