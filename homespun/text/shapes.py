"""The shapes in which JSON holds many records: a list, columns as pandas writes them, a list within an object.

>>> records_in({"id": {"0": 1, "1": 2}, "text": {"0": "One.", "1": "Two."}}, 60).records
[{'id': 1, 'text': 'One.'}, {'id': 2, 'text': 'Two.'}]
>>> records_in({"version": 1, "data": [{"text": "One."}, {"text": "Two."}]}, 60).said
"the list in 'data'"
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import islice
from typing import Any

from homespun.text.fields import NAMES, choose, flat_text, key_of

_LOOK = 200  # records
_LONG = 40  # characters of a text that no name says to be one
_PARAGRAPH = 60
_DEEPEST = 3  # objects within objects in which a list is looked for
_LISTS = frozenset(
    """
    data dev docs documents entries examples items records results rows test texts train valid
    validation
    """.split()  # noqa: SIM905
)


@dataclass(frozen=True)
class Shape:
    """records: the records, or texts. said: what they are, for people."""

    records: list[Any]
    said: str


def records_in(value: Mapping[str, Any], size: int, wanted: str | None = None) -> Shape | None:
    """The records in an object; None where it holds none that are known. size: characters of its JSON.

    wanted: the field that the user named; records that have it are taken.
    """
    if len(value) == 1 and isinstance(inner := next(iter(value.values())), Mapping) and inner:
        return records_in(inner, size, wanted)
    return (
        _pandas(value, wanted)
        or _columns_of_lists(value, wanted)
        or _single(value, size, wanted)
        or _texts_by_name(value, wanted)
        or _lists_inside(value, wanted)
    )


def _has_texts(records: list[Any], wanted: str | None) -> bool:
    """Whether these records are texts: by the name of a field, or by values as long as a sentence."""
    sample = records[:_LOOK]
    if all(isinstance(record, str) for record in sample):
        return sum(map(len, sample)) / len(sample) >= _LONG
    if not all(isinstance(record, Mapping) for record in sample):
        return False
    columns = columns_of(sample)
    choice = choose(columns, wanted)
    if choice is None:
        return any(_is_talk(record) for record in sample[:1])
    if choice.how in ("named", "pair", "text", "name"):
        return True
    values = [flat_text(value) or "" for value in columns[choice.names[0]]]
    return sum(map(len, values)) / max(1, len(values)) >= _LONG


def _is_talk(record: Mapping[str, Any]) -> bool:
    return any(isinstance(record.get(name), list) for name in ("messages", "conversations", "conversation"))


def columns_of(records: list[Any]) -> dict[str, list[object]]:
    """The values of the first records by their names.

    >>> columns_of([{"a": 1}, {"a": 2, "b": 3}])
    {'a': [1, 2], 'b': [None, 3]}
    """
    names = dict.fromkeys(str(name) for record in records for name in record)
    return {name: [record.get(name) for record in records] for name in names}


def _pandas(value: Mapping[str, Any], wanted: str | None) -> Shape | None:
    """What DataFrame.to_json writes: columns (the default), index, split and table."""
    inner = list(value.values())
    if inner and all(isinstance(item, Mapping) and item for item in inner):
        first = inner[0]
        keys = list(first)
        same = all(item.keys() == first.keys() for item in islice(inner, _LOOK))
        if not same:
            return None
        plain = all(not isinstance(cell, (Mapping, list)) for item in islice(inner, 50) for cell in item.values())
        if all(key.isdigit() for key in keys) and not all(key.isdigit() for key in value):
            rows = [{name: value[name].get(key) for name in value} for key in keys]
            return Shape(rows, "columns as pandas writes them") if _has_texts(rows, wanted) else None
        if len(value) > 1 and (plain or all(key.isdigit() for key in value)) and _has_texts(inner, wanted):
            return Shape(inner, "records by their index, as pandas writes them")
        return None
    columns, data = value.get("columns"), value.get("data")
    if isinstance(columns, list) and isinstance(data, list) and all(isinstance(row, list) for row in data):
        rows = [dict(zip(map(str, columns), row, strict=False)) for row in data]
        return Shape(rows, "rows beside their columns, as pandas writes them") if rows else None
    return None


def _columns_of_lists(value: Mapping[str, Any], wanted: str | None) -> Shape | None:
    """{"id": [1, 2], "text": ["One.", "Two."]}"""
    lists = {name: column for name, column in value.items() if isinstance(column, list)}
    lengths = {len(column) for column in lists.values()}
    if len(lists) < len(value) or len(lists) < 2 or len(lengths) != 1 or 0 in lengths:
        return None
    if any(isinstance(cell, Mapping) for column in lists.values() for cell in column[:1]):
        return None
    names = list(lists)
    rows = [dict(zip(names, cells, strict=True)) for cells in zip(*lists.values(), strict=True)]
    return Shape(rows, "columns") if _has_texts(rows, wanted) else None


def _single(value: Mapping[str, Any], size: int, wanted: str | None) -> Shape | None:
    """One record alone: most of the JSON is its text."""
    choice = choose({name: [inner] for name, inner in value.items()}, wanted)
    if choice is None or choice.how not in ("named", "text", "name", "pair"):
        return None
    if choice.how == "pair":
        return Shape([value], "one record")
    text = value[choice.names[0]]
    if not isinstance(text, str) or not (choice.how == "named" or 2 * len(text) >= size - 20):
        return None
    return Shape([value], "one record")


def _texts_by_name(value: Mapping[str, Any], wanted: str | None) -> Shape | None:
    """{"chapter one": "…", "chapter two": "…"}: nothing but texts, each as long as a paragraph."""
    texts = list(value.values())
    if wanted is not None or len(texts) < 2 or not all(isinstance(text, str) for text in texts):
        return None
    return Shape(texts, "texts by their names") if sum(map(len, texts)) >= _PARAGRAPH * len(texts) else None


def _lists_inside(value: Mapping[str, Any], wanted: str | None) -> Shape | None:
    """The lists of records somewhere in an object: {"data": […]}, {"train": […], "test": […]}."""
    found: dict[str, list[Any]] = {}
    waiting: list[tuple[str, Any, int]] = [("", value, 0)]
    while waiting:
        path, inner, depth = waiting.pop(0)
        for name, part in inner.items():
            place = f"{path}.{name}" if path else str(name)
            if isinstance(part, Mapping) and depth < _DEEPEST:
                waiting.append((place, part, depth + 1))
            elif isinstance(part, list) and part:
                rows = [
                    row["row"] if isinstance(row, Mapping) and isinstance(row.get("row"), Mapping) else row
                    for row in part
                ]
                known = key_of(str(name)) in {*_LISTS, *NAMES} and isinstance(rows[0], str) and len(rows) > 1
                if known or _has_texts(rows, wanted):
                    found[place] = rows
    if not found:
        return None
    longest = max(found.values(), key=len)
    kinds = {name: rows for name, rows in found.items() if _fields(rows) == _fields(longest)}
    names = " and ".join(map(repr, kinds)) if len(kinds) < 4 else f"{len(kinds)} parts of it"
    said = f"the list in {names}" if len(kinds) == 1 else f"the lists in {names}"
    return Shape([row for rows in kinds.values() for row in rows], said)


def _fields(rows: list[Any]) -> object:
    return frozenset(rows[0]) if isinstance(rows[0], Mapping) else str
