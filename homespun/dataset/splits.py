"""Decide which characters are the training split, and which are held out for validation.

The split is made in characters, before tokenization, so the validation text does not depend on the
tokenizer, and bits per character are comparable. It depends on the documents alone, so it is the
same on every machine.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from homespun.errors import NotEnoughText


@dataclass(frozen=True)
class SplitPlan:
    """Of document number i the first `cuts[i]` characters are for training, the rest for validation.

    `how` describes the result in words: "the last tenth of the text".
    """

    cuts: tuple[int, ...]
    how: str


def plan_splits(document_characters: Sequence[int], document_keys: Sequence[str]) -> SplitPlan:
    """Hold out about a tenth of the characters for validation.

    document_characters: the number of characters of each document.
    document_keys: a hash of each document's content; equal documents have equal keys.

    A single document gives its last tenth. Of several, whole documents are held out, equal ones together, so that
    no validation text is trained on. If no choice of whole documents comes near a tenth (two chapters, say), each
    document gives its last tenth.

    >>> plan_splits([1_115_394], ["…"])
    SplitPlan(cuts=(1003854,), how='the last tenth of the text')
    """
    assert len(document_characters) == len(document_keys)
    sizes: dict[str, int] = {}  # characters of all documents that have this key
    for key, characters in zip(document_keys, document_characters, strict=True):
        if characters:
            sizes[key] = sizes.get(key, 0) + characters
    written = sum(1 for characters in document_characters if characters)

    kept_back = documents_to_keep_back(sizes)
    if kept_back:
        cuts = tuple(
            0 if key in kept_back else characters
            for key, characters in zip(document_keys, document_characters, strict=True)
        )
        number = sum(1 for key in document_keys if key in kept_back)
        return SplitPlan(cuts, f"{number:,} of {written:,} documents, whole")
    cuts = tuple(int(0.9 * characters) for characters in document_characters)
    how = "the last tenth of the text" if written <= 1 else f"the last tenth of each of {written:,} documents"
    return SplitPlan(cuts, how)


def documents_to_keep_back(sizes: Mapping[str, int]) -> set[str]:
    """Return the keys of whole documents with 5% to 20% of the characters, close to a tenth; or an empty set.

    Documents are taken in the order of their content hashes, which is as good as random and the same on every
    machine; one that would exceed a tenth is skipped. At most half of the documents are taken: next to one huge
    document, all the small ones together might be a tenth, but they would be text of another kind.
    """
    total = sum(sizes.values())
    chosen: set[str] = set()
    taken = 0
    for key in sorted(sizes):
        if 10 * (taken + sizes[key]) <= total and len(chosen) < len(sizes) // 2:
            chosen.add(key)
            taken += sizes[key]
    if 20 * taken < total:  # too little: add the one document that brings the total nearest to a tenth
        rest = [key for key in sorted(sizes) if key not in chosen and 5 * (taken + sizes[key]) <= total]
        if rest:
            nearest = min(rest, key=lambda key: abs(10 * (taken + sizes[key]) - total))
            chosen.add(nearest)
            taken += sizes[nearest]
    return chosen if 20 * taken >= total else set()


def check_learnable(title: str, characters: int, alphabet: Mapping[str, int]) -> None:
    """Refuse a text that has nothing to learn from.

    title: the text's name in messages. alphabet: how often each character occurs.
    Raises NotEnoughText, which says why and what to do.
    """
    if characters == 0:
        raise NotEnoughText(
            f"There is no text in {title}: it has no characters at all.",
            "Give a text with some pages in it; `homespun data list` names some that are ready to use.",
        )
    first = next(iter(alphabet))
    if characters == 1:
        raise NotEnoughText(
            f"{title} is a single character, {first!r}: nothing comes after it that could be predicted.",
            "Give a text with some pages in it; `homespun data list` names some that are ready to use.",
        )
    if len(alphabet) == 1:
        raise NotEnoughText(
            f"{title} is one character, {first!r}, {characters:,} times: what comes next is always the same, "
            "so there is nothing to learn.",
            "Give a text with words in it; `homespun data show` tells what is in a file.",
        )


def fit_context(train_tokens: int, val_tokens: int, context_length: int, *, tokenizer: str | None = None) -> int:
    """Return the context length that fits the text: `context_length`, or less if the text is shorter.

    A training example is context_length tokens and the next token. The caller reports it when the result is
    smaller than requested. Raises NotEnoughText if a split has no token to predict.
    tokenizer: its kind, if another one could be chosen.

    >>> fit_context(1_003_854, 111_540, 256), fit_context(40, 5, 256)
    (256, 39)
    """
    assert context_length >= 1
    smaller_are_possible = tokenizer not in (None, "char", "byte")
    for name, tokens in (("training", train_tokens), ("validation", val_tokens)):
        if tokens < 2:
            raise NotEnoughText(
                f"The text is too short: {tokens} token{'' if tokens == 1 else 's'} would be left for {name}, "
                "and it takes two, one to look at and one to predict.",
                "Give a longer text (a page at least, better a book)"
                + (", or smaller tokens: --tokenizer char." if smaller_are_possible else "."),
            )
    return min(context_length, train_tokens - 1)
