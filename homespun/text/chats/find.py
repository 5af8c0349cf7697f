"""Which kind of chat a text is, if it is one.

>>> chat = chat_in_text("[1/2/24, 9:05:00 PM] Anna: Hello\\n[1/2/24, 9:06:00 PM] Ben: Hi\\n")
>>> chat.kind, chat.text()
('WhatsApp', 'Anna: Hello\\nBen: Hi\\n')
"""

from __future__ import annotations

from collections.abc import Iterator

from homespun.text.chats import blocks, plain, stamped
from homespun.text.chats.message import Chat
from homespun.text.chats.stamps import MINUTES

HEAD = 2**16  # characters by which a text is taken for a chat


def is_chat(head: str) -> bool:
    """Whether a text that begins so is a chat with stamps. head: its first HEAD characters or fewer."""
    if _form_of(head) is not None:
        return True
    return head.lstrip().startswith("<") and plain.nicks_in(head) is not None


def chat_in_text(text: str, *, without_stamps: bool = False) -> Chat | None:
    """The chat in the text of a .txt file; None if it is something else.

    without_stamps: lines "Name: text" are a chat, too. To train on the text as it stands they need no parser,
    and a play has such lines as well, so that only those who ask for them get them.
    """
    form = _form_of(text[:HEAD])
    if isinstance(form, stamped.Form):
        return stamped.read(_lines(text), form)
    if isinstance(form, blocks.Form):
        return blocks.read(_lines(text), form)
    if text.lstrip()[:1] == "<" and (nicks := plain.nicks_in(text)) is not None:
        return nicks
    return plain.chat_in(text) if without_stamps else None


def _form_of(head: str) -> stamped.Form | blocks.Form | None:
    """How a chat with stamps is written; None for any other text."""
    if len(MINUTES.findall(head)) < min(
        stamped.FEWEST, blocks.FEWEST
    ):  # most texts have none, and need no further look
        return None
    lines = head.splitlines(keepends=True)
    return stamped.form_of(lines) or blocks.form_of(lines)


def _lines(text: str) -> Iterator[str]:
    """The lines of a text; only "\\n" ends one."""
    start = 0
    while (end := text.find("\n", start)) >= 0:
        yield text[start : end + 1]
        start = end + 1
    if start < len(text):
        yield text[start:]
