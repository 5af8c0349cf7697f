"""What would be trained on, before anything is: the tokenizer, the tokens, the split. Told without training."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from homespun.text.corpus import Corpus
    from homespun.tokenizer.tokenizer import Tokenizer

SAMPLE = 2**22  # characters that sub-words are learned from here; training takes the whole text
COUNTED = 2**20  # characters of them that are encoded, to see how long a token is


@dataclass(frozen=True)
class Preview:
    """tokenizer: what it would be, and why; vocab_size: how many different tokens it has.

    tokens: how many the text would be, exact where a token is a character or a byte, else
    estimated from the beginning of the text. train_characters, val_characters: the split.
    """

    tokenizer: str
    why: str
    vocab_size: int
    tokens: int
    exact: bool
    train_characters: int
    val_characters: int
    split: str


def preview(corpus: Corpus, spec: str = "auto") -> Preview:
    """Raises NotEnoughText where there is nothing to learn, and TokenizerError for a spec that is none."""
    from homespun.dataset.splits import check_learnable, fit_context, plan_splits
    from homespun.tokenizer.choose import choose
    from homespun.tokenizer.make import build

    survey = corpus.survey()
    check_learnable(corpus.title, survey.characters, survey.alphabet)
    why = "as you asked"
    if spec == "auto":
        spec, why = choose(characters=survey.characters, alphabet=survey.alphabet, documents=survey.documents)
    tokenizer = build(
        spec, alphabet=survey.alphabet, documents=survey.documents, pieces=lambda: beginning(corpus, SAMPLE)
    )
    exact = tokenizer.kind in ("char", "byte")
    if exact:
        tokens = survey.characters if tokenizer.kind == "char" else survey.bytes
    else:
        tokens = round(survey.characters * tokens_per_character(tokenizer, corpus))
    if survey.documents > 1 and tokenizer.end_of_text is not None:
        tokens += survey.documents
    split = plan_splits(survey.document_characters, survey.document_keys)
    train = sum(split.cuts)
    in_train = tokens * train // survey.characters
    fit_context(in_train, tokens - in_train, 1, tokenizer=tokenizer.kind)
    return Preview(
        tokenizer=spec,
        why=why,
        vocab_size=tokenizer.vocab_size,
        tokens=tokens,
        exact=exact,
        train_characters=train,
        val_characters=survey.characters - train,
        split=split.how,
    )


def tokens_per_character(tokenizer: Tokenizer, corpus: Corpus) -> float:
    """Seen at the beginning of the text."""
    characters = tokens = 0
    for piece in beginning(corpus, COUNTED):
        characters += len(piece)
        tokens += len(tokenizer.encode_array(piece))
    return tokens / characters


def beginning(corpus: Corpus, characters: int) -> Iterator[str]:
    """The first pieces of a corpus, no more than so many characters together."""
    for document in corpus.documents():
        for piece in document.pieces():
            yield piece[:characters]
            characters -= len(piece)
            if characters <= 0:
                return
