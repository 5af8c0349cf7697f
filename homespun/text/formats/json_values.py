"""JSON values out of a text, one at a time, with errors that name the place. NaN and Infinity are nothing."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator

from homespun.errors import TextUnreadable

# pandas writes NaN where a cell was empty.
_DECODER = json.JSONDecoder(parse_constant=lambda _: None)
_BETWEEN = re.compile(r"[ \t\r\n]*")
_SEPARATOR = re.compile(
    r"[ \t\r\n\x1e]*,?[ \t\r\n\x1e]*"
)  # between values: a comma, or the mark of JSON sequences


def one_value(line: str, where: str) -> object:
    """The value that a line is. Raises TextUnreadable."""
    value, end = parsed(line, where, after_space(line, 0))
    if line[end:].strip():
        raise no_json(where, "more than one value", line, end)
    return value


def values(content: str, origin: str) -> Iterator[object]:
    """The values that stand one after the other. Raises TextUnreadable."""
    at = after_space(content, 0)
    while at < len(content):
        value, at = parsed(content, origin, at)
        yield value
        found = _SEPARATOR.match(content, at)
        assert found is not None, "it matches nothing, too"
        at = found.end()


def items(content: str, origin: str) -> Iterator[object]:
    """The items of a JSON list, one at a time: all of them together can be ten times the text."""
    at = after_space(content, after_space(content, 0) + 1)
    more = not content.startswith("]", at)
    while more:
        item, at = parsed(content, origin, at)
        yield item
        at = after_space(content, at)
        more = content.startswith(",", at)
        if more:
            at = after_space(content, at + 1)
    if not content.startswith("]", at):
        raise no_json(origin, "a comma or the end of the list is missing", content, at)
    if (rest := after_space(content, at + 1)) < len(content):
        raise no_json(origin, "there is more after the end of the list", content, rest)


def after_space(text: str, at: int) -> int:
    found = _BETWEEN.match(text, at)
    assert found is not None, "it matches nothing, too"
    return found.end()


def parsed(text: str, where: str, at: int = 0) -> tuple[object, int]:
    """The JSON value that stands at a place of the text, and the place after it."""
    try:
        return _DECODER.raw_decode(text, at)
    except json.JSONDecodeError as error:
        raise no_json(where, error.msg, text, error.pos) from error
    except RecursionError as error:
        raise TextUnreadable(
            f"{where} cannot be read as JSON: it is nested too deep.",
            "Leave that record out, or give the file the suffix .txt to read it as it stands.",
        ) from error
    except ValueError as error:
        raise TextUnreadable(
            f"{where} cannot be read as JSON: it has a number of thousands of digits.",
            "Leave that record out, or give the file the suffix .txt to read it as it stands.",
        ) from error


def no_json(where: str, why: str, text: str, position: int) -> TextUnreadable:
    line_start = text.rfind("\n", 0, position) + 1
    line = text.count("\n", 0, position)
    place = f"column {position - line_start + 1:,}" + (f" of line {line + 1:,}" if line else "")
    return TextUnreadable(
        f"{where} is not JSON: {why} at {place}, near {_near(text, position)!r}.",
        "Correct it there, or give the file the suffix .txt to read it as it stands.",
    )


def _near(text: str, position: int) -> str:
    return text[max(0, position - 10) : position + 20].strip()
