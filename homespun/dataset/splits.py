"""Which characters are learnt from, and which are kept back to see how well it went.

A split is decided in characters, before any tokenizer: whatever the tokenizer,
the validation text is the same, and bits per character compare. It depends on
the documents alone, so it is the same on every machine.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from homespun.errors import NotEnoughText


@dataclass(frozen=True)
class SplitPlan:
    """Of document number i the first `cuts[i]` characters are for training, the rest is for validation.

    `how` is what it comes to, in words: "the last tenth of the text".
    """

    cuts: tuple[int, ...]
    how: str


def plan_splits(document_characters: Sequence[int], document_keys: Sequence[str]) -> SplitPlan:
    """Keeps back about a tenth of the characters for validation.

    document_characters: how many characters each document has.
    document_keys: what each document holds, as a hash; equal documents have equal keys.

    One document gives its last tenth. Of several, whole documents are kept back, equal ones
    together, so that no validation text is learnt from. Where no choice of whole documents comes
    near a tenth (two chapters, say), each document gives its last tenth.

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
    """The keys of whole documents with 5% to 20% of the characters, as near to a tenth as is simple; or none.

    They are taken in the order of their content hashes, which is as good as chance and the same
    everywhere; one that would go beyond a tenth is passed over. At most half of the documents are
    taken: beside one huge document, all the small ones together would be a tenth, but of another kind.
    """
    total = sum(sizes.values())
    chosen: set[str] = set()
    taken = 0
    for key in sorted(sizes):
        if 10 * (taken + sizes[key]) <= total and len(chosen) < len(sizes) // 2:
            chosen.add(key)
            taken += sizes[key]
    if 20 * taken < total:  # too little: one more, the one that comes nearest
        rest = [key for key in sorted(sizes) if key not in chosen and 5 * (taken + sizes[key]) <= total]
        if rest:
            nearest = min(rest, key=lambda key: abs(10 * (taken + sizes[key]) - total))
            chosen.add(nearest)
            taken += sizes[nearest]
    return chosen if 20 * taken >= total else set()


def check_learnable(title: str, characters: int, alphabet: Mapping[str, int]) -> None:
    """Refuses a text that there is nothing to learn from.

    title: the text's name for people. alphabet: how often each character occurs.
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


def fit_context(train_tokens: int, val_tokens: int, context_length: int) -> int:
    """The context length that the text has room for: `context_length`, or less where the text is shorter.

    A training example is context_length tokens and the one after them. The caller says when
    the result is smaller than what was asked for. Raises NotEnoughText where a split has no
    token to predict.

    >>> fit_context(1_003_854, 111_540, 256), fit_context(40, 5, 256)
    (256, 39)
    """
    assert context_length >= 1
    for name, tokens in (("training", train_tokens), ("validation", val_tokens)):
        if tokens < 2:
            raise NotEnoughText(
                f"The text is too short: {tokens} token{'' if tokens == 1 else 's'} would be left for {name}, "
                "and it takes two, one to look at and one to predict.",
                "Give a longer text (a page at least, better a book), or smaller tokens: --tokenizer char.",
            )
    return min(context_length, train_tokens - 1)
