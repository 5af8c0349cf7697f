"""The tokenizer of an imported checkpoint, which its file does not hold: meta.pkl, the text itself, tokenizer.bin.

nanoGPT keeps the alphabet of its data in data/NAME/meta.pkl. The lecture and minGPT make it of their text again
each time: its characters in order. llama2.c has its pieces in tokenizer.bin. Larger vocabularies are GPT-2's.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from homespun.errors import CheckpointError, TokenizerError, UsageError
from homespun.interop.foreign.pickles import read_pickle
from homespun.interop.gguf.tokenizer import BYTE, CONTROL, NORMAL, UNKNOWN_KIND, Pieces, of_pieces
from homespun.tokenizer.char import CharTokenizer
from homespun.tokenizer.json_file import LARGEST_VOCABULARY
from homespun.tokenizer.open import load
from homespun.tokenizer.tokenizer import Tokenizer
from homespun.tokenizer.unknown import lone_surrogate

META, TEXT, PIECES, SENTENCEPIECE = "meta.pkl", "input.txt", "tokenizer.bin", "tokenizer.model"
GPT2 = "gpt2"  # the name of the tokenizer
LARGEST_META = 2**24  # bytes
LARGEST_TEXT = 2**28
LONGEST_PIECE = 1000  # bytes of a piece in tokenizer.bin
GPT2_SIZES = (50_257, 50_304)  # of GPT-2's vocabulary, and as nanoGPT rounds it up
SEARCHED = 100_000_000  # bytes of an input.txt that is looked at without being named

HOW = (
    "Name it with --tokenizer: the meta.pkl of its data (nanoGPT: data/NAME/meta.pkl), the text that it was "
    "trained on (its characters in order are the alphabet), llama2.c's tokenizer.bin, a tokenizer.json "
    "or .model, or gpt2."
)


@dataclass(frozen=True)
class Chosen:
    """A tokenizer, and where it is from, in words. text: the text that it is the alphabet of, if any."""

    tokenizer: Tokenizer
    source: str
    text: str = ""


def tokenizer_for(checkpoint: Path, vocab_size: int, data_set: str, named: str | None) -> Chosen:
    """The tokenizer of a checkpoint with so many tokens.

    data_set: what nanoGPT calls its data. named: what the person said it is; None to look for it.
    Raises UsageError where there is none, TokenizerError, CheckpointError, DownloadFailed, MissingExtra.
    """
    if named is not None:
        return checked(of_name(named), vocab_size, checkpoint)
    for path in places(checkpoint, data_set):
        if path.is_file() and (found := fitting(path, vocab_size)) is not None:
            return found
    if vocab_size in GPT2_SIZES:
        return of_name(GPT2)
    raise UsageError(
        f"{checkpoint} does not say what its {vocab_size:,} tokens stand for: the tokenizer is elsewhere.",
        HOW,
    )


def places(checkpoint: Path, data_set: str) -> Iterator[Path]:
    """Where a tokenizer may lie, the likeliest first."""
    folder = checkpoint.resolve().parent
    data = [root / "data" / data_set for root in (folder, folder.parent, Path())] if data_set else []
    yield from (place / META for place in (*data, folder))
    for place in (folder, folder.parent):
        yield from (place / name for name in (PIECES, SENTENCEPIECE))
    for like in ("tok*.bin", "tok*.model"):  # tok4096.model, as llama2.c calls those that it trained itself
        yield from sorted(folder.glob(like))
    yield from (place / TEXT for place in (*data, folder))


def fitting(path: Path, vocab_size: int) -> Chosen | None:
    """The tokenizer in a file that was found, where it has as many tokens as the model."""
    if path.name == TEXT and path.stat().st_size > SEARCHED:
        return None
    try:
        found = of_name(str(path))
    except (TokenizerError, CheckpointError, UsageError):
        if path.name == META:
            raise
        return None  # a file of such a name that is something else
    return found if found.tokenizer.vocab_size == vocab_size or path.name == META else None


def checked(found: Chosen, vocab_size: int, checkpoint: Path) -> Chosen:
    size = found.tokenizer.vocab_size
    if size == vocab_size or (size < vocab_size and not found.text):
        return found
    raise CheckpointError(
        f"{found.source} has {size:,} different tokens, and the model of {checkpoint} {vocab_size:,}.",
        "They belong to different models. Name the tokenizer of this one with --tokenizer.",
    )


def of_name(named: str) -> Chosen:
    """The tokenizer that a person means: gpt2, or a file of one of the kinds, known by its beginning."""
    if named == GPT2:
        from homespun.tokenizer.gpt2 import gpt2_tokenizer

        return Chosen(gpt2_tokenizer(), "GPT-2's tokenizer")
    path = Path(named).expanduser()
    if path.is_dir() or path.suffix in (".json", ".model"):
        return Chosen(load(path), str(path))
    try:
        with path.open("rb") as file:
            beginning = file.read(2)
    except OSError as error:
        raise UsageError(f"{named} cannot be read: {error.strerror or error}.", HOW) from error
    if path.suffix == ".pkl" or beginning[:1] == b"\x80":
        return Chosen(of_meta(path), str(path))
    if path.suffix == ".bin":
        return Chosen(of_llama2c(path), str(path))
    text = text_of(path)
    return Chosen(CharTokenizer(sorted(set(text))), f"the alphabet of {path}", text)


def of_meta(path: Path) -> CharTokenizer:
    """nanoGPT's meta.pkl: {"vocab_size": 65, "itos": {0: "\\n", …}, "stoi": …}, read without executing it."""
    if path.stat().st_size > LARGEST_META:
        raise CheckpointError(f"{path} has {path.stat().st_size:,} bytes; no alphabet is so large.", HOW)
    value = read_pickle(path.read_bytes(), str(path))
    characters = value.get("itos") if isinstance(value, dict) else None
    if isinstance(characters, (list, tuple)):
        characters = dict(enumerate(characters))
    if not isinstance(characters, dict) or sorted(map(str, characters)) != sorted(
        map(str, range(len(characters)))
    ):
        raise TokenizerError(f"{path} has no 'itos' that says what each id stands for.", HOW)
    alphabet = [characters.get(id) for id in range(len(characters))]
    strange = [one for one in alphabet if not isinstance(one, str) or len(one) != 1 or lone_surrogate(one)]
    if strange or len(set(alphabet)) < len(alphabet) or not alphabet:
        what = f"one of them is {str(strange[0])[:20]!r}" if strange else "some are there twice"
        raise TokenizerError(
            f"The tokens of {path} are no alphabet of single characters: {what}.",
            "homespun has tokenizers of characters, bytes and byte pairs; words and numbers as tokens it has not.",
        )
    return CharTokenizer([str(one) for one in alphabet])


def text_of(path: Path) -> str:
    """A text as Python's open() gives it: UTF-8, with new lines as the lecture has them."""
    if path.stat().st_size > LARGEST_TEXT:
        raise UsageError(f"{path} has {path.stat().st_size:,} bytes; for its alphabet homespun reads less.", HOW)
    try:
        text = path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise TokenizerError(
            f"{path} is no text in UTF-8, and no tokenizer that is known by its name.", HOW
        ) from error
    if not text:
        raise TokenizerError(f"{path} is empty.", HOW)
    return text


def of_llama2c(path: Path) -> Tokenizer:
    """llama2.c's tokenizer.bin: the longest piece, then of each its score, its length and its bytes.

    The pieces are SentencePiece's, with a space for its mark of one; <s> and </s> stand between new lines.
    """
    tokens: list[str] = []
    scores: list[float] = []
    size = path.stat().st_size
    with path.open("rb") as file:
        longest = int.from_bytes(file.read(4), "little")
        while file.tell() < size and len(tokens) <= LARGEST_VOCABULARY:
            head = file.read(8)
            score, length = struct.unpack("<fi", head) if len(head) == 8 else (0.0, -1)
            piece = file.read(length) if 0 <= length <= min(longest, LONGEST_PIECE) else b""
            if len(piece) != length:
                raise TokenizerError(f"{path} is damaged, or no tokenizer.bin of llama2.c.", HOW)
            tokens.append(spelled(piece, path))
            scores.append(score)
    if len(tokens) < 260 or len(tokens) > LARGEST_VOCABULARY:
        raise TokenizerError(f"{path} is damaged, or no tokenizer.bin of llama2.c: {len(tokens):,} pieces.", HOW)
    # As SentencePiece has them for Llama: unknown, beginning, end, and a piece for every byte.
    kinds = [UNKNOWN_KIND, CONTROL, CONTROL, *[BYTE] * 256, *[NORMAL] * (len(tokens) - 259)]
    return of_pieces(Pieces(tokens, kinds, scores, bos=1, eos=2, unknown=0), str(path), opens=True)


def spelled(piece: bytes, path: Path) -> str:
    try:
        token = piece.decode("utf-8")
    except UnicodeDecodeError as error:
        raise TokenizerError(f"{path} is damaged: one of its pieces is no UTF-8.", HOW) from error
    if token in ("\n<s>\n", "\n</s>\n"):
        return token.strip("\n")
    return token.replace(" ", "▁")
