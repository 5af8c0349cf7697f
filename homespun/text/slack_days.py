"""An export of Slack in a folder or an archive: the days of each channel as one chat, with the names of people."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import PurePosixPath
from typing import Any

from homespun.text.blob import Blob
from homespun.text.chats import slack
from homespun.text.document import Document
from homespun.text.formats.chat import chat_documents
from homespun.text.notes import Tally

MAX_DAY = 2**26  # bytes


class SlackDays:
    """Takes the files of the exports that are in `folders`, and gives a chat a channel once it has all of them."""

    def __init__(self, folders: Sequence[str]) -> None:
        self._folders = set(folders)
        self._names: dict[str, dict[str, str]] = {}  # of people, by the folder of the export
        self._days: dict[tuple[str, str], list[tuple[str, list[Any]]]] = {}  # by folder and channel
        self._origins: dict[tuple[str, str], str] = {}

    def takes(self, name: str) -> bool:
        if not self._folders:
            return False
        path = PurePosixPath(name)
        if str(path.parent) in self._folders and path.name in slack.ABOUT:
            return True
        return bool(slack.DAY.fullmatch(path.name)) and str(path.parent.parent) in self._folders

    def add(self, blob: Blob, tally: Tally) -> Iterator[Document]:
        """Take a file; its documents come later. Raises TextUnreadable; what is no JSON is counted."""
        self._take(blob, tally)
        return iter(())

    def _take(self, blob: Blob, tally: Tally) -> None:
        path = PurePosixPath(blob.name)
        if path.name in slack.ABOUT and path.name != slack.USERS:
            return
        try:
            value = json.loads(blob.whole(MAX_DAY, "a file of a Slack export", "Leave it out, or divide it."))
        except (ValueError, RecursionError):
            tally.add("unreadable", f"{blob.origin} (it is not JSON)")
            return
        if path.name == slack.USERS:
            self._names[str(path.parent)] = slack.names_in(value)
        elif isinstance(value, list):
            key = str(path.parent.parent), path.parent.name
            self._days.setdefault(key, []).append((path.name, value))
            self._origins.setdefault(key, blob.origin.removesuffix("/" + path.name))

    def documents(self, tally: Tally) -> Iterator[Document]:
        for key in sorted(self._days):
            folder, channel = key
            messages = [message for _, day in sorted(self._days[key], key=lambda day: day[0]) for message in day]
            chat = slack.chat_of(messages, self._names.get(folder, {}), channel)
            if chat.messages:
                yield from chat_documents([chat], self._origins[key], "utf-8", tally)
