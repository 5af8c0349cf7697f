"""A model that is ready: its engine, its tokenizer, its chat template, and what clients may know of it."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from homespun import __version__
from homespun.errors import CheckpointError, HomespunError
from homespun.fetch.cache import sha256_of
from homespun.generation.settings import Sampling

if TYPE_CHECKING:
    from homespun.generation.engine import Engine
    from homespun.tokenizer.chat_template import ChatTokenizer
    from homespun.tokenizer.tokenizer import Tokenizer

TEMPERATURE = 0.8  # where the model's folder states none: that of Sampling, which suits small models


@dataclass(eq=False)
class Served:
    """
    id           what clients call it
    adapter      the engine's adapter that it is computed with; None is the model itself
    defaults     temperature, top_p, top_k, min_p, repetition_penalty where a request states none
    fingerprint  of the weights and of homespun's version: texts of one seed are the same where it is the same
    without_chat why it has no chat endpoint; None where it has one
    """

    id: str
    engine: Engine
    tokenizer: Tokenizer
    chat: ChatTokenizer | None
    folder: Path
    fingerprint: str
    adapter: str | None = None
    defaults: Mapping[str, Any] = field(default_factory=dict)
    without_chat: str | None = None

    @property
    def context_length(self) -> int:
        return self.engine.model.config.context_length

    @property
    def vocab_size(self) -> int:
        """Of the tokenizer: the ids that have a name."""
        return min(self.tokenizer.vocab_size, self.engine.model.config.vocab_size)

    @cached_property
    def token_bytes(self) -> list[bytes]:
        """What each id stands for in the middle of a text, in UTF-8; it may be a part of a character."""
        from homespun.generation.constraint import token_bytes_of

        return token_bytes_of(self.tokenizer)

    def describe(self) -> dict[str, Any]:
        """What an entry of /v1/models says of it beyond OpenAI's fields."""
        return {
            "loaded": True,
            "context_length": self.context_length,
            "parameters": self.engine.model.number_of_parameters(),
            "vocab_size": self.vocab_size,
            "tokenizer": self.tokenizer.kind,
            "chat": self.chat is not None,
            "adapter": self.adapter,
            "weights": self.engine.weights,
            "default_sampling": {"temperature": TEMPERATURE, **self.defaults},
            "embeddings": "mean of the last hidden states, normalised; the model was not trained for them",
        }


def serve(place: str | Path, id: str, *, options: Mapping[str, Any], adapters: Mapping[str, Path]) -> list[Served]:
    """The model with its adapters, each under its name. Takes seconds, or minutes.

    options: of Engine, and "device" and "weights", which may be "auto". Raises CheckpointError and its kin.
    """
    from homespun.generation.decoding import worthwhile_weights
    from homespun.generation.engine import Engine
    from homespun.interop.open import open_model
    from homespun.machine.device import choose_device

    settings = dict(options)
    device, weights = settings.pop("device", "auto"), settings.pop("weights", "auto")
    model, tokenizer, folder = open_model(place, device=str(choose_device(device)))
    print_of_base = fingerprint_of(folder)
    opened = {name: changes_of(path, folder, model, tokenizer, print_of_base) for name, path in adapters.items()}
    weights = worthwhile_weights(model) if weights == "auto" else weights
    engine = Engine(
        model, weights=weights, adapters={name: changes for name, (changes, _) in opened.items()}, **settings
    )
    engine.update_runner()  # a kernel that has to be compiled is compiled now, and not at the first request
    defaults = defaults_of(folder)
    views: list[tuple[str, str | None, Tokenizer, Path]] = [(id, None, tokenizer, folder)]
    views += [(name, name, own, adapters[name]) for name, (_, own) in opened.items()]
    made = [
        Served(
            id=name,
            engine=engine,
            tokenizer=own,
            folder=where,
            adapter=adapter,
            defaults=defaults,
            fingerprint=short_hash(print_of_base, weights, adapter and fingerprint_of_file(where), __version__),
            **chat_of(own, where),
        )
        for name, adapter, own, where in views
    ]
    for served in made:
        served.token_bytes  # noqa: B018  it takes a moment, which no request shall wait for
    return made


def fingerprint_of(place: Path) -> str:
    """Of the weights that were opened: a model's, or those of an adapter and its base."""
    from homespun.checkpoint.adapter import is_adapter, read_adapter_config
    from homespun.checkpoint.place import model_folder
    from homespun.interop.adapter import base_of, fingerprint

    if place.is_file():
        return fingerprint(place)
    if is_adapter(place):
        return fingerprint(base_of(place, read_adapter_config(place))) + fingerprint_of_file(place)
    return fingerprint(model_folder(place))


def chat_of(tokenizer: Tokenizer, folder: Path) -> dict[str, Any]:
    """The chat template, or why there is none that can be used."""
    from homespun.tokenizer.chat_template import chat_tokenizer

    try:
        chat = chat_tokenizer(tokenizer)
        if chat is not None:
            chat.ends  # noqa: B018  it renders a conversation, and so tells whether the template works
    except HomespunError as error:
        return {"chat": None, "without_chat": str(error).replace("\n", " ")}
    if chat is None:
        return {
            "chat": None,
            "without_chat": "This model completes text: send the text to POST /v1/completions. "
            f"To teach it to answer: homespun finetune {folder.name} CONVERSATIONS.jsonl",
        }
    return {"chat": chat}


def changes_of(
    path: Path, base: Path, model: Any, tokenizer: Tokenizer, print_of_base: str
) -> tuple[dict[str, Any], Tokenizer]:
    """An adapter's low-rank changes, and its tokenizer. CheckpointError where it belongs to another model."""
    from homespun.checkpoint.adapter import is_adapter, read_adapter_config, read_changes
    from homespun.checkpoint.special_ids import fitting
    from homespun.generation.adapters import LowRank
    from homespun.interop.adapter import tokenizer_of_adapter
    from homespun.model.gpt import GPT

    if not is_adapter(path):
        raise CheckpointError(
            f"{path} is no adapter: it has no adapter_config.json, or whole weights beside it.",
            "Give the folder that homespun finetune or peft wrote; a whole model is served by its own name.",
        )
    if not isinstance(model, GPT):
        raise CheckpointError(f"{base} has no blocks that an adapter could change.", "Serve it without adapters.")
    config = read_adapter_config(path)
    if config.base.fingerprint and config.base.fingerprint != print_of_base:
        raise CheckpointError(
            f"{path} is an adapter of {config.base.name}, and the weights of {base} are others.",
            "Serve the model that it was made for, or fine-tune this one:  homespun finetune",
        )
    own = fitting(tokenizer_of_adapter(path, tokenizer), model.config.vocab_size, path)
    changes = read_changes(path, config, model.config)
    return {name: LowRank(change.a, change.b, change.scale) for name, change in changes.items()}, own


def defaults_of(folder: Path) -> dict[str, Any]:
    """What generation_config.json asks for, where it asks for sampling at all."""
    from homespun.checkpoint.special_ids import generation_config

    said = generation_config(folder) if folder.is_dir() else {}
    if not said.get("do_sample"):
        return {}
    names = ("temperature", "top_p", "top_k", "min_p", "repetition_penalty")
    found = {name: said[name] for name in names if said.get(name) is not None}
    if found.get("top_k") == 0:
        del found["top_k"]  # transformers' way to say that it is off
    try:
        Sampling(**found)
    except HomespunError:
        return {}  # a damaged file: no model depends on it
    return found


def fingerprint_of_file(folder: Path) -> str:
    from homespun.checkpoint.adapter import ADAPTER_WEIGHTS

    return sha256_of(folder / ADAPTER_WEIGHTS)


def short_hash(*parts: str | None) -> str:
    return "fp_" + hashlib.sha256("\0".join(part or "" for part in parts).encode()).hexdigest()[:12]
