"""The files of a folder that belong to it: the same ones in the same order on every machine."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from pathspec import GitIgnoreSpec

from homespun.errors import TextUnreadable
from homespun.text.notes import Tally

_ANY_NAME = "zq-any-name-4711.zq"  # of which no rule speaks
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
    """A file in a folder: `path` from the folder on, with "/"; `size` in bytes; `changed` in nanoseconds.

    `real` is where it really is, if `path` is a link that stays inside.
    """

    path: str
    size: int
    changed: int
    real: str = ""


def listed(root: Path, tally: Tally, without: frozenset[str] = frozenset()) -> list[Found]:
    """The files below `root` that are read, each once; where .gitignore names all of them, all the same.

    As `files_in`. A link to a file that is read at its own place is left out. Raises TextUnreadable.
    """
    first = Tally()
    found = list(files_in(root, first, without))
    if not found and first.counts.get("ignored"):
        first = Tally()
        found = list(files_in(root, first, without, heed_ignores=False))
        if found:
            first.say(f"{root}: .gitignore names everything in it; it is read all the same")
    tally.merge(first)
    if not any(file.real for file in found):
        return found
    here = root.resolve()
    own = {str(here / file.path) for file in found if not file.real}
    seen: set[str] = set()
    kept = []
    for file in found:
        if file.real and (file.real in own or file.real in seen):
            tally.add("link", file.path)
            continue
        seen.add(file.real)
        kept.append(file)
    return kept


def files_in(
    root: Path, tally: Tally, without: frozenset[str] = frozenset(), *, heed_ignores: bool = True
) -> Iterator[Found]:
    """The regular files below `root` in order of their paths, and links to files that stay inside.

    Left out, and counted in `tally`: what .gitignore files name (nested ones count, as do those of the
    repository around `root`), hidden files, folders of other people's code, symbolic links that lead
    elsewhere or to folders, devices, empty files. Folders whose name is in `without` are left out silently,
    and of a download cache of the Hugging Face hub all but its newest snapshot. Raises TextUnreadable if
    `root` itself cannot be listed.
    """
    inside = (root.resolve(), *_blobs_around(root))
    waiting: list[tuple[str, tuple[Rule, ...]]] = [("", _rules_around(root) if heed_ignores else ())]
    while waiting:
        folder, rules = waiting.pop()
        if folder and not folder.endswith("/"):
            if found := _regular_file(root, folder, inside, tally):
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
        if heed_ignores:
            rules = (*rules, *_rules_in(root / folder / ".gitignore", folder))
        entries = _without_cached(root / folder, entries)
        places = [_place(entry, folder) for entry in entries if _belongs(entry, folder, rules, without, tally)]
        waiting.extend((place, rules) for place in reversed(places))


def _without_cached(folder: Path, entries: list[os.DirEntry[str]]) -> list[os.DirEntry[str]]:
    """Of a download cache of the hub, which has each file in blobs/ and links to them in snapshots/, the latter
    alone; and of several snapshots the one that refs/main names, or the newest."""
    names = {entry.name for entry in entries}
    if {"blobs", "snapshots"} <= names:
        return [entry for entry in entries if entry.name not in ("blobs", "refs")]
    if folder.name == "snapshots" and has(folder.parent, "blobs") and len(entries) > 1:
        return [_current(folder, entries)]
    return entries


def _current(snapshots: Path, entries: list[os.DirEntry[str]]) -> os.DirEntry[str]:
    try:
        wanted = (snapshots.parent / "refs" / "main").read_text("utf-8").strip()
    except (OSError, UnicodeDecodeError):
        wanted = ""
    named = [entry for entry in entries if entry.name == wanted]
    return named[0] if named else max(entries, key=lambda entry: entry.stat(follow_symlinks=False).st_mtime_ns)


def _blobs_around(root: Path) -> tuple[Path, ...]:
    """Where the files of a snapshot of the hub's cache really are, if `root` is one or in one."""
    root = root.resolve()
    for folder in (root, *root.parents):
        if folder.name == "snapshots" and has(folder.parent, "blobs"):
            return (folder.parent / "blobs",)
    return ()


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


def _regular_file(root: Path, path: str, inside: tuple[Path, ...], tally: Tally) -> Found | None:
    real = ""
    try:
        facts = os.lstat(root / path)
        if stat.S_ISLNK(facts.st_mode):
            real = os.path.realpath(root / path)
            facts = os.lstat(real)
            if not stat.S_ISREG(facts.st_mode) or not any(Path(real).is_relative_to(place) for place in inside):
                tally.add("link", path)
                return None
    except OSError as error:
        if real:
            tally.add("link", path)  # it leads nowhere
            return None
        tally.add("unreadable", f"{path} ({error.strerror})")
        return None
    if facts.st_size == 0:
        tally.add("empty", path)
        return None
    return Found(path, facts.st_size, facts.st_mtime_ns, real)


def _belongs(
    entry: os.DirEntry[str], folder: str, rules: tuple[Rule, ...], without: frozenset[str], tally: Tally
) -> bool:
    """Whether the entry is to be read, or walked into."""
    is_folder = entry.is_dir(follow_symlinks=False)
    path = folder + entry.name + ("/" if is_folder else "")
    if is_folder and entry.name in without:
        return False
    if entry.name.startswith("."):
        tally.add("hidden", path)
    elif is_folder and (entry.name in _OTHER_PEOPLES or has(entry.path, "pyvenv.cfg")):
        tally.add("vendored", path)
    elif _is_ignored(path, rules):
        tally.add("ignored", path)
    elif not is_folder and not entry.is_symlink() and not entry.is_file(follow_symlinks=False):
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
    outer = tuple(rule for rule in found if rule.above)
    # Neither a rule for the folder itself nor one for all that is in it ("data/*").
    probes = ("", _ANY_NAME, f"{_ANY_NAME}/")
    if any(_is_ignored(name, outer) for name in probes):
        return tuple(rule for rule in found if not rule.above)
    return tuple(found)


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
