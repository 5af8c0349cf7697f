"""Subtitles (.srt, .vtt, .ass, .sbv, .sub) and lyrics (.lrc): what is said, without numbers and times."""

from __future__ import annotations

import html
import re
from collections.abc import Iterator

from homespun.text.blob import Blob
from homespun.text.decode import decoded
from homespun.text.document import Document, text_document
from homespun.text.formats import Request
from homespun.text.notes import Tally

_TIME = r"(?:\d{1,3}:)?\d{1,2}:\d{2}[.,]\d{1,3}"
_TIMES = re.compile(rf"\s*{_TIME}\s*-->\s*{_TIME}.*|\s*{_TIME},{_TIME}\s*")
_VOICE = re.compile(r"<v(?:\.[^ >]*)?[ \t]+([^>]+)>")
_TAG = re.compile(r"</?[a-zA-Z][^<>]*>|<\d[\d:.]*>|\{\\[^{}]*\}")
_LYRICS = re.compile(r"(?:\[\d{1,3}:\d{2}(?:[.:]\d{1,3})?\]\s*)+")
_FRAMES = re.compile(r"\{\d+\}\{\d+\}(?P<text>.*)")
_DIALOGUE = re.compile(r"Dialogue:\s*(?:[^,]*,){9}(?P<text>.*)")


def subtitles(blob: Blob, request: Request, tally: Tally) -> Iterator[Document]:
    """The subtitles as one document. Raises TextUnreadable."""
    document = decoded(blob, named=request.encoding)
    text = document.read()
    special = {".ass": _ass, ".ssa": _ass, ".lrc": _lyrics, ".sub": _frames}
    spoken = special.get(blob.suffix, timed)(text)
    if spoken is None:  # a text with such a suffix
        yield document
        return
    tally.say_of("subtitles", blob.origin, " is read as subtitles, a line each, without numbers and times")
    found = text_document(blob.origin, spoken, document.encoding)
    found.remarks.update(document.remarks)
    yield found


def timed(text: str) -> str | None:
    """What subtitles say; None where the text has no times.

    >>> timed("1\\n00:00:01,000 --> 00:00:02,000\\n<i>Who\\nis it?</i>\\n")
    'Who is it?\\n'
    """
    said: list[str] = []
    cue: list[str] | None = None  # lines of the subtitle that is being read; None between two
    found = False
    for line in [*text.split("\n"), ""]:
        if _TIMES.fullmatch(line):
            found = True
            if cue:  # no blank line between two: the number of the next stands at the end of this one
                _add(said, cue[:-1] if cue[-1].strip().isdigit() else cue)
            cue = []
        elif not line.strip():
            if cue:
                _add(said, cue)
            cue = None
        elif cue is not None:
            cue.append(line)
    if cue:
        _add(said, cue)
    return "".join(f"{line}\n" for line in said) if found else None


def _add(said: list[str], cue: list[str]) -> None:
    """A subtitle as one line. Captions that roll up show each line again below the next: those are said once."""
    lines = [_clean(line) for line in cue]
    lines = [line for line in lines if line]
    if said and lines and said[-1].endswith(lines[0]) and len(cue) > 1:
        lines = lines[1:]
    if sum(line.startswith(("-", "–", "—")) for line in lines) > 1:  # two people
        said.extend(lines)
        return
    line = " ".join(lines)
    if line and not (said and said[-1] == line):
        said.append(line)


def _clean(line: str) -> str:
    line = _VOICE.sub(r"\1: ", line)
    return " ".join(html.unescape(_TAG.sub("", line)).split())


def _lyrics(text: str) -> str | None:
    """
    >>> _lyrics("[ar:Anna]\\n[00:12.00]A hen\\n[00:17.20][00:40.10]sat <00:18.00>down\\n")
    'A hen\\nsat down\\n'
    """
    found = [line for line in text.split("\n") if _LYRICS.match(line)]
    lines = (_clean(_LYRICS.sub("", line)) for line in found)
    return "".join(f"{line}\n" for line in lines if line) if found else None


def _frames(text: str) -> str | None:
    """MicroDVD: "{120}{180}A hen|sat down"."""
    found = [match["text"] for line in text.split("\n") if (match := _FRAMES.match(line))]
    if not found:
        return timed(text)
    lines = (_clean(re.sub(r"\{[^{}]*\}", "", said).replace("|", " ")) for said in found)
    return "".join(f"{line}\n" for line in lines if line)


def _ass(text: str) -> str | None:
    found = [match["text"] for line in text.split("\n") if (match := _DIALOGUE.match(line))]
    if not found:
        return None
    lines = (_clean(re.sub(r"\\[Nnh]", " ", line)) for line in found if "\\p1" not in line)
    return "".join(f"{line}\n" for line in lines if line)
