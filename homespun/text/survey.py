"""One pass over a corpus: how much there is, of what characters, what is there twice, and a key for all of it."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from homespun import __version__
from homespun.errors import WriteFailed
from homespun.fetch.cache import cache_folder, written_whole
from homespun.text.document import Document
from homespun.text.notes import Reading, Tally

if TYPE_CHECKING:
    from homespun.text.corpus import Corpus

FORMAT = 1  # of the key of a text
READING = 4  # goes up when the way texts are read changes: what is cached is then made anew
_UNICODE = 0x110000
_COUNT_AT = 2**18  # characters that are counted together, however many documents they are from
_BLOCK = 2**16  # characters that fit the processor's cache as the 64-bit numbers that they are counted as


@dataclass(frozen=True)
class Survey:
    """What one pass over a corpus found.

    `bytes` is its size in UTF-8. `alphabet` maps each character to how often it stands there, in order of
    code points. `document_characters` and `document_keys` (a hash of the text, 32 hexadecimal digits) have
    one entry a document; `duplicates` counts those whose text came before. `key` is a hash of everything:
    all texts and where one ends and the next begins. `encodings` and `read_as`
    (what they were read as) map names to numbers of documents.
    `longest` and `shortest` are (origin, characters).
    """

    documents: int
    characters: int
    bytes: int
    lines: int
    alphabet: dict[str, int]
    document_characters: list[int]
    document_keys: list[str]
    key: str
    duplicates: int
    encodings: dict[str, int]
    read_as: dict[str, int]
    longest: tuple[str, int]
    shortest: tuple[str, int]


def survey(corpus: Corpus, on_progress: Callable[[int], None] | None = None) -> tuple[Survey, list[str]]:
    """The survey of a corpus and its notes, from the cache where no file has changed since."""
    name = _cache_name(corpus)
    if name and (kept := _load(name)):
        return kept
    found = _Counting(on_progress)
    for document in corpus.documents(found.reading.tally):
        found.read(document)
    result, notes = found.result(), found.reading.lines()
    if name:
        _save(name, result, notes)
    return result, notes


def survey_part(corpus: Corpus, part: int, parts: int) -> dict[str, Any]:
    """What one of several processes finds that survey a corpus together: in every `parts`-th file from `part` on.

    Returns plain data, which `add_up` makes a survey of. Raises what `Corpus.documents` raises.
    """
    files, found, counts = corpus.number_of_files(), _Counting(None), Counter[int]()
    for number, document in corpus.documents_of(range(part, files, parts), found.reading.tally):
        counts[number] += 1
        found.read(document)
    return {
        "files": files,
        "documents": [counts[number] for number in range(part, files, parts)],
        "tally": found.reading.tally.as_object(),
        "first": found.reading.first,
        "survey": asdict(found.result()),
    }


def add_up(parts: Sequence[dict[str, Any]]) -> tuple[Survey, list[str], list[int]]:
    """The survey of the whole corpus, its notes, and how many documents each file has, of what the parts found.

    It is the survey of a single pass. Of the notes only the examples may be others.
    """
    surveys = [part["survey"] for part in parts]
    documents = [parts[file % len(parts)]["documents"][file // len(parts)] for file in range(parts[0]["files"])]
    lengths: list[int] = []
    keys: list[str] = []
    taken = [0] * len(parts)
    for file, several in enumerate(documents):
        part = file % len(parts)
        here = slice(taken[part], taken[part] + several)
        lengths += surveys[part]["document_characters"][here]
        keys += surveys[part]["document_keys"][here]
        taken[part] = here.stop
    counts, encodings, read_as = Counter[str](), Counter[str](), Counter[str]()
    reading = Reading()
    for one, found in zip(parts, surveys, strict=True):
        counts.update(found["alphabet"])
        encodings.update(found["encodings"])
        read_as.update(found["read_as"])
        reading.tally.merge(Tally.of_object(one["tally"]))
        for name, origin in one["first"].items():
            reading.first.setdefault(name, origin)
    reading.encodings, reading.read_as = dict(encodings), dict(read_as)

    # Each part names its first longest and its first shortest document: the first of all is one of these.
    ends = np.cumsum(documents)
    longest, shortest = (
        surveys[int(np.searchsorted(ends, lengths.index(length), side="right")) % len(parts)]
        for length in (max(lengths), min(lengths))
    )
    result = Survey(
        documents=len(lengths),
        characters=sum(lengths),
        bytes=sum(found["bytes"] for found in surveys),
        lines=counts["\n"],
        alphabet={character: counts[character] for character in sorted(counts)},
        document_characters=lengths,
        document_keys=keys,
        key=_key_of_all(lengths, keys),
        duplicates=len(keys) - len(set(keys)),
        encodings=_commonest_first(encodings),
        read_as=_commonest_first(read_as),
        longest=tuple(longest["longest"]),
        shortest=tuple(shortest["shortest"]),
    )
    return result, reading.lines(), documents


class _Counting:
    """The pass itself, a piece at a time."""

    def __init__(self, on_progress: Callable[[int], None] | None) -> None:
        self.reading = Reading()
        self._on_progress = on_progress
        self._characters = self._bytes = 0
        self._counts = np.zeros(_UNICODE, dtype=np.int64)
        self._waiting: list[str] = []
        self._waiting_length = 0
        self._lengths: list[int] = []
        self._keys: list[str] = []
        self._longest = self._shortest = ("", 0)

    def read(self, document: Document) -> None:
        digest, length = hashlib.sha256(), 0
        for piece in document.pieces():
            encoded = piece.encode()
            digest.update(encoded)
            length += len(piece)
            self._bytes += len(encoded)
            self._count(piece)
            if self._on_progress:
                self._on_progress(self._characters + length)
        self._characters += length
        self._lengths.append(length)
        self._keys.append(digest.hexdigest()[:32])
        if length > self._longest[1]:
            self._longest = (document.origin, length)
        if not self._shortest[0] or length < self._shortest[1]:
            self._shortest = (document.origin, length)
        self.reading.took(document)

    def _count(self, piece: str) -> None:
        self._waiting.append(piece)
        self._waiting_length += len(piece)
        if self._waiting_length >= _COUNT_AT:
            self._count_waiting()

    def _count_waiting(self) -> None:
        text = "".join(self._waiting)
        if text.isascii():
            codes = np.frombuffer(text.encode("ascii"), dtype=np.uint8)
        else:
            codes = np.frombuffer(text.encode("utf-32-le"), dtype="<u4")
        for start in range(0, len(codes), _BLOCK):
            counts = np.bincount(codes[start : start + _BLOCK])
            self._counts[: len(counts)] += counts
        self._waiting, self._waiting_length = [], 0

    def result(self) -> Survey:
        self._count_waiting()
        codes = np.flatnonzero(self._counts)
        return Survey(
            documents=len(self._lengths),
            characters=self._characters,
            bytes=self._bytes,
            lines=int(self._counts[ord("\n")]),
            alphabet={chr(code): int(self._counts[code]) for code in codes.tolist()},
            document_characters=self._lengths,
            document_keys=self._keys,
            key=_key_of_all(self._lengths, self._keys),
            duplicates=len(self._keys) - len(set(self._keys)),
            encodings=_commonest_first(self.reading.encodings),
            read_as=_commonest_first(self.reading.read_as),
            longest=self._longest,
            shortest=self._shortest,
        )


def _commonest_first(counts: Mapping[str, int]) -> dict[str, int]:
    return dict(sorted(counts.items(), key=lambda item: (-item[1], item[0])))


def _key_of_all(lengths: list[int], keys: list[str]) -> str:
    digest = hashlib.sha256(f"homespun corpus {FORMAT}\n".encode())
    for length, key in zip(lengths, keys, strict=True):
        digest.update(f"{length} {key}\n".encode())
    return digest.hexdigest()


def _cache_name(corpus: Corpus) -> str | None:
    """The name of the cached survey, from everything that it depends on; None where files are not all of it."""
    signatures = [source.signature() for source in corpus.sources]
    if None in signatures:
        return None
    facts = [FORMAT, READING, __version__, asdict(corpus.request), signatures]
    return hashlib.sha256(json.dumps(facts).encode()).hexdigest()[:32] + ".json"


def _load(name: str) -> tuple[Survey, list[str]] | None:
    try:
        kept = json.loads((cache_folder("surveys") / name).read_bytes())
        facts = kept["survey"]
        for pair in ("longest", "shortest"):
            facts[pair] = tuple(facts[pair])
        result = Survey(**facts)
        if result.key == _key_of_all(result.document_characters, result.document_keys):
            return result, [str(line) for line in kept["notes"]]
    except (OSError, ValueError, KeyError, TypeError, WriteFailed):
        return None  # none yet, or a damaged one: it is made anew; or no cache at all
    return None


def _save(name: str, result: Survey, notes: list[str]) -> None:
    try:
        with written_whole(cache_folder("surveys") / name) as file:
            file.write(json.dumps({"survey": asdict(result), "notes": notes}).encode())
    except WriteFailed:
        return  # a full disk costs the next run some seconds, no more
