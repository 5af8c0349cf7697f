"""Chats without stamps: lines "Name: text", as people write them down, and the speakers of a play.

>>> chat_in("Anna: Are you there?\\nBen: Yes.\\nHere I am.\\nAnna: Good.\\n").messages[1]
Message(who='Ben', what='Yes.\\nHere I am.', when=None)
"""

from __future__ import annotations

import re
from collections import Counter

from homespun.text.chats.message import Chat

LOOK = 2000  # lines by which a text is taken for a chat
FEWEST = 2
_LINE = re.compile(r"(?P<who>[^\W\d_][^:\n]{0,39}?) ?:(?:[ \t]+(?P<what>.*)|$)")


_NICK = re.compile(r"<[@+%&~! ]?(?P<who>[^<>/\s][^<>/]{0,40})>[ \t](?P<what>[^<]*)")


def nicks_in(text: str) -> Chat | None:
    """A log of IRC without times: "<anna> hello". None where lines are others, or the page of somebody."""
    lines = [line for line in text.splitlines() if line.strip()]
    found = [match for line in lines if (match := _NICK.fullmatch(line))]
    names = Counter(match["who"] for match in found)
    if len(found) < FEWEST + 1 or len(found) < 0.8 * len(lines) or len(names) < 2 or len(names) > 0.7 * len(found):
        return None
    chat = Chat("IRC")
    for line in lines:
        match = _NICK.fullmatch(line)
        if match is None:
            chat.leave_out("service")
        else:
            chat.add(match["who"], match["what"])
    return chat


def chat_in(text: str) -> Chat | None:
    """The messages of a text whose lines begin with names that come again; None for any other text."""
    lines = text.splitlines()
    sample = [line for line in lines[:LOOK] if line.strip()]
    found = [match for line in sample if (match := _LINE.match(line))]
    names = Counter(match["who"] for line in lines if (match := _LINE.match(line)))
    come_again = {name for name, count in names.items() if count > 1}
    messages = sum(match["who"] in come_again for match in found)
    if len(found) < FEWEST or messages < 0.1 * len(sample) or messages < 0.5 * len(found):
        return None
    # A name that stands there once may as well be a word before a colon, unless most lines have one.
    known = set(names) if len(found) > 0.6 * len(sample) else come_again
    shown = ", ".join(name for name, _ in names.most_common(4))
    chat = Chat("", remarks=[f"what stands before a colon at the head of a line is read as a name: {shown}"])
    who, said = "", [""]
    for line in lines:
        match = _LINE.match(line)
        if match is None or match["who"] not in known:
            said.append(line)
            continue
        if who:
            chat.add(who, "\n".join(said))
        who, said = match["who"], [match["what"] or ""]
    if who:
        chat.add(who, "\n".join(said))
    return chat
