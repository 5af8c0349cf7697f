"""Preparing a text by several processes, on one machine or on many that share a folder.

The text is divided into units of UNIT characters, whoever works on it. Part i of N surveys every N-th file,
and makes the units i, i + N, …: a shard of each split, and last a small JSON file, which says that the unit is
done. Who finds all of them there writes meta.json. So the dataset is the same to the bit whatever N is; what was
interrupted goes on with the units that are missing; and no process has more of the text in memory than it encodes
at a time, beside some hundred bytes for each document.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from homespun.dataset.pipeline import Part, changed, document_parts, encode_in_order, end_between_documents
from homespun.dataset.sharded import META, Shard
from homespun.dataset.shards import FORMAT, ShardWriter, id_type, telling_why
from homespun.dataset.splits import check_learnable, fit_context, plan_splits
from homespun.errors import TextUnreadable, UsageError
from homespun.fetch.cache import sha256_of
from homespun.machine.atomic import write_atomically, write_json

if TYPE_CHECKING:
    from homespun.text.corpus import Corpus, Source
    from homespun.text.survey import Survey
    from homespun.tokenizer.tokenizer import Tokenizer

UNIT = 2**26  # characters: about 16 million tokens of GPT-2's
NAMES = ("train", "val")
CLAIM = "preparation.json"  # the first file in the folder: of which text it is
POLL = 0.05  # seconds between two looks for what other parts have written

# Part 0 builds or opens the tokenizer, and saves it in the folder, where the other parts find it.
MakeTokenizer = Callable[["Survey"], "Tokenizer"]
OpenTokenizer = Callable[[], "Tokenizer | None"]


def prepare_part(
    corpus: Corpus,
    out: Path,
    part: int,
    parts: int,
    *,
    make_tokenizer: MakeTokenizer,
    open_tokenizer: OpenTokenizer,
    still_there: Callable[[], None] = lambda: None,
    unit: int | None = None,
) -> bool:
    """Do part `part` of `parts`; True where the dataset is complete by then, False where others still work on it.

    unit: characters of a unit; None for UNIT.
    still_there: called while this part waits for what another has to write; it raises where that will never come.
    Raises UsageError where the folder holds another preparation, and what `preparation.prepare` raises.
    """
    unit = UNIT if unit is None else unit
    claim(out, corpus)
    survey, documents = survey_together(corpus, out, part, parts, still_there)
    check_learnable(corpus.title, survey.characters, survey.alphabet)
    tokenizer = open_tokenizer()
    if tokenizer is None and part == 0:
        tokenizer = make_tokenizer(survey)
    while tokenizer is None:
        pause(still_there)
        tokenizer = open_tokenizer()
    plan = plan_splits(survey.document_characters, survey.document_keys)
    key = key_of(survey, tokenizer, unit)
    units = -(-survey.characters // unit)
    missing = {number for number in range(part, units, parts) if not is_done(out, number, key)}
    write_units(corpus, survey, documents, tokenizer, plan.cuts, missing, out, unit, key)
    if not all(is_done(out, number, key) for number in range(units)):
        return False
    write_whole(corpus, survey, tokenizer, plan.how, out, units, key)
    return True


def claim(out: Path, corpus: Corpus) -> None:
    """Make the folder, or find in it that the same text is prepared there. Raises UsageError otherwise."""
    facts = [facts_of(source) for source in corpus.sources]
    asked = {"text": corpus.title, "files": hashlib.sha256(json.dumps(facts).encode()).hexdigest()}
    with telling_why(out):
        out.mkdir(parents=True, exist_ok=True)
        path = out / CLAIM
        is_new = not any(not file.name.startswith(".") for file in out.iterdir())
        found = read_json(path)
        if found is None and not is_new:
            raise UsageError(f"{out} is not empty.", "Choose another folder with --out.")
        if found is None:
            write_json(path, asked)  # several parts may do so at once: they write the same
            return
    if found != asked:
        raise UsageError(
            f"{out} holds the preparation of another text, {found.get('text')}, or of other files of it.",
            "Choose another folder with --out; or remove that one.",
        )


def facts_of(source: Source) -> list[Any]:
    """What changes when the files of a source do, the same on every machine that sees them."""
    from homespun.text.corpus import FileSource, FolderSource

    if isinstance(source, FileSource):
        if not source.lasting:
            raise UsageError(
                f"{source.shown} can be read by one process only.", "Write it to a file, and prepare that."
            )
        return [source.shown, source.path.stat().st_size]
    assert isinstance(source, FolderSource)
    return [source.shown, *source.files_and_sizes()]


def survey_together(
    corpus: Corpus, out: Path, part: int, parts: int, still_there: Callable[[], None]
) -> tuple[Survey, list[int]]:
    """The survey of the whole corpus, of which this process makes one part; the number of documents by file."""
    from homespun.text.survey import add_up, survey_part

    names = [f"survey-{number}-of-{parts}.json" for number in range(parts)]
    if read_json(out / names[part]) is None:
        with telling_why(out):
            write_atomically(out / names[part], json.dumps(survey_part(corpus, part, parts)))
    found = []
    for name in names:
        while (one := read_json(out / name)) is None:
            pause(still_there)
        found.append(one)
    if len({one["files"] for one in found}) > 1:
        raise changed(corpus.title, "its parts found different numbers of files")
    survey, notes, documents = add_up(found)
    corpus.notes = [*corpus.said, *notes]
    return survey, documents


def pause(still_there: Callable[[], None]) -> None:
    still_there()
    time.sleep(POLL)


def key_of(survey: Survey, tokenizer: Tokenizer, unit: int) -> str:
    facts = [FORMAT, "in shards", survey.key, tokenizer.key, unit]
    return hashlib.sha256(json.dumps(facts).encode()).hexdigest()[:32]


def parts_of_units(
    corpus: Corpus, survey: Survey, documents: Sequence[int], cuts: Sequence[int], wanted: set[int], unit: int
) -> Iterator[tuple[int, Part]]:
    """Yield the parts of those units, each with the number of its unit, in order.

    A part belongs to the unit in which it begins. Files without such parts are not opened.
    documents: how many there are in each file.
    """
    from homespun.text.notes import Tally

    begins = np.concatenate([[0], np.cumsum(survey.document_characters)])  # of each document, in characters
    firsts = np.concatenate([[0], np.cumsum(documents)])  # document of each file
    files = [
        file
        for file in range(len(documents))
        if units_within(int(begins[firsts[file]]), int(begins[firsts[file + 1]]), unit) & wanted
    ]
    found: Counter[int] = Counter()
    for file, document in corpus.documents_of(files, Tally()):
        number = int(firsts[file]) + found[file]
        found[file] += 1
        if found[file] > documents[file]:
            break
        begin, end = int(begins[number]), int(begins[number + 1])
        last = max(units_within(begin, end, unit) & wanted, default=-1)
        if last >= 0:
            for place, part in document_parts(corpus.title, document, number, survey, cuts):
                own = (begin + place) // unit
                if own > last:
                    break  # the rest is of others, the last of whom sees whether the document has changed
                if own in wanted:
                    yield own, part
    if any(found[file] != documents[file] for file in files):
        raise changed(corpus.title, "a file of it has other documents than before")


def units_within(begin: int, end: int, unit: int) -> set[int]:
    """The units in which characters from `begin` to `end` lie.

    >>> units_within(5, 21, 10), units_within(5, 5, 10)
    ({0, 1, 2}, set())
    """
    return set(range(begin // unit, -(-end // unit))) if end > begin else set()


def write_units(
    corpus: Corpus,
    survey: Survey,
    documents: Sequence[int],
    tokenizer: Tokenizer,
    cuts: Sequence[int],
    wanted: set[int],
    out: Path,
    unit: int,
    key: str,
) -> None:
    """Write the shards of those units, and behind each its JSON file."""
    dtype, end = id_type(tokenizer.vocab_size), end_between_documents(survey, tokenizer)
    stream = parts_of_units(corpus, survey, documents, cuts, wanted, unit)
    done = set()
    for number, members in groupby(stream, key=lambda pair: pair[0]):
        write_unit(out, number, (part for _, part in members), tokenizer, end, dtype, key)
        done.add(number)
    for number in sorted(wanted - done):  # within a part that began in the unit before
        write_unit(out, number, iter(()), tokenizer, end, dtype, key)


def write_unit(
    out: Path,
    number: int,
    parts: Iterator[Part],
    tokenizer: Tokenizer,
    end: np.ndarray | None,
    dtype: np.dtype,
    key: str,
) -> None:
    with telling_why(out):
        shards = [ShardWriter(out / f".{name}-{number:05}.npy", dtype) for name in NAMES]
        try:
            for part in encode_in_order(parts, tokenizer):
                shards[part.split].add(part, end)
            entries = {name: finished(shard, name) for name, shard in zip(NAMES, shards, strict=True)}
        finally:
            for shard in shards:
                shard.file.close()
        write_json(unit_file(out, number), {"key": key, "splits": entries})


def finished(shard: ShardWriter, name: str) -> dict[str, Any]:
    """Close a shard and give it its name; its entry for the JSON file of its unit."""
    entry = shard.finish()
    path = shard.path.with_name(shard.path.name.removeprefix("."))
    shard.path.replace(path)
    found = Shard(path.name, entry["tokens"], entry["file_bytes"], sha256_of(path))
    sizes = {name: entry[name] for name in ("characters", "bytes", "documents")}
    return {"shard": vars(found), **sizes}


def unit_file(out: Path, number: int) -> Path:
    return out / f"unit-{number:05}.json"


def is_done(out: Path, number: int, key: str) -> bool:
    """Whether that unit of this preparation is in the folder, with all that its JSON file speaks of."""
    found = read_json(unit_file(out, number))
    if found is None or found.get("key") != key:
        return False
    shards = [entry["shard"] for entry in found["splits"].values()]
    try:
        return all((out / shard["file"]).stat().st_size == shard["file_bytes"] for shard in shards)
    except OSError:
        return False


def write_whole(
    corpus: Corpus, survey: Survey, tokenizer: Tokenizer, how: str, out: Path, units: int, key: str
) -> None:
    """Add up the JSON files of the units to meta.json. Who comes second writes the same."""
    found = [json.loads(unit_file(out, number).read_text(encoding="utf-8"))["splits"] for number in range(units)]
    splits = []
    for name in NAMES:
        shards = [unit[name]["shard"] for unit in found if unit[name]["shard"]["tokens"]]
        sizes = {size: sum(unit[name][size] for unit in found) for size in ("characters", "bytes", "documents")}
        splits.append({"name": name, "tokens": sum(one["tokens"] for one in shards), **sizes, "shards": shards})
    train, val = (split["tokens"] for split in splits)
    fit_context(train, val, 1, tokenizer=tokenizer.kind)  # refuses a split with nothing to predict
    meta = {
        "format": FORMAT,
        "key": key,
        "text": corpus.title,
        "name": corpus.name,
        "text_key": survey.key,
        "tokenizer": tokenizer.kind,
        "vocab_size": tokenizer.vocab_size,
        "dtype": id_type(tokenizer.vocab_size).str,
        "how": how,
        "splits": splits,
    }
    with telling_why(out):
        write_json(out / META, meta)


def read_json(path: Path) -> dict[str, Any] | None:
    """The content; None where the file is not there, or none of ours."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        raise TextUnreadable(
            f"{path} cannot be read: {error}.", "Remove it, and run the same command again."
        ) from error
    return found if isinstance(found, dict) else None
