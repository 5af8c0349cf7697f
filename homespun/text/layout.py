"""What the files of a folder or an archive are together: a data set with its card, an export of Slack.

>>> layout = layout_of(["README.md", "data/train.parquet", "dataset_infos.json"])
>>> layout.is_about("dataset_infos.json"), layout.may_be_card("README.md"), layout.may_be_card("data/notes.md")
(True, True, False)
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import PurePosixPath

from homespun.text.chats import slack

_DATA = {".jsonl", ".ndjson", ".json", ".csv", ".tsv", ".parquet", ".arrow", ".feather", ".gz", ".zst", ".xz",
         ".bz2",
         ".tar", ".zip", ".txt"}  # fmt: skip
# Files that datasets writes beside its tables.
_ABOUT = {"dataset_info.json", "dataset_infos.json", "state.json", "dataset_dict.json"}
_CARDS = {"readme.md", "dataset_card.md", "datasetcard.md"}
_CARD = re.compile(
    rb"\A\s*---\s*\n(?:.*\n)*?(?:license|dataset_info|configs|task_categories|language|tags|pretty_name|size_categories"
    rb"|annotations_creators|task_ids|source_datasets)\s*:"
)
HEAD = 2**13  # bytes by which a card is recognised


@dataclass(frozen=True)
class Layout:
    """about: files about the data, which are no text of it. cards: what may be the card of a data set, by its
    name.

    slack: the folders in which exports of Slack are, each with its users.json ("" where it is the folder itself).
    """

    about: frozenset[str] = frozenset()
    cards: frozenset[str] = frozenset()
    slack: tuple[str, ...] = ()

    def is_about(self, name: str) -> bool:
        return name in self.about

    def may_be_card(self, name: str) -> bool:
        return name in self.cards


def layout_of(names: Iterable[str]) -> Layout:
    """What these files are together. names: paths with "/"."""
    paths = [PurePosixPath(name) for name in names]
    suffixes = {path.suffix.lower() for path in paths}
    tables = {str(path.parent) for path in paths if path.suffix.lower() in (".arrow", ".parquet")}
    beside = {
        str(parent) for folder in tables for parent in (PurePosixPath(folder), *PurePosixPath(folder).parents)
    }
    about = {str(path) for path in paths if path.name in _ABOUT and str(path.parent) in beside}
    about |= {str(path) for path in paths if re.fullmatch(r"(?:cache-|tmp)[\w-]*\.arrow", path.name)}
    cards = {str(path) for path in paths if path.name.lower() in _CARDS} if suffixes & _DATA else set()
    roots = {str(path.parent.parent) for path in paths if slack.DAY.fullmatch(path.name) and len(path.parts) > 1}
    known = {str(path.parent) for path in paths if path.name in (slack.USERS, "channels.json")}
    return Layout(frozenset(about), frozenset(cards), tuple(sorted(roots & known)))


def is_card(head: bytes) -> bool:
    """Whether a Markdown file begins as the card of a data set does: with its facts between lines ---.

    >>> is_card(b"---\\nlicense: mit\\n---\\n# Tales\\n"), is_card(b"---\\ntitle: A day\\n---\\nIt rained.\\n")
    (True, False)
    """
    end = head.find(b"\n---", 4)
    return bool(_CARD.match(head[: end + 1] if end > 0 else head))
