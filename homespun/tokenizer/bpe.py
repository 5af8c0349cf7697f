"""Byte-pair encoding trained on the user's own text.

It starts from the 256 bytes and repeatedly makes the most frequent pair of neighbours a new token, until there
are N (Sennrich et al. 2016, arXiv:1508.07909; on bytes: Radford et al. 2019). It can encode every character.

The text is first split into words as in GPT-2, with each digit on its own, so that a number has only one
encoding. llama.cpp supports this pre-tokenizer under the name `smollm`.
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

# Training keeps every distinct word in memory, at about 40 times its size. So the text is sampled: less of it if
# nearly every word is new (Chinese, base64), more if the same words recur.
MOST_CHARACTERS = 128 * 2**20
MOST_DIFFERENT = 8 * 2**20
SAMPLE_BLOCK = 2**14

# Each merge visits every character of every word that contains the pair. Words of a text are short; a long run of
# DNA or base64 is cut into words of this many characters: all pairs but one in 256 are still learned, and
# training is several times faster.
LONGEST_WORD = 256
STRETCH = re.compile(rf"\S{{{LONGEST_WORD}}}(?=\S)|\s{{{LONGEST_WORD}}}(?=\s)")


def train_bpe(size: int, *, characters: int, pieces: Callable[[], Iterator[str]]) -> Tokenizer:
    """Return a tokenizer of `size` ids, the last one `<|endoftext|>`; fewer if the text has too few pairs.

    characters: the total length of `pieces()`. Texts larger than the limits above are sampled evenly over their
    whole length. The same text gives the same tokenizer.
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
    """Return how many characters to train on, estimated from the distinct words in the first text chunk."""
    first = next(iter(pieces), "")[: 4 * 2**20]
    different = sum(len(word.encode("utf-8", "replace")) for word in set(first.split()))
    return min(MOST_CHARACTERS, MOST_DIFFERENT * len(first) // max(different, 1))


def sample(pieces: Iterable[str], characters: int, wanted: int) -> Iterator[str]:
    """Yield blocks spread evenly over the text, with about `wanted` characters in total.

    >>> list(sample(["abcdefgh"], characters=8, wanted=100))
    ['abcdefgh']
    """
    seen = taken = 0
    for piece in pieces:
        for start in range(0, len(piece), SAMPLE_BLOCK):
            block = piece[start : start + SAMPLE_BLOCK]
            seen += len(block)
            # One block too many does no harm; an empty sample would.
            if taken * characters <= wanted * seen:
                taken += len(block)
                yield block


def without_stretches(text: str) -> Iterator[str]:
    """Yield the text, cut where LONGEST_WORD characters follow each other without a break.

    >>> [len(part) for part in without_stretches("a word " + 600 * "x")]
    [263, 256, 88]
    """
    start = 0
    for stretch in STRETCH.finditer(text):
        yield text[start : stretch.end()]
        start = stretch.end()
    yield text[start:]
