"""One side of preparing a text: from a file to ids in a file.  python -m benchmarks.encode SIDE TEXT TOKENIZER OUT

All sides read the same UTF-8 file with the same merges and leave the same ids; what they import, and loading
the tokenizer, is not timed.
"""

from __future__ import annotations

import hashlib
import json
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

BLOCK = 2**24  # bytes that the peers read at a time
BATCH = 2**18  # characters of one text in a batch

# What `tokenizer/bpe.py` cuts words by, GPT-2's way with every digit on its own, as one expression: the white
# space before a digit is cut as that at the end of a text.
WORDS = r"'(?:[sdmt]|ll|ve|re)|\p{N}| ?\p{L}++| ?[^\s\p{L}\p{N}]++|\s+(?![^\s\p{N}])|\s+"

Encode = Callable[[list[str]], list[list[int]]]


def ours(text: Path, tokenizer: Path, out: Path, threads: int) -> tuple[float, int]:
    """Everything that `homespun train` does with a text: survey, ids, checksums, a dataset in the cache."""
    from homespun.dataset.preparation import prepare_text
    from homespun.text.sources import read
    from homespun.tokenizer.open import load

    loaded = load(tokenizer)
    began = time.perf_counter()
    split = prepare_text(read(text), loaded)
    seconds = time.perf_counter() - began
    np.asarray(split.ids).tofile(out)
    return seconds, split.tokens


def by_tokenizers(text: Path, tokenizer: Path, out: Path, threads: int) -> tuple[float, int]:
    """`encode_batch_fast` of the library that ours is built on; RAYON_NUM_THREADS holds it to its threads."""
    from tokenizers import Tokenizer

    backend = Tokenizer.from_file(str(tokenizer / "tokenizer.json"))
    backend.encode_special_tokens = True
    return written(
        text, out, lambda texts: [e.ids for e in backend.encode_batch_fast(texts, add_special_tokens=False)]
    )


def by_tiktoken(text: Path, tokenizer: Path, out: Path, threads: int) -> tuple[float, int]:
    """tiktoken with the same merges as ranks: a token's number is its place among them."""
    import tiktoken

    from homespun.tokenizer.byte_level import token_bytes

    model = json.loads((tokenizer / "tokenizer.json").read_text(encoding="utf-8"))["model"]
    ranks = {token_bytes(token): id for token, id in model["vocab"].items()}
    encoding = tiktoken.Encoding("homespun", pat_str=WORDS, mergeable_ranks=ranks, special_tokens={})
    return written(text, out, lambda texts: encoding.encode_ordinary_batch(texts, num_threads=threads))


def written(text: Path, out: Path, encode: Encode) -> tuple[float, int]:
    """Reads the text block by block, encodes each in parallel, appends the ids; returns seconds and tokens."""
    tokens = 0
    began = time.perf_counter()
    with text.open("rb") as source, out.open("wb") as target:
        for block in blocks(source.read, BLOCK):
            for ids in encode(list(pieces(block.decode(), BATCH))):
                array = np.array(ids, dtype=np.uint16)
                tokens += len(array)
                array.tofile(target)
    return time.perf_counter() - began, tokens


def blocks(read: Callable[[int], bytes], size: int) -> Iterator[bytes]:
    """Blocks of about `size` bytes that end where a line begins and no white space is around."""
    rest = b""
    while more := read(size):
        rest += more
        end = line_start(rest)
        if end > 0:
            yield rest[:end]
            rest = rest[end:]
    if rest:
        yield rest


def line_start(block: bytes) -> int:
    r"""Where the last line begins that has text in front of its newline and behind it; 0 for nowhere.

    >>> line_start(b"to be\nor\n\nnot"), line_start(b"to be")
    (6, 0)
    """
    end = len(block) - 1
    while (end := block.rfind(b"\n", 1, end)) > 0:
        if not block[end - 1 : end].isspace() and block[end + 1 : end + 2].isalpha():
            return end + 1
    return 0


def pieces(text: str, size: int) -> Iterator[str]:
    """The same for the texts of a batch."""
    from homespun.tokenizer.words import cut

    yield from cut(text, size)


SIDES = {"ours": ours, "tokenizers": by_tokenizers, "tiktoken": by_tiktoken}


def main() -> None:
    side, text, tokenizer, out, threads = sys.argv[1:]
    seconds, tokens = SIDES[side](Path(text), Path(tokenizer), Path(out), int(threads))
    with Path(out).open("rb") as file:
        digest = hashlib.sha256()
        while block := file.read(2**20):
            digest.update(block)
    print(json.dumps({"seconds": seconds, "tokens": tokens, "sha256": digest.hexdigest()}))


if __name__ == "__main__":
    main()
