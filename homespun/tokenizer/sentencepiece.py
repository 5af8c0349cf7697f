"""Convert a SentencePiece `.model` to a tokenizer.json, and accept it only if both give the same ids.

SentencePiece (Kudo and Richardson 2018, arXiv:1808.06226) treats a text as one string in which `▁` stands for a
space, and splits it either into the most likely pieces (unigram) or by merging pairs (bpe). `tokenizers` has both
models. The differences are around them: how spaces are normalised, which pieces may come from text, and the order
of the merges, which the `.model` does not contain and which follows from its scores.

Known differences: half-width katakana with a voice mark (ｶﾞ) if the model applies NFKC; and the order of the
pieces of a run (`000`) if two orders are equally likely in a unigram model.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from tokenizers import Regex, decoders, models, normalizers, pre_tokenizers
from tokenizers import Tokenizer as Backend

from homespun.errors import MissingExtra
from homespun.tokenizer.json_file import LARGEST_FILE, LARGEST_VOCABULARY, check_pieces, wrong
from homespun.tokenizer.steps import OUTER_SPACES, SPACE, SPACES, WORDS, opening_template
from homespun.tokenizer.tokenizer import Tokenizer, special

LONGEST_ADDITION = 1000  # bytes that a normalisation table may substitute for a character
MOST_SPLITS = 5 * 10**7  # sum of the squared lengths of all pieces; Gemma's have half as much
UNIGRAM, BPE = 1, 2  # model types, as numbered in the file
KINDS = ("NORMAL", "UNKNOWN", "CONTROL", "USER_DEFINED", "UNUSED", "BYTE")  # of pieces: 1, 2, … in the file

# Texts for the comparison. Each line tests something that conversions often get wrong.
TRIALS = (
    "Hello, world!",
    "  two  spaces   everywhere  ",
    "a\nb\n\nc\ttab\r\n",
    "1234567890 3.14 1,000",
    "naïve café Größe ﬁ ①②",
    "漢字かな交じり文 한국어 русский עברית العربية हिन्दी",
    "😀👍🏽👩‍👩‍👧 🇩🇪",
    "def f(x):\n    return x**2  # code\n",
    "<s> </s> <unk> <pad> <0x41> <|endoftext|>",
    "aaaaaaaaaaaaaaaa abababababab",
    "don't we'll I'm",
    "▁ literal ▁▁ marks▁",
    " ",
    "x",
)


class Piece(NamedTuple):
    piece: str
    score: float
    kind: str  # one of KINDS


class Model:
    """The content of a model file. A quarter of a million pieces are taken out of the message once: each access to
    one of them there takes longer than what is done with it."""

    def __init__(self, proto: Any) -> None:
        self.trainer_spec = proto.trainer_spec
        self.normalizer_spec = proto.normalizer_spec
        self.pieces = [Piece(piece.piece, piece.score, KINDS[piece.type - 1]) for piece in proto.pieces]
        self.of_kind: dict[str, list[Piece]] = {kind: [] for kind in KINDS}
        for piece in self.pieces:
            self.of_kind[piece.kind].append(piece)

    def names(self, kind: str) -> list[str]:
        return [piece.piece for piece in self.of_kind[kind]]


def load_sentencepiece(path: Path, *, named: Mapping[str, str] | None = None, opens: bool = False) -> Tokenizer:
    """Return the tokenizer of a SentencePiece model file.

    named: tokens with a role (bos_token, eos_token, …), if others are meant than the file itself says.
    opens: bos_token stands before every text, which the file does not say. Raises TokenizerError, MissingExtra.
    """
    model, processor = _read(path)
    backend = _converted(model, processor, path)
    _compare(backend, processor, model.names("USER_DEFINED"), path)
    roles = {
        "bos_token": processor.bos_id(),
        "eos_token": processor.eos_id(),
        "unk_token": processor.unk_id(),
        "pad_token": processor.pad_id(),
    }
    reserved = model.names("UNKNOWN") + model.names("CONTROL")
    settings = {role: model.pieces[id].piece for role, id in roles.items() if id >= 0}
    settings |= {role: token for role, token in (named or {}).items() if token in reserved}
    end, first = settings.pop("eos_token", None), settings.get("bos_token", "")
    if opens and first in reserved:
        id = [piece.piece for piece in model.pieces].index(first)
        small = Backend(models.BPE())  # which is made anew from its JSON in no time
        content = {**json.loads(small.to_str()), "post_processor": opening_template(first, id)}
        backend.post_processor = Backend.from_str(json.dumps(content)).post_processor
    return Tokenizer(backend, "sentencepiece", end_of_text=end, settings=settings)


def _read(path: Path) -> tuple[Model, Any]:
    """Return (the model's content, SentencePiece's own tokenizer for it)."""
    try:
        from google.protobuf.message import DecodeError
        from sentencepiece import SentencePieceProcessor, sentencepiece_model_pb2
    except ImportError as error:
        raise MissingExtra("A SentencePiece model", "sentencepiece") from error
    if path.stat().st_size > LARGEST_FILE:
        raise wrong(path, f"it has {path.stat().st_size / 1e6:,.0f} MB")
    content = path.read_bytes()
    proto: Any = sentencepiece_model_pb2.ModelProto()  # type: ignore[attr-defined]
    try:
        proto.ParseFromString(content)
        processor = SentencePieceProcessor(model_proto=content)
    except (DecodeError, RuntimeError, ValueError) as error:  # ValueError: not UTF-8
        raise wrong(path, f"it is no SentencePiece model ({error})") from error
    if not proto.pieces:
        raise wrong(path, "it is no SentencePiece model (it has no pieces)")
    if len(proto.pieces) > LARGEST_VOCABULARY:
        raise wrong(path, f"it has {len(proto.pieces):,} pieces, and at most {LARGEST_VOCABULARY:,} are allowed")
    model = Model(proto)
    check_pieces(path, [piece.piece for piece in model.pieces])
    return model, processor


def _converted(model: Model, processor: Any, path: Path) -> Backend:
    kinds = {UNIGRAM: _unigram, BPE: _bpe}
    if sum(len(piece.piece) ** 2 for piece in model.pieces) > MOST_SPLITS:
        raise wrong(path, "its pieces are longer than those of any tokenizer in use")
    if model.trainer_spec.model_type not in kinds:
        raise wrong(path, "it cuts text into whole words or characters; only unigram and bpe models can be used")
    if model.trainer_spec.treat_whitespace_as_suffix or not model.normalizer_spec.escape_whitespaces:
        raise wrong(path, "it writes spaces in a way that tokenizer.json cannot express")
    charsmap = model.normalizer_spec.precompiled_charsmap
    if charsmap and (problem := table_problem(charsmap)):
        raise wrong(path, f"its normalizer {problem}")
    try:
        backend = Backend(kinds[model.trainer_spec.model_type](model))
        backend.normalizer = normalizers.Sequence(list(_normalizers(model.normalizer_spec, processor)))
    except Exception as error:  # the library raises no narrower class
        raise wrong(path, f"the tokenizers library does not accept it ({error})") from error
    backend.pre_tokenizer = pre_tokenizers.Sequence(list(_pre_tokenizers(model)))
    backend.decoder = decoders.Sequence(list(_decoders(model)))
    reserved = model.names("UNKNOWN") + model.names("CONTROL")
    backend.add_special_tokens([special(name) for name in reserved])
    return backend


def table_problem(table: bytes) -> str:
    """Return what is wrong with a precompiled normalisation table, or "".

    It is four bytes with the length of a trie, the trie, and texts that each end with a zero byte. The library
    allocates memory for that length without checking the data that follows.
    """
    size = int.from_bytes(table[:4], "little")
    if not 0 < size <= len(table) - 4:
        return f"says that its table has {size:,} bytes, and {len(table):,} are there"
    longest = max(map(len, table[4 + size :].split(b"\0")))
    return f"puts {longest:,} bytes into the text" if longest > LONGEST_ADDITION else ""


def _unigram(model: Model) -> models.Unigram:
    """Return the pieces with their scores. Pieces that may not come from text get a score that never wins.

    That score is below the sum of the scores of the single characters of any such piece's name, and no lower than
    needed, because the library derives the cost of an unknown character from the lowest score.
    """
    normal = [piece.score for piece in model.of_kind["NORMAL"]] or [0.0]
    longest = max(len(piece.piece) for piece in model.pieces)
    never = min(normal) * (longest + 1)

    def score(piece: Piece) -> float:
        if piece.kind == "USER_DEFINED":
            return len(piece.piece.encode()) * max(normal) - 0.1  # as in SentencePiece itself
        return float(piece.score if piece.kind == "NORMAL" else never)

    # Scores in the file are 32-bit floats. Nine digits represent them exactly, also after writing and reading.
    scores = [(piece.piece, float(f"{score(piece):.9g}")) for piece in model.pieces]
    unknown = next(id for id, piece in enumerate(model.pieces) if piece.kind == "UNKNOWN")
    return models.Unigram(scores, unknown, model.trainer_spec.byte_fallback)


def _bpe(model: Model) -> models.BPE:
    """Return the merges: every division of a piece into two other pieces, ordered by score, best first."""
    score = {piece.piece: piece.score for piece in model.of_kind["NORMAL"]}
    merges = []
    for whole in sorted(score, key=lambda piece: -score[piece]):
        for middle in range(1, len(whole)):
            if whole[:middle] in score and whole[middle:] in score:
                merges.append((whole[:middle], whole[middle:]))
    return models.BPE(
        vocab={piece.piece: id for id, piece in enumerate(model.pieces)},
        merges=merges,
        unk_token=next(piece.piece for piece in model.of_kind["UNKNOWN"]),
        fuse_unk=True,
        byte_fallback=model.trainer_spec.byte_fallback,
        ignore_merges=bool(model.names("USER_DEFINED")),  # see _pre_tokenizers
    )


def _normalizers(spec: Any, processor: Any) -> Iterator[normalizers.Normalizer]:
    if spec.precompiled_charsmap:
        if processor.normalize("\r\n") == processor.normalize("\n\n"):
            yield normalizers.Replace("\r\n", "\n\n")  # Precompiled would treat the pair as one character
        yield normalizers.Precompiled(spec.precompiled_charsmap)
    if spec.remove_extra_whitespaces:
        yield normalizers.Replace(Regex(OUTER_SPACES), "")
        yield normalizers.Replace(Regex(SPACES), " ")
    if spec.add_dummy_prefix:
        yield normalizers.Prepend(SPACE)
    yield normalizers.Replace(" ", SPACE)


def _decoders(model: Model) -> Iterator[decoders.Decoder]:
    yield decoders.Replace(SPACE, " ")
    if model.trainer_spec.byte_fallback:
        yield decoders.ByteFallback()
    yield decoders.Fuse()
    if model.normalizer_spec.add_dummy_prefix:
        yield decoders.Strip(" ", 1, 0)


def _pre_tokenizers(model: Model) -> Iterator[pre_tokenizers.PreTokenizer]:
    """Yield splits at places that no piece of SentencePiece crosses, so that splitting there changes no ids."""
    user_defined, normal = model.names("USER_DEFINED"), model.names("NORMAL")
    reserved = "".join(model.names("CONTROL") + model.names("UNKNOWN") + model.names("BYTE"))
    known = {name for name in normal if len(name) == 1}
    cuts, elsewhere = [], ""
    if user_defined:
        # No merges produce these. Split off, they are whole words, which may skip the merges (ignore_merges).
        symbols = "|".join(_escaped(name) for name in sorted(user_defined, key=len, reverse=True))
        cuts, elsewhere = [symbols], f"(?!{symbols})"
    if set(reserved) - known and all(known.issuperset(name) for name in normal):
        # A reserved name with an unknown character in it could win over that character: split these off.
        cuts.append(f"(?:{elsewhere}[^{_escaped(''.join(sorted(known)))}])+")
    if cuts:
        yield pre_tokenizers.Split(Regex("|".join(cuts)), "isolated")
    if SPACE in known and not any(SPACE in name.lstrip(SPACE) for name in normal + user_defined):
        yield pre_tokenizers.Split(Regex(WORDS), "isolated")


def _escaped(text: str) -> str:
    r"""Return each character as the code-point escape of the regular expressions in `tokenizers`: `\x{61}`."""
    return "".join(f"\\x{{{ord(character):x}}}" for character in text)


def _compare(backend: Backend, processor: Any, user_defined: list[str], path: Path) -> None:
    """Raise TokenizerError for the first text whose pieces differ from SentencePiece's own.

    Their order may differ: for `000`, 0, 00 is as likely as 00, 0, and the rounding of 32-bit sums decides.
    """
    backend.encode_special_tokens = True
    own_pieces = tuple(f"a {piece} b{piece}c" for piece in user_defined[:100])
    for text in TRIALS + own_pieces:
        ours, theirs = backend.encode(text, add_special_tokens=False).ids, processor.encode(text)
        if sorted(ours) != sorted(theirs):
            raise wrong(
                path,
                f"a tokenizer.json made from it is not the same: of {text!r} SentencePiece makes {theirs}, "
                f"and that {ours}",
            )
