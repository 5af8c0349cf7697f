"""Chats of lines that begin with a stamp: WhatsApp, Signal, Viber, IRC, and what people log themselves.

    [1/2/24, 9:05:00 PM] Anna: Hello        12.03.2024, 21:05 - Anna: Hello
    [21:05] <anna> hello                    2024-03-12 21:05:00<tab>anna<tab>hello
    [Anna] [오후 9:05] hello

A line without a stamp belongs to the message before it; one with a stamp and without a sender is the app's own.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import islice

from homespun.text.chats import whatsapp
from homespun.text.chats.message import Chat, without_direction
from homespun.text.chats.stamps import STAMP, TIME, Stamp, day_first, day_of

LOOK = 400  # lines by which a text is taken for a chat
FEWEST = 2  # messages of a chat
_BY_PEOPLE = 0.7  # of the messages are by those who wrote several, where the stamps prove little
_MARKS = "[\u200e\u200f\u202a-\u202e\ufeff ]*"
_ZONE = r"(?:Z|[+-]\d\d:?\d\d)?"
_WHO = r"(?P<who>[^:\n]{1,80}?)"
_COLON = r"[ \u00a0\u202f]?[:：](?:[ \u200e\u200f\u202a-\u202e]+(?=\S)|\s|$)"
# What stands after the stamp: "- Anna: text", "Anna: text", "<anna> text", "<tab>anna<tab>text".
_SPOKEN = {
    "name": re.compile(rf"{_WHO}(?P<colon>{_COLON})(?P<what>.*)"),
    "nick": re.compile(r"<[@+%&~! ]?(?P<who>[^<>\s][^<>]{0,40})>\s?(?P<what>.*)"),
    "name first": re.compile(r"\[(?P<who>[^\[\]]{1,60})\] \[[^\[\]]*\] (?P<what>.*)"),
    "tabs": re.compile(r"\t[@+%&~! ]?(?P<who>[^\t]{1,40})\t(?P<what>.*)"),
}
_HEADS = {
    "brackets": re.compile(rf"{_MARKS}\[ ?{STAMP}{_ZONE} ?\]:?"),
    "round": re.compile(rf"{_MARKS}\({STAMP}{_ZONE}\):?"),
    "dash": re.compile(rf"{_MARKS}{STAMP}{_ZONE}(?= [-–] |, \S)"),
    "bare": re.compile(rf"{_MARKS}{STAMP}{_ZONE}(?=\s)"),
    "name, hour": re.compile(rf"{_MARKS}(?=\[[^\[\]\n]{{1,60}}\] \[{TIME}\] )"),
    "hour in brackets": re.compile(rf"{_MARKS}\[{TIME}\]"),
    "hour": re.compile(rf"{_MARKS}{TIME}(?=\s)"),
}
_BEFORE_NAME = re.compile(r"(?: [-–] |, | )?")
_LOG_LEVELS = re.compile(
    r"(?:.*\W)?(?:error|err|warn|warning|info|debug|trace|fatal|critical|notice|severe|exception)(?:\W.*)?"
    r"|.*[\[{=]\d+\]?}?|.*::.*|\S*/\S*",
    re.IGNORECASE,
)
_IN_BRACKETS = re.compile(r"\[[^\[\]]{2,20}\]|사진|동영상|이모티콘")  # LINE and KakaoTalk: "[Sticker]"
_REACTION = re.compile(r"^\(- .{1,80} -\)[ \t]*$|!\[[^\]\n]*\]\([^()\n]*\)", re.MULTILINE)  # in Signal's .md
_QUOTE = re.compile('["“”«»„]')  # in a "name": 'Anna changed the subject to "Plan'


@dataclass(frozen=True)
class Form:
    """How a chat writes its lines."""

    head: re.Pattern[str]
    spoken: re.Pattern[str]
    kind: str

    def parted(self, line: str) -> tuple[Stamp, str, str, bool] | None:
        """(when, who, what, whether somebody said it) of a line that begins a message; None of any other."""
        head = self.head.match(line)
        if head is None:
            return None
        rest = line[head.end() :]
        if not rest.startswith("\t"):
            rest = rest[_match_end(_BEFORE_NAME, rest) :]
        spoken = self.spoken.match(rest.strip("\n") if rest.startswith("\t") else rest.strip(" \n"))
        stamp = Stamp.of(head)
        if spoken is None or not without_direction(spoken["who"]).strip(" -*=<>!"):
            return stamp, "", rest, False
        mark = whatsapp.MARK if (spoken.groupdict().get("colon") or "").endswith(whatsapp.MARK) else ""
        return stamp, spoken["who"], mark + spoken["what"], not _QUOTE.search(spoken["who"])


def _match_end(pattern: re.Pattern[str], text: str) -> int:
    found = pattern.match(text)
    return found.end() if found else 0


def form_of(lines: Iterable[str]) -> Form | None:
    """How the lines are written, if they are of a chat; None if they are something else.

    >>> form_of(["[1/2/24, 9:05:00 PM] Anna: Hello\\n", "[1/2/24, 9:06:00 PM] Ben: Hi\\n"]).kind
    'WhatsApp'
    >>> form_of(["[2024-01-02 10:00:00] app.ERROR: no\\n", "[2024-01-02 10:00:01] app.INFO: yes\\n"])
    """
    sample = [line for line in islice(lines, LOOK) if line.strip()]
    for name, head in _HEADS.items():
        stamped = [found for line in sample if (found := head.match(line))]
        if len(stamped) < FEWEST or not any(head.match(line) for line in sample[:5]):
            continue
        for writing, spoken in _SPOKEN.items():
            form = Form(head, spoken, _kind(name, writing, sample))
            said = [part for line in sample if (part := form.parted(line)) and part[3]]
            if _is_a_chat([who for _, who, _, _ in said], len(stamped), name, writing):
                return form
    return None


def _is_a_chat(senders: list[str], stamped: int, head: str, writing: str) -> bool:
    """Whether lines with these senders are a chat, and not the log of a program or a timetable."""
    if len(senders) < FEWEST or len(senders) < stamped / 3:
        return False
    counts = Counter(senders)
    if any(_LOG_LEVELS.fullmatch(who.strip()) for who, _ in counts.most_common(8)):
        return False
    if writing in ("nick", "name first") or head in ("brackets", "dash"):
        return True
    # Verses and timetables have a number and a colon, too; but people say more than one thing.
    by_people = sum(count for who, count in counts.items() if count > 1 and _looks_like_name(who))
    recur = sum(count > 1 for count in counts.values()) > 1 and by_people >= _BY_PEOPLE * len(senders)
    names = sum(count for who, count in counts.items() if not who.strip()[:1].islower())
    return recur and (writing == "tabs" or names >= len(senders) / 2)


def _looks_like_name(who: str) -> bool:
    return len(who.split()) <= 4 and not re.search("[,;.!?] ", who)


def _kind(head: str, writing: str, sample: Sequence[str]) -> str:
    if writing == "name first":
        return "KakaoTalk"
    if sample and "LINE" in sample[0] and not re.match(r"\W*\d", sample[0]):
        return "LINE"
    if writing != "name":
        return "IRC"
    has_seconds = re.search(r"^\W*\[\d[^\]]*\d[:.]\d\d[:.]\d\d", "\n".join(sample[:9]), re.MULTILINE)
    if head == "dash" or (head == "brackets" and (has_seconds or any(whatsapp.MARK in line for line in sample))):
        return "WhatsApp"
    return ""


def read(lines: Iterable[str], form: Form) -> Chat:
    """The messages in these lines."""
    chat = Chat(form.kind)
    entries: list[tuple[Stamp, str, list[str], bool]] = []
    day: datetime | None = None
    days: list[datetime | None] = []
    for line in lines:
        parted = form.parted(line)
        if parted is None:
            if opened := day_of(line):
                day = opened
            elif entries:
                entries[-1][2].append(line.rstrip("\n"))
            continue
        stamp, sender, text, is_spoken = parted
        entries.append((stamp, sender, [text], is_spoken))
        days.append(day)
    first = day_first([stamp for stamp, _, _, _ in entries])
    texts = [what[0] for _, _, what, is_spoken in entries if is_spoken]
    marked, edits = whatsapp.marks_say_something(texts), whatsapp.edit_marks(texts)
    for (stamp, who, what, is_spoken), opened in zip(entries, days, strict=True):
        if not is_spoken:
            chat.leave_out("service")
            continue
        if form.kind in ("LINE", "KakaoTalk") and _IN_BRACKETS.fullmatch(what[0].strip()):
            chat.leave_out("no text")
            continue
        text, left_out = whatsapp.spoken("\n".join(what).rstrip(), marked=marked, edits=edits)
        if left_out:
            chat.leave_out(left_out)
            continue
        text = _REACTION.sub("", text).strip()
        when = stamp.time(first)
        if when is None and opened is not None:
            when = stamp.on(opened)
        chat.add(who, text, when)
    return chat
