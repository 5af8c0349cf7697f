"""The data doctor: finds problems and oddities of a text before a model is trained on it, and says what to do.

It reads the text once, in chunks, with bounded memory, and a second time only to locate its findings. Each check
has a file of its own in this package, with its thresholds. They are set so that healthy texts (novels, plays,
source code) give no findings, or only correct ones.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from homespun.dataset import near_duplicates
from homespun.dataset.damage import Damage
from homespun.dataset.finding import SEVERITIES, Finding, Place, numbered, percent
from homespun.dataset.odd_characters import OddCharacters
from homespun.dataset.overlap import leakage
from homespun.dataset.pipeline import parts
from homespun.dataset.repeats import (
    REPEATED_SOME,
    Gutenberg,
    Lines,
    LongPassages,
    describe_leak,
    describe_repeated,
)
from homespun.dataset.splits import check_learnable, plan_splits
from homespun.errors import NotEnoughText
from homespun.tokenizer.choose import choose

if TYPE_CHECKING:
    from homespun.dataset.preparation import Dataset
    from homespun.text.corpus import Corpus
    from homespun.text.survey import Survey

LOOKED_FOR = (
    "too little text",
    "encoding damage",
    "alphabet",
    "duplicates",
    "near-duplicates",
    "boilerplate",
    "repeated passages",
    "leakage",
)
# Repeated data is nearly as good as new data up to 4 epochs (Muennighoff et al. 2023, "Scaling Data-Constrained
# Language Models"). With dropout more epochs still help: 100 kB of Shakespeare gave a loss of 1.519 after 8
# epochs, 1.467 after 25, and no improvement after 50.
GOOD_EPOCHS, MOST_EPOCHS = 4, 32
LITTLE, VERY_LITTLE = 100_000, 10_000  # characters: fifty pages, five pages
COPIES_SOME, COPIES_MUCH = 0.01, 0.1  # of the text
EXAMPLE = 80  # bytes of a passage that are shown


@dataclass(frozen=True)
class Examination:
    """What the doctor found. characters, bytes (UTF-8), alphabet_size: of the whole text.

    notes: what reading the text noticed, a line each, as every command reports it.
    findings: the most severe first. sampled: which findings are estimates, in words, or "".
    """

    title: str
    documents: int
    characters: int
    bytes: int
    alphabet_size: int
    findings: tuple[Finding, ...]
    sampled: str
    notes: tuple[str, ...] = ()
    looked_for: tuple[str, ...] = LOOKED_FOR


def examine(
    corpus: Corpus, *, tokenizer: str = "auto", epochs: float | None = None, dataset: Dataset | None = None
) -> Examination:
    """Read the corpus and return what a user should know before training on it.

    tokenizer: the tokenizer that will be used, as in `--tokenizer`. epochs: the number of training epochs, if
    known. dataset: the prepared dataset, if there is one; leakage is then measured on its ids.
    Takes about 3 s on one core for 100 MB of English, and up to 10 s for many small documents or another script.
    Raises what `Corpus.survey` raises, and TextUnreadable if the text changes meanwhile.
    """
    survey = corpus.survey()
    try:
        check_learnable(corpus.title, survey.characters, survey.alphabet)
    except NotEnoughText as refusal:
        return report(corpus, [Finding("too little text", "stop", refusal.what, refusal.todo)], "")

    look = Look(survey, kind_of(tokenizer, survey))
    cuts = plan_splits(survey.document_characters, survey.document_keys).cuts
    for number, part in numbered(parts(corpus, survey, cuts), survey.document_characters):
        encoded = part.text.encode()
        for watcher in (look.damage, look.characters, look.gutenberg):
            watcher.look_at(part)
        look.lines.look_at(encoded, number)
        look.passages.look_at(encoded, part.split)
        if look.several and survey.document_characters[number] >= near_duplicates.SHORTEST:
            look.sketches.look_at(encoded, number)

    found = [too_little(survey.characters, epochs), *look.damage.findings(), *look.characters.findings()]
    found += [look.gutenberg.finding(), look.lines.finding(survey.characters)]
    found += copies_and_repeats(corpus, look, dataset)
    return report(corpus, [finding for finding in found if finding], look.sampled())


class Look:
    """All checks that run while the text is read."""

    def __init__(self, survey: Survey, kind: str) -> None:
        self.several = survey.documents > 1
        lines = survey.lines + survey.documents  # the last line of a document often has no line end
        self.damage = Damage(survey.alphabet, lines)
        self.characters = OddCharacters(survey.alphabet, lines, kind)
        self.gutenberg = Gutenberg()
        self.lines = Lines(survey.documents)
        self.passages = LongPassages(survey.bytes / survey.characters)
        self.sketches = near_duplicates.Sketches(survey.documents, survey.bytes / survey.characters)

    def sampled(self) -> str:
        estimates = []
        if self.passages.one_in > 1:
            estimates.append(f"repeated passages and leakage, from one passage in {self.passages.one_in:,}")
        if self.sketches.one_in > 1:
            estimates.append(f"near-duplicates, from one document in {self.sketches.one_in:,}")
        return f"Estimated: {'; '.join(estimates)}." if estimates else ""


def kind_of(tokenizer: str, survey: Survey) -> str:
    """Return the kind of a tokenizer: char, byte, bpe, …"""
    if tokenizer == "auto":
        tokenizer, _ = choose(characters=survey.characters, alphabet=survey.alphabet, documents=survey.documents)
    return tokenizer.partition(":")[0]


def report(corpus: Corpus, findings: list[Finding], sampled: str) -> Examination:
    survey = corpus.survey()
    return Examination(
        title=corpus.title,
        documents=survey.documents,
        characters=survey.characters,
        bytes=survey.bytes,
        alphabet_size=len(survey.alphabet),
        findings=tuple(sorted(findings, key=lambda finding: SEVERITIES.index(finding.severity))),
        sampled=sampled,
        notes=tuple(corpus.notes),
    )


def briefly(examination: Examination, most: int = 3) -> list[str]:
    """Return the most severe findings, one line each, and how many more there are; empty if there are none.

    >>> finding = Finding("leakage", "note", "7% of it is in both.", "Take it out.")
    >>> briefly(Examination("book.txt", 1, 9000, 9000, 60, (finding,) * 3, ""), most=2)
    ['leakage: 7% of it is in both.', 'leakage: 7% of it is in both.', '1 more: homespun data doctor']
    """
    lines = [f"{finding.kind}: {finding.what}" for finding in examination.findings]
    more = len(lines) - most
    return lines[:most] + [f"{more} more: homespun data doctor"] * (more > 0)


def too_little(characters: int, epochs: float | None = None) -> Finding | None:
    """Return a finding if the text is short, or short for training that takes `epochs` epochs.

    >>> too_little(1_115_394, epochs=6) is None
    True
    """
    if characters < VERY_LITTLE:
        return Finding(
            "too little text",
            "warn",
            f"{characters:,} characters are {pages(characters)}: a model memorises them and learns little else.",
            "Give more of the same kind. From about 100,000 characters on it learns words, from a million how "
            "they go together.",
        )
    if epochs is not None and epochs > MOST_EPOCHS:
        return Finding(
            "too little text",
            "warn" if epochs > 4 * MOST_EPOCHS else "note",
            f"The text would be read {epochs:,.0f} times. Up to {GOOD_EPOCHS} times are nearly as good as new "
            f"text; after {MOST_EPOCHS} the model only overfits.",
            "Give more text of the same kind, or fewer minutes (or steps).",
        )
    if characters < LITTLE:
        return Finding(
            "too little text",
            "note",
            f"{characters:,} characters are {pages(characters)}: enough for words and names, not for "
            "sentences that hold together.",
            "Give more of the same kind. Without: few minutes are enough, and with more the model overfits.",
        )
    return None


def pages(characters: int) -> str:
    """
    >>> pages(5), pages(3000), pages(50_000)
    ('less than a page', 'about 2 pages', 'about 25 pages')
    """
    count = round(characters / 2000)
    return f"about {count} page{'s' * (count > 1)}" if count else "less than a page"


def copies_and_repeats(corpus: Corpus, look: Look, dataset: Dataset | None) -> list[Finding | None]:
    """Return findings on duplicate documents, repeated passages, and text that is in both splits."""
    survey = corpus.survey()
    equal = copies_of(survey.document_keys)
    near = {copy: first for copy, first in look.sketches.copies().items() if copy not in equal}
    lengths, every = survey.document_characters, look.sketches.one_in
    in_equal = sum(lengths[copy] for copy in equal) / survey.characters
    in_near = every * sum(lengths[copy] for copy in near) / survey.characters

    found: list[Finding | None] = []
    if in_equal >= COPIES_SOME:
        found.append(describe_copies(corpus, "duplicates", "the same", equal, 1, in_equal))
    if in_near >= COPIES_SOME:
        found.append(describe_copies(corpus, "near-duplicates", "nearly the same", near, every, in_near))
    look.passages.look_at_waiting()
    repeated, leaked = look.passages.repeated(), look.passages.leaked()
    # more than the duplicate documents explain
    if repeated and repeated.share - in_equal - in_near >= REPEATED_SOME:
        found.append(describe_repeated(repeated, *passage_at(corpus, repeated.example)))
    if dataset is not None:
        found.append(leakage(dataset))
    elif leaked and describe_leak(leaked.share):
        place, _ = passage_at(corpus, leaked.example)
        found.append(describe_leak(leaked.share, f" (first in {place})"))
    return found


def copies_of(keys: list[str]) -> dict[int, int]:
    """Map the number of each document whose key occurred before to the number of the first one with that key.

    >>> copies_of(["a", "b", "a"])
    {2: 0}
    """
    first: dict[str, int] = {}
    return {number: first[key] for number, key in enumerate(keys) if first.setdefault(key, number) != number}


def describe_copies(
    corpus: Corpus, kind: str, same: str, copies: dict[int, int], one_in: int, share: float
) -> Finding:
    """Return the finding for duplicate documents.

    copies: a sample of 1 in `one_in`; the largest one is the example. share: of the text.
    """
    copy = max(copies, key=corpus.survey().document_characters.__getitem__)
    original = copies[copy]
    names = origins(corpus, {copy, original})
    count = one_in * len(copies)
    documents = f"{'about ' * (one_in > 1)}{count:,} documents are" if count > 1 else "1 document is"
    return Finding(
        kind,
        "warn" if share > COPIES_MUCH else "note",
        f"{documents} {same} as another, {percent(share)} of the text: {names[copy]} is like {names[original]}.",
        "The model memorises repeated text. Keep one of each.",
    )


def origins(corpus: Corpus, numbers: Iterable[int]) -> dict[int, str]:
    """Return the names of the documents with these numbers."""
    wanted = set(numbers)
    found: dict[int, str] = {}
    for number, document in enumerate(corpus.documents()):
        if number in wanted:
            found[number] = document.origin
        if len(found) == len(wanted):
            break
    return found


def passage_at(corpus: Corpus, start: int) -> tuple[Place, str]:
    """Return the place of a byte of the corpus, and the text there from the next word on."""
    before = 0
    for document in corpus.documents():
        line = 1
        for piece in document.pieces():
            encoded = piece.encode()
            if start < before + len(encoded):
                text = encoded[start - before :][:EXAMPLE].decode(errors="ignore").partition(" ")[2]
                return Place(document.origin, line + encoded.count(b"\n", 0, start - before)), text
            line += piece.count("\n")
            before += len(encoded)
    raise AssertionError("the corpus was longer a moment ago")
