"""Helpers of the notebooks in `lessons/`: their text, and the check of an exercise.

>>> check(..., lambda answer: answer == 49)
Not answered yet: put your answer in place of the three dots.
>>> check(48, lambda answer: answer == 49, "Count from 0.")
✗ Not yet. Count from 0.
>>> check(49, lambda answer: answer == 49)
✓ Right.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from homespun.errors import DownloadFailed

MOST_CHARACTERS = 2_000_000  # of another text: the lessons are made for one of 1.1 million


def open_text() -> tuple[str, bool]:
    """The text of the lessons, and whether it is tiny Shakespeare: exact values hold only for that text.

    If tiny Shakespeare is unavailable, the first available text is used, and a line says so. Raises
    DownloadFailed if there is no text at all, TextUnreadable for a wrong copy in $HOMESPUN_DATA.
    """
    from homespun.text.named import default_corpus
    from homespun.text.sources import read

    try:
        corpus, is_shakespeare = read("shakespeare"), True
    except DownloadFailed as failure:
        corpus, is_shakespeare = default_corpus()[0], False
        print(f"Tiny Shakespeare cannot be had here: {failure.what}")
        print(f"This lesson goes on with {corpus.title}.")
        print("Your numbers will not be those of the lecture, and the checks of exact numbers are skipped.")
    text = "".join(document.read() for document in corpus.documents())[:MOST_CHARACTERS]
    print(f"The text is {corpus.title}: {len(text):,} characters.")
    return text, is_shakespeare


def check(answer: Any, is_right: Callable[[Any], Any], wrong: str = "Open the hint, and try again.") -> None:
    """Print whether an exercise is solved. It raises nothing.

    answer: `...` and None mean not answered yet, and so does a list that contains one of them.
    is_right: takes the answer and returns a true value if it is right. wrong: the hint to print if it is not.
    """
    parts = answer if isinstance(answer, (list, tuple)) else [answer]
    if any(part is ... or part is None for part in parts):
        print("Not answered yet: put your answer in place of the three dots.")
        return
    try:
        right = bool(is_right(answer))
    except Exception as error:  # noqa: BLE001  an answer may be anything; whatever it raises is not our bug
        print(f"✗ Not yet: that cannot be checked ({type(error).__name__}: {error}). {wrong}")
        return
    print("✓ Right." if right else f"✗ Not yet. {wrong}")
