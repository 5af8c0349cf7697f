"""The files of a folder that belong to it: the same ones in the same order on every machine."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from pathspec import GitIgnoreSpec

from homespun.errors import TextUnreadable
from homespun.text.notes import Tally

_OTHER_PEOPLES = {"node_modules", "bower_components", "jspm_packages", "site-packages", "__pycache__"}


@dataclass(frozen=True)
class Rule:
    """The rules of one .gitignore file. It stands in `folder` below the root, or above the root, which is
    then reached through `above`."""

    folder: str
    above: str
    spec: GitIgnoreSpec

    def says(self, path: str) -> bool | None:
        """Whether it ignores the file or folder; None where it says nothing about it."""
        return self.spec.check_file(self.above + path[len(self.folder) :]).include


@dataclass(frozen=True)
class Found:
    """A file in a folder: `path` from the folder on, with "/"; `size` in bytes; `changed` in nanoseconds."""

    path: str
    size: int
    changed: int


def files_in(root: Path, tally: Tally, without: frozenset[str] = frozenset()) -> Iterator[Found]:
    """The regular files below `root` in order of their paths.

    Left out, and counted in `tally`: what .gitignore files name (nested ones count, as do those of the
    repository around `root`), hidden files, folders of other people's code, symbolic links (so nothing is
    read twice and nothing from elsewhere), devices, empty files. Folders whose name is in `without` are
    left out silently. Raises TextUnreadable if `root` itself cannot be listed.
    """
    waiting: list[tuple[str, tuple[Rule, ...]]] = [("", _rules_around(root))]
    while waiting:
        folder, rules = waiting.pop()
        if folder and not folder.endswith("/"):
            if found := _regular_file(root, folder, tally):
                yield found
            continue
        try:
            with os.scandir(root / folder) as listing:
                entries = sorted(listing, key=lambda entry: entry.name)
        except OSError as error:
            if not folder:
                raise TextUnreadable(
                    f"The folder {root} could not be listed: {error.strerror}.", "Check its permissions."
                ) from error
            tally.add("unreadable", f"{folder} ({error.strerror})")
            continue
        rules = (*rules, *_rules_in(root / folder / ".gitignore", folder))
        inside = [_place(entry, folder) for entry in entries if _belongs(entry, folder, rules, without, tally)]
        waiting.extend((place, rules) for place in reversed(inside))


def open_found(path: Path) -> BinaryIO:
    """A file that was a regular one when its folder was listed. What has become a link since is not followed
    (that is an OSError), and what has become a pipe is empty."""
    careful = getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
    return os.fdopen(os.open(path, os.O_RDONLY | careful), "rb")


def has(folder: str | Path, name: str) -> bool:
    """Whether the folder has something of that name; not so where one may not look into it."""
    return os.path.exists(os.path.join(folder, name))  # noqa: PTH110, PTH118 (Path.exists raises there)


def _place(entry: os.DirEntry[str], folder: str) -> str:
    return f"{folder}{entry.name}/" if entry.is_dir(follow_symlinks=False) else folder + entry.name


def _regular_file(root: Path, path: str, tally: Tally) -> Found | None:
    try:
        facts = os.lstat(root / path)
    except OSError as error:
        tally.add("unreadable", f"{path} ({error.strerror})")
        return None
    if facts.st_size == 0:
        tally.add("empty", path)
        return None
    return Found(path, facts.st_size, facts.st_mtime_ns)


def _belongs(
    entry: os.DirEntry[str], folder: str, rules: tuple[Rule, ...], without: frozenset[str], tally: Tally
) -> bool:
    """Whether the entry is to be read, or walked into."""
    is_folder = entry.is_dir(follow_symlinks=False)
    path = folder + entry.name + ("/" if is_folder else "")
    if is_folder and entry.name in without:
        return False
    if entry.is_symlink():
        tally.add("link", path)
    elif entry.name.startswith("."):
        tally.add("hidden", path)
    elif is_folder and (entry.name in _OTHER_PEOPLES or has(entry.path, "pyvenv.cfg")):
        tally.add("vendored", path)
    elif _is_ignored(path, rules):
        tally.add("ignored", path)
    elif not is_folder and not entry.is_file(follow_symlinks=False):
        tally.add("special", path)
    else:
        return True
    return False


def _is_ignored(path: str, rules: tuple[Rule, ...]) -> bool:
    """As git decides: the rules of the innermost folder that say anything about it count."""
    said = (rule.says(path) for rule in reversed(rules))
    return next((answer for answer in said if answer is not None), False)


def _rules_around(root: Path) -> tuple[Rule, ...]:
    """What the repository around `root` ignores, unless it ignores `root` itself: then the user knows better."""
    root = root.resolve()
    top = next((folder for folder in (root, *root.parents) if has(folder, ".git")), None)
    if top is None:
        return ()
    around = [folder for folder in reversed(root.parents) if folder.is_relative_to(top)]
    files = [(top, top / ".git" / "info" / "exclude"), *((folder, folder / ".gitignore") for folder in around)]
    found: list[Rule] = []
    for folder, file in files:
        above = "" if folder == root else root.relative_to(folder).as_posix() + "/"
        found.extend(_rules_in(file, "", above))
    return () if _is_ignored("", tuple(rule for rule in found if rule.above)) else tuple(found)


def _rules_in(file: Path, folder: str, above: str = "") -> tuple[Rule, ...]:
    """The rules in a .gitignore file. Like git, a line that is no rule is passed over."""
    try:
        lines = file.read_text("utf-8", "replace").splitlines()
    except OSError:
        return ()  # most folders have no such file
    good = []
    for line in lines:
        try:
            GitIgnoreSpec.from_lines([line])
        except ValueError:
            continue
        good.append(line)
    return (Rule(folder, above, GitIgnoreSpec.from_lines(good)),)
