"""Byte-pair encoding trained on the user's own text.

It starts from the 256 bytes and makes the commonest pair of neighbours a token of its own, again and
again, until there are N (Sennrich et al. 2016, arXiv:1508.07909; on bytes: Radford et al. 2019).
Knows every character there is.

The text is first cut into words as GPT-2 does it, each digit on its own, so that numbers are spelled
in one way only. llama.cpp knows this cutting under the name `smollm`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator

from tokenizers import Tokenizer as Backend
from tokenizers import decoders, models, pre_tokenizers, trainers

from homespun.errors import NotEnoughText, UsageError
from homespun.tokenizer.byte_level import byte_characters
from homespun.tokenizer.tokenizer import END_OF_TEXT, Tokenizer, special

SMALLEST = 257  # the bytes and <|endoftext|>
LARGEST = 2**18

# Training keeps every different word in memory, at about 40 times its size. So the text is sampled: little of it
# where nearly every word is new (Chinese, base64), more where the same words come back.
MOST_CHARACTERS = 128 * 2**20
MOST_DIFFERENT = 8 * 2**20
SAMPLE_BLOCK = 2**14

# Each merge goes through all of every word that has it. Words of a text are short; a stretch of DNA or of base 64
# is cut to words of this many characters: all pairs but one in so many are learned, and several times as fast.
LONGEST_WORD = 256
STRETCH = re.compile(rf"\S{{{LONGEST_WORD}}}(?=\S)|\s{{{LONGEST_WORD}}}(?=\s)")


def train_bpe(size: int, *, characters: int, pieces: Callable[[], Iterator[str]]) -> Tokenizer:
    """A tokenizer of `size` ids, the last of which is `<|endoftext|>`; fewer where the text has too few pairs.

    characters: how many `pieces()` has in all. Texts that are larger than the limits above are sampled,
    evenly over their whole length. The same text gives the same tokenizer.
    Raises UsageError, NotEnoughText.
    """
    if not SMALLEST <= size <= LARGEST:
        raise UsageError(
            f"A byte-pair tokenizer cannot have {size:,} ids.",
            f"Choose between {SMALLEST} (the 256 bytes and {END_OF_TEXT}) and {LARGEST:,}: --tokenizer bpe:4096",
        )
    if characters == 0:
        raise NotEnoughText("There is no text to train a tokenizer on.", "Give a text with some words in it.")
    backend = Backend(models.BPE())
    backend.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]
    )
    backend.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=size - 1, initial_alphabet=byte_characters(), show_progress=False, min_frequency=2
    )
    blocks = sample(pieces(), characters, sample_size(pieces()))
    backend.train_from_iterator((word for block in blocks for word in without_stretches(block)), trainer)
    backend.add_special_tokens([special(END_OF_TEXT)])
    return Tokenizer(backend, "bpe", end_of_text=END_OF_TEXT, may_be_cut=True)


def sample_size(pieces: Iterable[str]) -> int:
    """How many characters to train on, judged by how many different words the first piece has."""
    first = next(iter(pieces), "")[: 4 * 2**20]
    different = sum(len(word.encode("utf-8", "replace")) for word in set(first.split()))
    return min(MOST_CHARACTERS, MOST_DIFFERENT * len(first) // max(different, 1))


def sample(pieces: Iterable[str], characters: int, wanted: int) -> Iterator[str]:
    """Blocks that are spread evenly over the text and have about `wanted` characters together.

    >>> list(sample(["abcdefgh"], characters=8, wanted=100))
    ['abcdefgh']
    """
    seen = taken = 0
    for piece in pieces:
        for start in range(0, len(piece), SAMPLE_BLOCK):
            block = piece[start : start + SAMPLE_BLOCK]
            seen += len(block)
            # One block too many is nothing; an empty sample would be.
            if taken * characters <= wanted * seen:
                taken += len(block)
                yield block


def without_stretches(text: str) -> Iterator[str]:
    """The text, cut where it goes on for LONGEST_WORD characters without a break.

    >>> [len(part) for part in without_stretches("a word " + 600 * "x")]
    [263, 256, 88]
    """
    start = 0
    for stretch in STRETCH.finditer(text):
        yield text[start : stretch.end()]
        start = stretch.end()
    yield text[start:]
