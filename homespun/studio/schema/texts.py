"""Texts: what can be chosen, and what is found in them."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field

from homespun.studio.schema.values import Answer, Request


class PathText(Request):
    """A file or a folder below the studio's folder. path: relative to it."""

    kind: Literal["path"]
    path: Annotated[str, Field(min_length=1, max_length=1000)]


class UploadText(Request):
    """What was uploaded under that name: one file, or several."""

    kind: Literal["upload"]
    upload: Annotated[str, Field(pattern="^[0-9a-f]{16}$")]


class NamedText(Request):
    """A named corpus: /api/texts lists them."""

    kind: Literal["named"]
    name: Annotated[str, Field(pattern="^[a-z][a-z0-9-]{0,40}$")]


TextChoice = Annotated[PathText | UploadText | NamedText, Field(discriminator="kind")]


class NamedCorpus(Answer):
    """A named corpus. available: "here", or how it would be had."""

    name: str
    title: str
    about: str
    size: str
    licence: str
    available: str
    is_here: bool


class Corpora(Answer):
    corpora: list[NamedCorpus]


class FolderEntry(Answer):
    """A file or a folder that can be chosen. bytes: null for a folder. is_run: a run, which is no text."""

    name: str
    path: str
    is_folder: bool
    is_run: bool
    bytes: int | None
    changed: float


class Listing(Answer):
    """What lies in a folder; folders first. parent: null in the studio's folder itself. cut: there is more than is
    listed."""

    path: str
    parent: str | None
    entries: list[FolderEntry]
    cut: bool


class Uploaded(Answer):
    """upload: name it to add another file to it, and to choose it as a text."""

    upload: str
    files: list[str]
    bytes: int


class FoundInText(Answer):
    """kind: what was looked for. severity: stop, warn or note. todo: behind the first line, commands."""

    kind: str
    severity: Literal["stop", "warn", "note"]
    what: str
    todo: str


class ExaminationReport(Answer):
    """What the data doctor has found (`homespun data doctor --json`)."""

    title: str
    documents: int
    characters: int
    bytes: int
    alphabet_size: int
    findings: list[FoundInText]
    sampled: str
    notes: list[str]
    looked_for: list[str]


class TextReport(Answer):
    """How a text is read (`homespun data show --json`, as it prints it) and what the doctor has found.

    shown        null where it can be read neither as a text nor as conversations
    problem      why it is no text, or why nothing could be trained on it as one; null where all is well
    examination  null where there is no text to examine
    """

    shown: dict[str, Any] | None
    examination: ExaminationReport | None
    problem: str | None
