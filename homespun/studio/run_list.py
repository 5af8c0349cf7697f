"""The runs below a folder: found by their plan.toml, and looked at again only where files have changed.

A walk through everything takes long in a home folder, so it is done rarely and has limits; the folders that runs
were found in, and `runs/`, are looked into every time.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator
from pathlib import Path

from homespun.server.errors import ApiError
from homespun.studio.places import name_below, place_below
from homespun.studio.run_summary import PLAN, stamps, summary_of
from homespun.studio.schema.runs import Runs, RunSummary

DEEPEST = 4  # folders below the studio's
MOST_FOLDERS = 5000
MOST_RUNS = 1000
WALK_EVERY = 15.0  # seconds
LOOK_AGAIN = 2.0  # seconds: whether a process still lives is not seen in a file
SKIPPED = {"node_modules", "__pycache__", "site-packages", "resume", "embedding", "tensorboard"}


class RunList:
    """What is known of the runs. Safe for several threads."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder.resolve()
        self.lock = threading.Lock()
        self.walked = -WALK_EVERY
        self.parents: set[Path] = set()  # folders in which runs were found
        self.known: dict[str, tuple[object, float, RunSummary]] = {}
        self.notes: list[str] = []

    def all(self, preparing: dict[str, float]) -> Runs:
        """preparing: runs that a process of the studio's will begin or go on with, and when it was started."""
        with self.lock:
            places = dict(self.places())
            found = [self.summary(run, folder, preparing.get(run)) for run, folder in places.items()]
            begun = {run: since for run, since in preparing.items() if run not in places}
            found += [summary_of(self.folder / run, run, since=since) for run, since in begun.items()]
            for gone in set(self.known) - set(places):
                del self.known[gone]
        return Runs(runs=sorted(found, key=lambda run: -(run.changed or time.time())), notes=list(self.notes))

    def one(self, run: str, since: float | None = None) -> RunSummary:
        return summary_of(self.place(run), run, since=since)

    def has(self, run: str) -> bool:
        """Raises ApiError for a path that is outside."""
        return (place_below(self.folder, run, "run") / PLAN).is_file()

    def place(self, run: str) -> Path:
        """The folder of a run. Raises ApiError where it is outside, or no run."""
        folder = place_below(self.folder, run, "run")
        if not (folder / PLAN).is_file():
            raise ApiError(
                f"There is no run {run[:200]!r}.",
                "It may have been moved or removed: look at the list again.",
                status=404,
                param="run",
                code="run_not_found",
            )
        return folder

    def summary(self, run: str, folder: Path, since: float | None) -> RunSummary:
        now, seen = time.monotonic(), (stamps(folder), since)
        known = self.known.get(run)
        if known is not None and known[0] == seen and now - known[1] < LOOK_AGAIN:
            return known[2]
        summary = summary_of(folder, run, since=since)
        self.known[run] = (seen, now, summary)
        return summary

    def places(self) -> Iterator[tuple[str, Path]]:
        """Every run, by its name."""
        now = time.monotonic()
        if now - self.walked >= WALK_EVERY:
            self.notes = []
            folders = list(self.walk())
            self.parents = {folder.parent for folder in folders}
            self.walked = time.monotonic()
        else:
            folders = [folder for parent in self.parents | {self.folder / "runs"} for folder in runs_in(parent)]
        for folder in folders[:MOST_RUNS]:
            if (name := name_below(self.folder, folder)) is not None:
                yield name, folder

    def walk(self) -> Iterator[Path]:
        if (self.folder / PLAN).is_file():
            self.notes.append(f"{self.folder.name} is a run itself: start the studio in the folder above it.")
        waiting, count = [(self.folder, 0)], 0
        while waiting:
            folder, depth = waiting.pop(0)
            count += 1
            if count > MOST_FOLDERS:
                self.notes.append(f"Only the first {MOST_FOLDERS:,} folders were looked into for runs.")
                return
            for inside in folders_in(folder):
                if (inside / PLAN).is_file():
                    yield inside
                elif depth + 1 < DEEPEST:
                    waiting.append((inside, depth + 1))


def runs_in(parent: Path) -> list[Path]:
    return [folder for folder in folders_in(parent) if (folder / PLAN).is_file()]


def folders_in(parent: Path) -> list[Path]:
    """Folders that are no links and are not hidden; none where it cannot be read."""
    try:
        with os.scandir(parent) as entries:
            found = [
                Path(entry.path)
                for entry in entries
                if not entry.name.startswith(".") and entry.name not in SKIPPED and is_folder(entry)
            ]
    except OSError:
        return []
    return sorted(found)


def is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir(follow_symlinks=False)
    except OSError:
        return False
