"""Which kind of chat a text is, if it is one.

>>> chat = chat_in_text("[1/2/24, 9:05:00 PM] Anna: Hello\\n[1/2/24, 9:06:00 PM] Ben: Hi\\n")
>>> chat.kind, chat.text()
('WhatsApp', 'Anna: Hello\\nBen: Hi\\n')
"""

from __future__ import annotations

from collections.abc import Iterator

from homespun.text.chats import blocks, plain, stamped
from homespun.text.chats.message import Chat

HEAD = 2**16  # characters by which a text is taken for a chat


def is_chat(head: str) -> bool:
    """Whether a text that begins so is a chat with stamps. head: its first HEAD characters or fewer."""
    lines = head.splitlines(keepends=True)
    if stamped.form_of(lines) is not None or blocks.form_of(lines) is not None:
        return True
    return head.lstrip().startswith("<") and plain.nicks_in(head) is not None


def chat_in_text(text: str, *, without_stamps: bool = False) -> Chat | None:
    """The chat in the text of a .txt file; None if it is something else.

    without_stamps: lines "Name: text" are a chat, too. To train on the text as it stands they need no parser,
    and a play has such lines as well, so that only those who ask for them get them.
    """
    lines = text[:HEAD].splitlines(keepends=True)
    if (form := stamped.form_of(lines)) is not None:
        return stamped.read(_lines(text), form)
    if (heading := blocks.form_of(lines)) is not None:
        return blocks.read(_lines(text), heading)
    if text.lstrip()[:1] == "<" and (nicks := plain.nicks_in(text)) is not None:
        return nicks
    return plain.chat_in(text) if without_stamps else None


def _lines(text: str) -> Iterator[str]:
    """The lines of a text; only "\\n" ends one."""
    start = 0
    while (end := text.find("\n", start)) >= 0:
        yield text[start : end + 1]
        start = end + 1
    if start < len(text):
        yield text[start:]
