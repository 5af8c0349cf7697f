"""The common part of all tokenizers. Char and byte override encoding and decoding with faster methods.

Three rules hold for every kind:

* Text never produces a special token. `<|endoftext|>` typed by a user is thirteen
  ordinary characters; only homespun puts its id between documents.
* No text is dropped silently. A character without an id raises `UnknownCharacter`,
  unless the tokenizer comes from elsewhere and has an unknown token.
* `transformers` gives the same ids and the same text for the folder that `save` writes.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
from tokenizers import AddedToken, decoders, models
from tokenizers import Tokenizer as Backend

from homespun.errors import TokenizerError, WriteFailed
from homespun.tokenizer.byte_level import readable, token_bytes
from homespun.tokenizer.failure import damaged, failures_explained, is_the_librarys
from homespun.tokenizer.special_ids import StatedIds, ids_of_new_model
from homespun.tokenizer.stream import ByteStream, PieceStream, TokenStream, WindowStream, decoder_steps
from homespun.tokenizer.unknown import lone_surrogate, unknown_character
from homespun.tokenizer.words import WordTable, cut

if TYPE_CHECKING:
    from numpy.typing import NDArray

END_OF_TEXT = "<|endoftext|>"

# The number of characters encoded at a time: the library's result takes about 150 bytes per token, an id 2 or 4.
BATCH_CHARACTERS = 2**22
BLOCK_CHARACTERS = 2**18

MOST_OPENING = 100  # ids before a text; tokenizers in use have one or two

T = TypeVar("T", bound="Tokenizer")


class Tokenizer:
    """Text to ids and back.

    kind: "char", "byte", "bpe", "gpt2", "sentencepiece" or "file" (a tokenizer.json from elsewhere).
    vocab_size: ids are 0 .. vocab_size - 1.
    end_of_text: the id that separates documents, or None if there is none.
    settings: the other content of tokenizer_config.json; kept from a user's own file (a chat template, say).
    stated: the ids with a role that the model's files state; None if there is no model yet.
    may_be_cut: cutting a text between WORDS changes no id (see words.py).
    """

    def __init__(
        self,
        backend: Backend,
        kind: str,
        *,
        end_of_text: str | None = None,
        settings: Mapping[str, Any] | None = None,
        may_be_cut: bool = False,
    ) -> None:
        backend.encode_special_tokens = True  # the first rule above
        backend.no_truncation()
        backend.no_padding()
        self.kind = kind
        self.settings = dict(settings or {})
        self.stated: StatedIds | None = None
        self.end_of_text_token = end_of_text
        self.end_of_text: int | None = backend.token_to_id(end_of_text) if end_of_text else None
        self.vocab_size = max(backend.get_vocab(with_added_tokens=True).values(), default=-1) + 1
        self._backend = backend
        self._may_be_cut = may_be_cut
        self._words = (
            WordTable(self._encode_together, lambda: self._byte_sizes, self.dtype) if may_be_cut else None
        )

    def __repr__(self) -> str:
        return f"<{self.kind} tokenizer, {self.vocab_size:,} ids>"

    @property
    def dtype(self) -> np.dtype:
        """The smaller of uint16 and uint32 that holds every id."""
        return np.dtype(np.uint16 if self.vocab_size <= 2**16 else np.uint32)

    @cached_property
    def special_tokens(self) -> dict[str, int]:
        """Tokens that never come from text, such as `<|endoftext|>` and the separators of a chat: token -> id."""
        added = self._backend.get_added_tokens_decoder()
        return {token.content: id for id, token in sorted(added.items()) if token.special}

    @property
    def ordinary_added_tokens(self) -> dict[str, int]:
        """Tokens that stand beside the model's vocabulary and are text all the same: token -> id."""
        return {one.content: id for id, one in self._backend.get_added_tokens_decoder().items() if not one.special}

    @property
    def special_ids(self) -> StatedIds:
        """What a model folder is to state of the ids with a role."""
        return ids_of_new_model(self.end_of_text) if self.stated is None else self.stated

    @property
    def ends(self) -> tuple[int, ...]:
        """The ids that end a text that a model writes: end_of_text, then the others that the model names."""
        own = () if self.end_of_text is None else (self.end_of_text,)
        named = self.stated.ends if self.stated else ()
        return tuple(id for id in dict.fromkeys((*own, *named)) if id < self.vocab_size)

    @cached_property
    def opening(self) -> list[int]:
        """Ids that a tokenizer from elsewhere puts before every text (Llama's `<s>`).

        homespun's tokenizers have none.

        Raises TokenizerError if they are not ids of the vocabulary.
        """
        if self._backend.post_processor is None:
            return []
        special_ids = set(self.special_tokens.values())
        ordinary = next((id for id in range(self.vocab_size) if id not in special_ids), 0)
        with failures_explained(damaged("say what it puts before a text")):
            encoding = self._backend.encode(self.decode([ordinary]), add_special_tokens=True)
        opening = []
        for id, is_special in zip(encoding.ids, encoding.special_tokens_mask, strict=True):
            if not is_special:
                break
            opening.append(id)
        if len(opening) > MOST_OPENING:
            raise damaged("say what it puts before a text")(ValueError(f"it puts {len(opening):,} ids there"))
        self._checked(opening)
        return opening

    def for_a_new_model(self, *, documents: int) -> Tokenizer:
        """Return a copy of the tokenizer for a model that is yet to be trained.

        Such a model never sees the tokens that another model expects around a text, so they are removed. If there
        are several documents, it needs an end-of-text token: `<|endoftext|>` is added if there is none.
        """
        with failures_explained(damaged("be copied")):
            backend = Backend.from_str(self._backend.to_str())
        backend.post_processor = None
        end_of_text = self.end_of_text_token
        if documents > 1 and end_of_text is None:
            backend.add_special_tokens([special(END_OF_TEXT)])
            end_of_text = END_OF_TEXT
        marks = ("add_bos_token", "add_eos_token")
        return Tokenizer(
            backend,
            self.kind,
            end_of_text=end_of_text,
            settings={name: value for name, value in self.settings.items() if name not in marks},
            may_be_cut=self._may_be_cut,
        )

    def with_special_tokens(
        self, tokens: Iterable[str], *, end_of_text: str | None, settings: Mapping[str, Any] | None = None
    ) -> Tokenizer:
        """Return a copy with more special tokens after the last id; existing ones keep their ids.

        end_of_text: one of its tokens, or None. settings: replace its own.
        """
        with failures_explained(damaged("be copied")):
            backend = Backend.from_str(self._backend.to_str())
            backend.add_special_tokens([special(token) for token in tokens])
        grown = Tokenizer(
            backend,
            self.kind,
            end_of_text=end_of_text,
            settings=self.settings if settings is None else settings,
            may_be_cut=self._may_be_cut,
        )
        return self._passed_on(grown)

    def without_tokens_from(self, rows: int) -> Tokenizer | None:
        """Return a copy without the special tokens whose ids are `rows` and more; None if other tokens are there.

        No text brings such a token in, so that a model without a row for it never misses it. What the settings
        say of it goes with it: its role, and a chat template that writes it.
        """
        beyond = {token: id for token, id in self.special_tokens.items() if id >= rows}
        if self.vocab_size - len(beyond) > rows or any(id >= rows for id in self.opening):
            return None
        writes = str(self.settings.get("chat_template", ""))
        settings = {
            name: value
            for name, value in self.settings.items()
            if value not in beyond and not (name == "chat_template" and any(token in writes for token in beyond))
        }
        end_of_text = None if self.end_of_text_token in beyond else self.end_of_text_token
        fewer = self._with_fewer(rows, end_of_text, settings)
        fewer.stated = self.stated
        return fewer

    def _with_fewer(self, rows: int, end_of_text: str | None, settings: Mapping[str, Any]) -> Tokenizer:
        content = json.loads(self._backend.to_str())
        content["added_tokens"] = [token for token in content["added_tokens"] if token["id"] < rows]
        if isinstance(content["model"]["vocab"], dict):  # a special token may stand there as well
            vocabulary = content["model"]["vocab"]
            content["model"]["vocab"] = {token: id for token, id in vocabulary.items() if id < rows}
        with failures_explained(damaged("be copied")):
            backend = Backend.from_str(json.dumps(content))
        return Tokenizer(
            backend, self.kind, end_of_text=end_of_text, settings=settings, may_be_cut=self._may_be_cut
        )

    def make_special(self, ids: Iterable[int]) -> None:
        """Make these tokens special, before anything is encoded: no text produces them any more."""
        tokens = [self._backend.id_to_token(id) for id in ids if id not in self.special_tokens.values()]
        if tokens:
            self._backend.add_special_tokens([special(token) for token in tokens if token])
            self.__dict__.pop("special_tokens", None)

    def _passed_on(self, grown: T) -> T:
        """grown, a tokenizer with the ids of this one and more, with what is stated of these."""
        grown.stated = self.stated and self.stated.ending_with(grown.end_of_text)
        return grown

    @cached_property
    def key(self) -> str:
        """A hash of everything that determines the ids of a text; equal before `save` and after `load`."""
        content = json.loads(self._backend.to_str())
        decisive = {part: content[part] for part in ("model", "normalizer", "pre_tokenizer", "added_tokens")}
        decisive["end_of_text"] = self.end_of_text
        if content["model"]["type"] == "Unigram":  # writing a score may change its last digit
            decisive["model"]["vocab"] = [[token, f"{score:.9g}"] for token, score in content["model"]["vocab"]]
        canonical = json.dumps(decisive, sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(canonical.encode()).hexdigest()

    # text -> ids

    def encode(self, text: str) -> list[int]:
        """Return the ids of a text. Raises UnknownCharacter, TokenizerError."""
        ids: list[int] = self.encode_array(text).tolist()
        return ids

    def encode_array(self, text: str) -> NDArray[Any]:
        """Return the ids as a 1-D array of `dtype`. Raises UnknownCharacter, TokenizerError."""
        return self.encode_batch([text])[0]

    def encode_batch(self, texts: Sequence[str]) -> list[NDArray[Any]]:
        """Return an array for each text. Encoding is parallel where possible, and uses bounded memory."""
        if self._words is not None:
            words = self._words
            return [self._by_words(text, words) for text in texts]
        return [ids for batch in _batches(texts) for ids in self._encode_together(batch)]

    def _by_words(self, text: str, words: WordTable) -> NDArray[Any]:
        try:
            return _joined([words.encode(block) for block in cut(text, BLOCK_CHARACTERS)])
        except UnicodeEncodeError as error:
            raise self._explain([text], error) from error

    def _encode_together(self, texts: list[str]) -> list[NDArray[Any]]:
        with failures_explained(lambda error: self._explain(texts, error)):
            encodings = self._backend.encode_batch_fast(texts, add_special_tokens=False)
        return [np.array(encoding.ids, dtype=self.dtype) for encoding in encodings]

    @cached_property
    def _byte_sizes(self) -> NDArray[Any] | None:
        """The number of bytes of each id; None if the tokens of a text may differ from its bytes."""
        model = self._backend.model
        if not isinstance(model, models.BPE) or model.unk_token or model.dropout:
            return None
        if model.continuing_subword_prefix or model.end_of_word_suffix:
            return None
        tokens = (self._backend.id_to_token(id) or "" for id in range(self.vocab_size))
        return np.array([len(token_bytes(token)) for token in tokens], dtype=np.int64)

    def _explain(self, texts: list[str], error: BaseException) -> TokenizerError:
        for text in texts:
            unknown = {character for character in set(text) if not self._knows(character)}
            if unknown:
                return unknown_character(text, unknown, known=None)
        return damaged("encode the text")(error)

    def _knows(self, character: str) -> bool:
        """Return whether the library has an id for the character; its other failures have other causes."""
        if lone_surrogate(character):
            return False
        try:
            self._backend.encode_batch_fast([character], add_special_tokens=False)
        except BaseException as error:
            if not is_the_librarys(error):
                raise
            return "unk" not in str(error).lower()  # in the library's message for every kind of model
        return True

    # ids -> text

    def decode(self, ids: Iterable[int]) -> str:
        """Return the text of ids; bytes that are no character become U+FFFD. Raises TokenizerError."""
        checked = self._checked(ids).tolist()
        with failures_explained(damaged("decode these ids")):
            return self._backend.decode(checked, skip_special_tokens=False)

    def token(self, id: int) -> str:
        r"""Return one id in readable form: `' boy'`, `'\n'`, and `'\xc3'` for an incomplete character."""
        self._checked([id])
        token = self._backend.id_to_token(id) or ""
        if isinstance(self._backend.decoder, decoders.ByteLevel):
            return readable(token_bytes(token))
        return readable(token.replace("▁", " ").encode("utf-8", "surrogatepass"))

    def stream(self) -> TokenStream:
        """Return a new TokenStream: push ids one at a time, get text in whole characters."""
        if isinstance(self._backend.decoder, decoders.ByteLevel):
            return ByteStream(lambda id: token_bytes(self._token(id)))
        steps = decoder_steps(self._backend.decoder)
        if steps is not None:
            return PieceStream(self._token, **steps)
        return WindowStream(self.decode)

    def _token(self, id: int) -> str:
        if not 0 <= id < self.vocab_size:
            raise _no_such_id(id, self.vocab_size)
        return self._backend.id_to_token(id) or ""

    def _checked(self, ids: Iterable[int]) -> NDArray[Any]:
        array = np.asarray(ids if hasattr(ids, "__len__") else list(ids)).reshape(-1)
        if array.dtype.kind not in "ui":
            array = array.astype(np.int64)
        if array.size and not (array.min() >= 0 and array.max() < self.vocab_size):
            wrong = array[(array < 0) | (array >= self.vocab_size)]
            raise _no_such_id(int(wrong[0]), self.vocab_size)
        return array

    # the folder

    def files(self) -> dict[str, str]:
        """Return the files that `save` writes: file name -> content."""
        config: dict[str, Any] = {
            "tokenizer_class": "PreTrainedTokenizerFast",  # otherwise transformers would build a different class
            "clean_up_tokenization_spaces": False,
            "split_special_tokens": True,
            "homespun_kind": self.kind,
        }
        if self.end_of_text_token:
            config["eos_token"] = self.end_of_text_token
        if "chat_template" in self.settings:
            # transformers renders a conversation to text and encodes that, so it must parse the separators in it.
            config["split_special_tokens"] = False
        return {
            "tokenizer.json": self._backend.to_str(pretty=True),
            "tokenizer_config.json": json.dumps({**self.settings, **config}, indent=2, sort_keys=True) + "\n",
        }

    def save(self, folder: Path | str) -> None:
        """Write tokenizer.json and tokenizer_config.json. Each is complete or absent. Raises WriteFailed."""
        folder = Path(folder)
        try:
            folder.mkdir(parents=True, exist_ok=True)
            for name, content in self.files().items():
                beside = folder / f".{name}.{os.getpid()}.part"
                try:
                    with beside.open("w", encoding="utf-8", newline="") as file:
                        file.write(content)
                        file.flush()
                        os.fsync(file.fileno())
                    beside.replace(folder / name)
                finally:
                    beside.unlink(missing_ok=True)
        except OSError as error:
            raise WriteFailed(
                f"The tokenizer could not be written to {folder}: {error.strerror or error}.",
                "Free some space, or choose another folder.",
            ) from error


def special(token: str) -> AddedToken:
    """Return a special token that strips no spaces around it and is not normalised."""
    return AddedToken(token, special=True, normalized=False)


def _joined(blocks: list[NDArray[Any]]) -> NDArray[Any]:
    return blocks[0] if len(blocks) == 1 else np.concatenate(blocks)


def _batches(texts: Sequence[str]) -> Iterator[list[str]]:
    batch: list[str] = []
    characters = 0
    for text in texts:
        if batch and characters + len(text) > BATCH_CHARACTERS:
            yield batch
            batch, characters = [], 0
        batch.append(text)
        characters += len(text)
    if batch:
        yield batch


def _no_such_id(id: int, vocab_size: int) -> TokenizerError:
    return TokenizerError(
        f"There is no token {id}: this tokenizer's ids are 0 to {vocab_size - 1}.",
        "The ids come from another tokenizer, or the model has more ids than its tokenizer.",
    )
