"""The tokenizer of a model folder, with what the folder's configs state of its ids: bos, eos, pad.

Both configs are read: config.json, and generation_config.json, after which `transformers` writes.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from homespun.checkpoint.fields import read_json
from homespun.checkpoint.place import CONFIG, GENERATION
from homespun.errors import CheckpointError, warn
from homespun.machine.atomic import json_text
from homespun.model.families import FAMILIES
from homespun.tokenizer.chat_template import LIKE_A_MARK
from homespun.tokenizer.special_ids import SpecialIds, StatedIds

if TYPE_CHECKING:
    from homespun.model.config import ModelConfig
    from homespun.tokenizer.tokenizer import Tokenizer

ABOUT_THE_FILE = ("transformers_version",)


def load_tokenizer(folder: Path, config: ModelConfig) -> Tokenizer:
    """The tokenizer of that model folder; `stated` says which ids have a role.

    Raises TokenizerError, and CheckpointError where it has tokens that the model has no row for.
    """
    from homespun.tokenizer.open import load as load_tokenizer

    tokenizer = fitting(load_tokenizer(folder), config.vocab_size, folder)
    tokenizer.stated = stated_ids(
        read_json(folder / CONFIG), generation_config(folder), tokenizer, config.vocab_size
    )
    make_ends_special(tokenizer)
    return tokenizer


def fitting(tokenizer: Tokenizer, rows: int, place: Path) -> Tokenizer:
    """The tokenizer for a model with so many rows. Special tokens beyond them, which were added and for which the
    model was never made larger, are let go, and reported. Raises CheckpointError for any other token there.
    """
    if tokenizer.vocab_size <= rows:
        return tokenizer
    fewer = tokenizer.without_tokens_from(rows)
    if fewer is None:
        raise CheckpointError(
            f"{place}: the tokenizer has {tokenizer.vocab_size:,} tokens, the model {rows:,}.",
            "The two are not of one model: take both from where the weights come from.",
        )
    gone = [token for token in tokenizer.special_tokens if token not in fewer.special_tokens]
    shown = ", ".join(gone[:4]) + (f" and {len(gone) - 4:,} more" if len(gone) > 4 else "")
    line = f"{place}: the model has no row for {shown}, special tokens that no text contains; they are left out"
    if "chat_template" in tokenizer.settings and "chat_template" not in fewer.settings:
        line += ", and so is the chat template, which writes them"
    warn(line)
    return fewer


def make_ends_special(tokenizer: Tokenizer) -> None:
    """The tokens that end a text are special, as transformers makes the one that its settings name, whatever
    tokenizer.json says of them: otherwise a text that spells one out would end the conversation that it is in.

    Only what is written like such a token: a model may end at a new line, which stays text.
    """
    tokenizer.make_special(id for id in tokenizer.ends if LIKE_A_MARK.fullmatch(tokenizer.token(id)))


def stated_ids(
    config: dict[str, Any], generation: dict[str, Any], tokenizer: Tokenizer, vocab_size: int
) -> StatedIds:
    """What the contents of config.json and generation_config.json state, or where they do not, the tokenizer."""
    unset = letters_by_default(str(config.get("model_type")), tokenizer)
    bos = tokenizer.special_tokens.get(tokenizer.settings.get("bos_token", ""))
    end = () if tokenizer.end_of_text is None else (tokenizer.end_of_text,)
    of_model = SpecialIds.from_json(config, below=vocab_size).without(unset).completed(bos, end)
    of_writing = SpecialIds.from_json(generation, below=vocab_size).without(unset)
    return StatedIds(of_model, of_writing.completed(of_model.bos, of_model.eos))


def letters_by_default(model_type: str, tokenizer: Tokenizer) -> set[int]:
    """The ids that the config of such a model names where nobody has set them, as far as they are ordinary text
    to this tokenizer. A model that is no Llama 2 would end at a letter."""
    defaults = {
        id
        for family in FAMILIES.values()
        if family.hugging_face is not None and family.hugging_face.model_type == model_type
        for id in family.hugging_face.default_ids
    }
    return defaults - {*tokenizer.special_tokens.values(), tokenizer.end_of_text}


def generation_config(folder: Path) -> dict[str, Any]:
    """The content of generation_config.json, but for what it says of itself; nothing where it is not there, or
    damaged: no model depends on it."""
    if not (folder / GENERATION).is_file():
        return {}
    try:
        said = read_json(folder / GENERATION)
    except CheckpointError:
        return {}
    return {name: value for name, value in said.items() if name not in ABOUT_THE_FILE and not name.startswith("_")}


def generation_text(ids: SpecialIds, settings: Mapping[str, Any]) -> str:
    """The text of generation_config.json: these ids, and the settings, which are in its words."""
    every = ids.to_json()
    stated = {name: id for name, id in every.items() if id is not None}
    return json_text({**stated, **{name: value for name, value in settings.items() if name not in every}})
