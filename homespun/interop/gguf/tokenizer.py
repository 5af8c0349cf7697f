r"""The tokenizer inside a GGUF file, as the tokenizer.json that it was made from.

The file holds the tokens, the merges, the kind of each token, and the name of the way in which a text is
cut into words before merging; what that way is stands in the source of llama.cpp and in the tokenizer.json
files of these models. For a name that is not known here the ids could not be trusted, so it is refused.
"""

from __future__ import annotations

import tempfile
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from homespun.errors import MissingExtra, TokenizerError
from homespun.interop.gguf.characters import NO_MERGE, characters_of
from homespun.interop.gguf.config import FAMILY_OF
from homespun.interop.gguf.file import GGUFFile
from homespun.tokenizer.byte import ByteTokenizer, special_tokens_of
from homespun.tokenizer.byte_level import byte_characters
from homespun.tokenizer.char import CharTokenizer, alphabet_of
from homespun.tokenizer.json_file import (
    LARGEST_VOCABULARY,
    MOST_ADDED,
    TODO,
    backend_from,
    check_pieces,
    cuts_safely,
    wrong,
)
from homespun.tokenizer.special_ids import SpecialIds, StatedIds
from homespun.tokenizer.steps import BYTES, DIGITS, LLAMA_3, NFC, O200K, QWEN_2, SPACE, opening_template, words
from homespun.tokenizer.tokenizer import Tokenizer
from homespun.tokenizer.unknown import UNKNOWN

NORMAL, UNKNOWN_KIND, CONTROL, USER_DEFINED, UNUSED, BYTE = (
    1,
    2,
    3,
    4,
    5,
    6,
)  # token types, as SentencePiece has them
KINDS = range(1, 7)

# What homespun writes where the end of text is no such thing, because there is none and llama.cpp wants one.
STAND_IN = "homespun.end_of_text_is_a_stand_in"
# The same for the token that begins a text: without one llama.cpp would take token 11.
BOS_STAND_IN = "homespun.bos_is_a_stand_in"
# Of a SentencePiece model where a file does not say (llama-vocab.cpp).
USUAL_PIECES = {"bos": 1, "eos": 2, "unknown": 0}


# The name of a way to cut -> the steps in tokenizer.json, the normalizer, and whether a word that is a token
# skips the merges.
WAYS: dict[str, tuple[list[dict[str, Any]], dict[str, Any] | None, bool]] = {
    **dict.fromkeys(("gpt-2", "phi-2"), ([BYTES], None, False)),
    **dict.fromkeys(("smollm", "starcoder", "refact", "codeshell"), ([DIGITS, BYTES], None, False)),
    **dict.fromkeys(("llama-bpe", "llama3", "llama-v3"), (words(LLAMA_3), None, True)),
    **dict.fromkeys(("qwen2", "deepseek-r1-qwen"), (words(QWEN_2), NFC, False)),
    "olmo": ([BYTES], NFC, False),  # GPT-NeoX's and Pythia's
    "dbrx": (words(LLAMA_3), None, False),  # OLMo 2's
    "gpt-4o": (words(O200K), None, False),  # Phi-4-mini's
}


def tokenizer_of(file: GGUFFile) -> Tokenizer:
    """The tokenizer of a GGUF file. Raises TokenizerError, MissingExtra."""
    kind = file.settings.get("tokenizer.ggml.model")
    makers = {"gpt2": byte_level, "llama": sentencepiece}
    if kind not in makers:
        raise wrong(
            file.path,
            f"its kind is {str(kind)[:40]!r}, and homespun rebuilds gpt2 (BPE) and llama (SentencePiece)",
        )
    tokenizer = makers[kind](file)
    tokenizer.stated = stated_ids(file)
    return tokenizer


def byte_level(file: GGUFFile) -> Tokenizer:
    content = tokenizer_json(file)
    settings = named_tokens(file)
    end = settings.get("eos_token")
    kept = {name: value for name, value in settings.items() if name != "eos_token"}
    if (found := alphabet_of(content)) is not None:
        return CharTokenizer(found[0], special_tokens=found[1], end_of_text=end, settings=kept)
    if (special_tokens := special_tokens_of(content)) is not None:
        return ByteTokenizer(special_tokens=special_tokens, end_of_text=end, settings=kept)
    backend = backend_from(content, file.path)
    tokenizer = Tokenizer(backend, "file", end_of_text=end, settings=settings, may_be_cut=cuts_safely(content))
    _ = tokenizer.opening  # says now what would be wrong with it later
    return tokenizer


def tokenizer_json(file: GGUFFile) -> dict[str, Any]:
    """What stands in the tokenizer.json of this model, or would."""
    tokens, kinds = vocabulary(file)
    return {
        "version": "1.0",
        "added_tokens": added_tokens(file, tokens, kinds),
        "post_processor": opening_mark(file, tokens),
        **words_and_merges(file, tokens, kinds),
    }


def words_and_merges(file: GGUFFile, tokens: list[str], kinds: list[int]) -> dict[str, Any]:
    """The parts of tokenizer.json that make ids of a text, and a text of ids."""
    merges = merges_of(file)
    ordinary = {token: id for id, token in enumerate(tokens) if kinds[id] == NORMAL}
    characters = characters_of(list(ordinary), merges)
    if characters is not None:
        alphabet = dict(zip(characters, ordinary.values(), strict=True))
        return {"model": bpe(alphabet, [], unknown=UNKNOWN), "decoder": {"type": "Fuse"}}
    unknown = None if set(tokens) >= set(byte_characters()) else UNKNOWN
    if merges == [NO_MERGE]:
        whole = {**BYTES, "use_regex": False}
        return {"model": bpe(ordinary, [], unknown=unknown), "pre_tokenizer": whole, "decoder": BYTES}
    steps, normalizer, ignore_merges = way_of(file)
    present = {token: id for id, token in enumerate(tokens) if kinds[id] != UNUSED}
    return {
        "normalizer": normalizer,
        "pre_tokenizer": {"type": "Sequence", "pretokenizers": steps} if len(steps) > 1 else steps[0],
        "model": bpe(present, merges, unknown=unknown, ignore_merges=ignore_merges),
        "decoder": BYTES,
    }


def bpe(
    vocabulary: dict[str, int], merges: list[Any], *, unknown: str | None, ignore_merges: bool = False
) -> dict[str, Any]:
    """The model of a tokenizer.json. ignore_merges: a word that is a token skips the merges."""
    return {
        "type": "BPE",
        "vocab": vocabulary,
        "merges": merges,
        "unk_token": unknown,
        "ignore_merges": ignore_merges,
    }


def added_tokens(file: GGUFFile, tokens: list[str], kinds: list[int]) -> list[dict[str, Any]]:
    added = [id for id, kind in enumerate(kinds) if kind in (CONTROL, USER_DEFINED)]
    if len(added) > MOST_ADDED:
        raise wrong(file.path, f"it has {len(added):,} added tokens, and at most {MOST_ADDED:,} are allowed")
    takes_nothing = dict.fromkeys(("normalized", "single_word", "lstrip", "rstrip"), False)
    return [{"id": id, "content": tokens[id], "special": kinds[id] == CONTROL, **takes_nothing} for id in added]


def merges_of(file: GGUFFile) -> list[Any]:
    """The merges as `tokenizers` takes them: two tokens with a space between them."""
    merges: list[Any] = texts(file, "merges", required=False)
    for merge in merges:
        if merge.count(" ") != 1:
            raise wrong(file.path, f"one of its merges is {merge[:40]!r}, which is no pair of tokens")
    if any(merge.startswith("#version") for merge in merges):  # which it would take for a heading
        return [merge.split(" ") for merge in merges]
    return merges


def vocabulary(file: GGUFFile) -> tuple[list[str], list[int]]:
    """The tokens, and the kind of each."""
    tokens = texts(file, "tokens")
    if not 1 <= len(tokens) <= LARGEST_VOCABULARY:
        raise wrong(file.path, f"it has {len(tokens):,} tokens, and at most {LARGEST_VOCABULARY:,} are allowed")
    if len(set(tokens)) < len(tokens):
        seen: set[str] = set()
        double = next(token for token in tokens if token in seen or seen.add(token))  # type: ignore[func-returns-value]
        raise wrong(file.path, f"it has the token {double[:40]!r} twice")
    check_pieces(file.path, tokens)
    kinds = file.settings.get("tokenizer.ggml.token_type", [1] * len(tokens))
    if not isinstance(kinds, list) or len(kinds) != len(tokens) or not all(kind in KINDS for kind in kinds):
        raise wrong(file.path, "its tokenizer.ggml.token_type does not say of each token what it is")
    return tokens, kinds


def way_of(file: GGUFFile) -> tuple[list[dict[str, Any]], dict[str, Any] | None, bool]:
    """How a text is cut into words, as the file says or as all of its shape are that do not say it."""
    family = FAMILY_OF.get(str(file.settings.get("general.architecture")))
    usual = family.gguf.pretokenizer if family and family.gguf else None
    name = file.settings.get("tokenizer.ggml.pre", usual)
    if not isinstance(name, str) or name not in WAYS:
        said = "does not say" if name is None else f"says {str(name)[:40]!r} of"
        raise wrong(
            file.path,
            f"it {said} how a text is cut into words (tokenizer.ggml.pre). homespun knows: {', '.join(WAYS)}",
        )
    return WAYS[name]


def texts(file: GGUFFile, name: str, *, required: bool = True) -> list[str]:
    found = file.settings.get(f"tokenizer.ggml.{name}", None if required else [])
    if not isinstance(found, list) or not all(isinstance(text, str) for text in found):
        raise wrong(file.path, f"its tokenizer.ggml.{name} is no list of texts")
    return found


def opening_mark(file: GGUFFile, tokens: list[str]) -> dict[str, Any] | None:
    """The step that puts the model's first mark before every text, where the file asks for it."""
    first = token_with_role(file, "bos", tokens)
    return opening_template(first, tokens.index(first)) if first is not None and opens(file) else None


def opens(file: GGUFFile) -> bool:
    """Whether every text begins with the BOS token.

    If the file does not say, llama.cpp adds it for SentencePiece models and for Llama 3.
    """
    usual = file.settings.get("tokenizer.ggml.model") == "llama"
    usual = usual or file.settings.get("tokenizer.ggml.pre") in ("llama-bpe", "llama3", "llama-v3")
    return file.settings.get("tokenizer.ggml.add_bos_token", usual) is True


def token_with_role(file: GGUFFile, role: str, tokens: list[str]) -> str | None:
    id = id_with_role(file, role, len(tokens))
    return None if id is None else tokens[id]


def id_with_role(file: GGUFFile, role: str, count: int) -> int | None:
    """role: bos, eos, padding, unknown. count: of the tokens. None where there is none, or one that stands in."""
    stands_in = file.settings.get(STAND_IN) is True
    if role == "bos":  # older files do not say; what stood in for one stood in for both
        stands_in = file.settings.get(BOS_STAND_IN, stands_in) is True
    if stands_in and role in ("bos", "eos"):
        return None
    id = file.settings.get(f"tokenizer.ggml.{role}_token_id")
    if id is None:
        return usual_id(file, role, count)
    if not isinstance(id, int) or not 0 <= id < count:
        raise wrong(file.path, f"its {role} token is {str(id)[:40]}, and its ids are 0 to {count - 1:,}")
    return id


def usual_id(file: GGUFFile, role: str, count: int) -> int | None:
    """What llama.cpp takes for a SentencePiece model whose file does not say, where that is no ordinary piece."""
    id, kinds = USUAL_PIECES.get(role, count), file.settings.get("tokenizer.ggml.token_type")
    if file.settings.get("tokenizer.ggml.model") != "llama" or not isinstance(kinds, list):
        return None
    return id if id < min(count, len(kinds)) and kinds[id] in (CONTROL, UNKNOWN_KIND) else None


def stated_ids(file: GGUFFile) -> StatedIds:
    """The ids with a role. Ends are up to three: of the text, of a turn (eot), of a message to a tool (eom)."""
    count = len(texts(file, "tokens"))
    others = [file.settings.get(f"tokenizer.ggml.{role}_token_id") for role in ("eot", "eom")]
    ends = [id_with_role(file, "eos", count), *others]
    known = tuple(dict.fromkeys(id for id in ends if type(id) is int and 0 <= id < count))
    ids = SpecialIds(bos=id_with_role(file, "bos", count), eos=known)
    # A row for padding is said beside the tokenizer, as most models have it: in config.json it would tell
    # transformers to learn nothing of that row, and many models fill up with the end of text.
    return StatedIds(ids, replace(ids, pad=id_with_role(file, "padding", count)))


def named_tokens(file: GGUFFile) -> dict[str, Any]:
    """What tokenizer_config.json says besides: tokens with a role, what is put around a text, and how a
    conversation is written."""
    tokens = texts(file, "tokens")
    roles = {"bos_token": "bos", "eos_token": "eos", "pad_token": "padding", "unk_token": "unknown"}
    named = {name: token_with_role(file, role, tokens) for name, role in roles.items()}
    named["chat_template"] = file.settings.get("tokenizer.chat_template")
    said: dict[str, Any] = {name: value for name, value in named.items() if isinstance(value, str)}
    for name in ("add_bos_token", "add_eos_token"):
        if isinstance(flag := file.settings.get(f"tokenizer.ggml.{name}"), bool):
            said[name] = flag
    return said | ({"add_bos_token": True} if "bos_token" in said and opens(file) else {})


@dataclass(frozen=True)
class Pieces:
    """A SentencePiece model of byte pairs: its pieces, the kind and the score of each, and the ids with a role."""

    tokens: list[str]
    kinds: list[int]
    scores: list[float]
    bos: int | None = None
    eos: int | None = None
    unknown: int | None = None
    padding: int | None = None
    prefix: bool = True  # a space before every text
    no_extra_spaces: bool = False


def sentencepiece(file: GGUFFile) -> Tokenizer:
    """A SentencePiece model is rebuilt from its pieces and scores; what is made of it is held against that."""
    tokens, kinds = vocabulary(file)
    named = named_tokens(file)
    scores = file.settings.get("tokenizer.ggml.scores")
    if not isinstance(scores, list) or len(scores) != len(tokens):
        raise wrong(file.path, "its tokenizer.ggml.scores are not one for each token")
    ids: dict[str, int | None] = {}
    for role in ("bos", "eos", "unknown", "padding"):
        mark = token_with_role(file, role, tokens)
        ids[role] = None if mark is None else tokens.index(mark)
    unknown = ids["unknown"]
    if unknown is not None and UNKNOWN_KIND not in kinds:  # Gemma's files call it a control token, and name it
        kinds = [*kinds[:unknown], UNKNOWN_KIND, *kinds[unknown + 1 :]]
    pieces = Pieces(
        tokens,
        kinds,
        scores,
        **ids,
        prefix=file.settings.get("tokenizer.ggml.add_space_prefix", True) is not False,
        no_extra_spaces=file.settings.get("tokenizer.ggml.remove_extra_whitespaces") is True,
    )
    tokenizer = of_pieces(pieces, str(file.path), opens=opens(file))
    tokenizer.settings.update({name: value for name, value in named.items() if name != "eos_token"})
    return tokenizer


def of_pieces(pieces: Pieces, source: str, *, opens: bool) -> Tokenizer:
    """The tokenizer of these pieces, held against SentencePiece's own.

    source: the file that they are from, for messages. opens: whether every text begins with bos.
    Raises TokenizerError, MissingExtra.
    """
    from homespun.tokenizer.sentencepiece import load_sentencepiece

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "tokenizer.model"
        path.write_bytes(sentencepiece_model(pieces))
        try:
            return load_sentencepiece(path, opens=opens)
        except TokenizerError as error:
            raise TokenizerError(error.what.replace(str(path), source), TODO) from error


def sentencepiece_model(pieces: Pieces) -> bytes:
    """The content of the `.model` file with these pieces."""
    try:
        from sentencepiece import sentencepiece_model_pb2
    except ImportError as error:
        raise MissingExtra("The tokenizer of this model", "sentencepiece") from error
    proto: Any = sentencepiece_model_pb2.ModelProto()  # type: ignore[attr-defined]
    for token, kind, score in zip(pieces.tokens, pieces.kinds, pieces.scores, strict=True):
        # What a user defined is found in the text as it is there, and other pieces in the text as it is changed.
        piece = token.replace(" ", SPACE) if kind == USER_DEFINED else token
        proto.pieces.add(piece=piece, type=kind, score=float(score))
    spec = proto.trainer_spec
    spec.model_type = spec.BPE
    spec.byte_fallback = BYTE in pieces.kinds
    ids = {"bos_id": pieces.bos, "eos_id": pieces.eos, "unk_id": pieces.unknown, "pad_id": pieces.padding}
    for name, id in ids.items():
        setattr(spec, name, -1 if id is None else id)
        if id is not None:  # SentencePiece finds them by their pieces
            setattr(spec, f"{name.removesuffix('_id')}_piece", pieces.tokens[id])
    rules = proto.normalizer_spec
    rules.name = "identity"
    rules.add_dummy_prefix = pieces.prefix
    rules.remove_extra_whitespaces = pieces.no_extra_spaces
    rules.escape_whitespaces = True
    return bytes(proto.SerializeToString())
