"""What a person should know about how a text was read: counted by kind, told in one line each.

>>> tally = Tally()
>>> for name in ("logo.png", "photo.jpg"):
...     tally.add("binary", name)
>>> tally.lines()
['2 binary files skipped, such as logo.png']
"""

from __future__ import annotations

from dataclasses import dataclass, field

from homespun.text.document import whole_characters

# kind: (for one, for several)
KINDS = {
    "windows newlines": ("text with Windows line ends, read as \\n", "texts with Windows line ends, read as \\n"),
    "old mac newlines": ("text with old Mac line ends (\\r)", "texts with old Mac line ends (\\r)"),
    "empty": ("empty document left out", "empty documents left out"),
    "binary": ("binary file skipped", "binary files skipped"),
    "generated": ("generated file skipped", "generated files skipped"),
    "ignored": ("file or folder skipped that .gitignore names", "files and folders skipped that .gitignore names"),
    "hidden": ("hidden file or folder skipped", "hidden files and folders skipped"),
    "vendored": ("folder of other people's code skipped", "folders of other people's code skipped"),
    "link": ("symbolic link not followed", "symbolic links not followed"),
    "special": ("file skipped that is no regular file", "files skipped that are no regular files"),
    "unreadable": ("file skipped that could not be read", "files skipped that could not be read"),
    "locked": ("file skipped that is locked with a password", "files skipped that are locked with a password"),
    "nested": ("archive inside an archive skipped", "archives inside archives skipped"),
    "twice": ("text given twice, read once", "texts given twice, read once"),
}


@dataclass
class Tally:
    """Counts per kind, each with its first example; `said` are lines of their own."""

    counts: dict[str, int] = field(default_factory=dict)
    examples: dict[str, str] = field(default_factory=dict)
    said: list[str] = field(default_factory=list)

    def add(self, kind: str, example: str) -> None:
        assert kind in KINDS, kind
        self.counts[kind] = self.counts.get(kind, 0) + 1
        self.examples.setdefault(kind, whole_characters(example))

    def say(self, line: str) -> None:
        if line not in self.said:
            self.said.append(line)

    def lines(self) -> list[str]:
        counted = []
        for kind, (one, several) in KINDS.items():
            count = self.counts.get(kind, 0)
            if count == 1:
                counted.append(f"1 {one}: {self.examples[kind]}")
            elif count:
                counted.append(f"{count:,} {several}, such as {self.examples[kind]}")
        return [*self.said, *counted]

    def merge(self, other: Tally) -> None:
        """Add what another pass found."""
        for kind, count in other.counts.items():
            self.counts[kind] = self.counts.get(kind, 0) + count
            self.examples.setdefault(kind, other.examples[kind])
        for line in other.said:
            self.say(line)
