"""Every error that a user can meet, as one tree, in the user's words.

An error has two halves. `what` says what is wrong and where, with the values
that were found. `todo` says what to do next, and names the command where there
is one. The command line prints both, in at most one screen, and no traceback;
anything that is not a `HomespunError` is a bug of ours.

>>> print(NotEnoughText("notes.txt is empty.", "Give a text with some words in it."))
notes.txt is empty.
Give a text with some words in it.
"""

from __future__ import annotations

import warnings


class HomespunWarning(UserWarning):
    """One line on what was guessed, repaired or left out. The command line prints it as a note."""


def warn(line: str) -> None:
    """Report one line through Python's warnings, so that a program can filter it like any other.

    For what is noticed far below the command: in opening a model, say, which returns the model and nothing else.
    """
    warnings.warn(line, HomespunWarning, stacklevel=3)


class HomespunError(Exception):
    """The root. `exit_code` is what the command line returns for it."""

    exit_code = 1

    def __init__(self, what: str, todo: str = "") -> None:
        super().__init__(what, todo)
        self.what = what
        self.todo = todo

    def __str__(self) -> str:
        return f"{self.what}\n{self.todo}" if self.todo else self.what


class UsageError(HomespunError):
    """The request itself is wrong: an unknown setting, two options that exclude each other."""

    exit_code = 2


class UnknownSetting(UsageError):
    """A `--set KEY=VALUE` whose key or value the plan does not know."""


class MissingExtra(HomespunError):
    """A library that is an extra of homespun's is not installed."""

    def __init__(self, purpose: str, extra: str) -> None:
        super().__init__(
            f"{purpose} needs a library that is not installed.",
            f'Install it with:  pip install "homespun[{extra}]"',
        )


class DownloadFailed(HomespunError):
    """Something from the network could not be had, was too large, or was not what it should be."""


class TextError(HomespunError):
    """A text could not be read."""


class TextNotFound(TextError):
    """No file, folder, named corpus or address of that name."""


class TextUnreadable(TextError):
    """It is there, but it is binary, damaged, locked, or of a kind that we cannot read."""


class NotEnoughText(TextError):
    """Nothing to learn from: empty, one character, one character repeated, too short to split."""


class TokenizerError(HomespunError):
    """A tokenizer could not be made, loaded or used."""


class UnknownCharacter(TokenizerError):
    """A character that the tokenizer has no id for."""


class ModelError(HomespunError):
    """A model of that shape cannot be built, or cannot do what was asked of it."""


class CheckpointError(HomespunError):
    """A model folder is missing, incomplete, or says something that is not so."""


class TrainingError(HomespunError):
    """Training cannot start or cannot go on."""


class ProcessLost(TrainingError):
    """Another process of the same run has ended or no longer answers: the run can be continued."""

    exit_code = 75  # EX_TEMPFAIL: so a launcher knows that the cause is in another process


class DeviceError(HomespunError):
    """This machine cannot do what was asked: no such device, no such dtype."""


class WriteFailed(HomespunError):
    """A file could not be written: disk full, no permission, folder gone."""
