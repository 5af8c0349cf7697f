"""What stands in a page beside weights and code: card, config, tokenizer, chat, and probes to be held to."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import torch

from homespun import __version__
from homespun.checkpoint.hf_names import USUAL
from homespun.errors import HomespunError, UsageError
from homespun.interop.compare import log_probabilities
from homespun.interop.modelfile import form_of
from homespun.interop.origin import Origin
from homespun.interop.page.tokenizer import tokenizer_data
from homespun.interop.probes import trials
from homespun.model.causal_lm import CausalLM
from homespun.model.config import GPTConfig, ModelConfig
from homespun.tokenizer.chat_template import ChatTokenizer, chat_tokenizer
from homespun.tokenizer.tokenizer import Tokenizer

VERSION = 1  # of what a page contains
# Of the settings with a default that changes nothing, those that web/page/config.ts has as well.
PAGE_KNOWS = {"rotary_base", "dropout"}
PAGE_COMPUTES = {
    "norm": ("rmsnorm", "layernorm"),
    "feed_forward": ("swiglu", "gelu", "gelu_exact", "relu"),
}
MOST_PROBED = 96  # tokens of each text whose log-probabilities are written down
MOST_IDS = 6_000  # of all texts that the page's tokenizer is tried on
# Bytes of keys, values, queries and residual stream of two windows. A browser gives a tab a few gigabytes, and
# less on a phone.
MOST_MEMORY = 400_000_000
SHORTEST_CONTEXT = 256


@dataclass(frozen=True)
class Sample:
    """What Python's engine generates from ids with a seed: the page has to generate the same."""

    seed: int
    prompt: Sequence[int]
    ids: Sequence[int]
    sampling: Mapping[str, float | None]


def contents(
    model: CausalLM,
    rounded: CausalLM,
    tokenizer: Tokenizer,
    origin: Origin,
    texts: Sequence[str],
    facts: Sequence[tuple[str, str]],
    sample: Sample,
    first: int,
    precision: str,
    apart: float,
) -> dict[str, Any]:
    """rounded: the model with the page's weights. texts: to hold the page to; they stand in the page, so none of
    the user's is among them. first: the id that an empty text starts from. apart: see web/page/page_data.ts."""
    config = rounded.config
    chat, ends = chat_data(tokenizer)
    licence = [("licence", origin.license)] if origin.license else []
    some = probe_ids(tokenizer, texts, config.context_length)
    return {
        "version": VERSION,
        "card": {
            "name": origin.name,
            "parameters": model.number_of_parameters(),
            "facts": [[name, value] for name, value in (*facts, *licence)],
            "precision": precision,
            "version": __version__,
        },
        "config": config_data(config),
        "tokenizer": tokenizer_data(tokenizer),
        "opening": tokenizer.opening,
        "first": first,
        "ends": list(tokenizer.ends),
        "sampling": sampling_data(origin.sampling),
        "chat": None if chat is None else {**chat, "ends": ends},
        "probes": {
            "texts": tokenizer_probes(tokenizer, texts),
            "places": [place_probe(model, rounded, ids) for ids in some],
            "written": asdict(sample),
            "apart": apart,
        },
    }


def config_data(config: ModelConfig) -> dict[str, Any]:
    """The config in its own words, and what follows from them."""
    if isinstance(config, GPTConfig):
        unknown = set(USUAL) - PAGE_KNOWS
        return {
            "kind": "gpt",
            **{name: value for name, value in asdict(config).items() if name not in unknown},
            "scale": config.scale,
        }
    names = ("family", "vocab_size", "context_length")
    return {"kind": "table", **{name: getattr(config, name) for name in names}}


def check_settings(config: ModelConfig) -> None:
    """Raises UsageError for a model that the page's code does not compute."""
    if not isinstance(config, GPTConfig):
        return
    own = {name: getattr(config, name) for name in USUAL if name not in PAGE_KNOWS}
    other = [name for name, value in own.items() if value != USUAL[name]]
    other += [name for name, values in PAGE_COMPUTES.items() if getattr(config, name) not in values]
    if other:
        raise UsageError(
            f"A page does not compute models of the family {config.family}: this one has another {other[0]}.",
            "llama.cpp runs many of them, and llama-server has a page: --to gguf.",
        )


def fitting_context(config: ModelConfig) -> int:
    """The longest context that a page has room for: that of the model, or a power of two below it.

    >>> fitting_context(GPTConfig.of("llama", vocab_size=65, context_length=96, n_layer=2, n_head=2, n_embd=8))
    96
    """
    length = config.context_length
    kept = 2 * config.key_width + config.query_width + config.n_embd
    while length > SHORTEST_CONTEXT and 2 * 4 * length * (config.n_layer + 1) * kept > MOST_MEMORY:
        length = 2 ** ((length - 1).bit_length() - 1)
    return length


def sampling_data(said: Mapping[str, Any]) -> dict[str, Any]:
    """How the model wants to be sampled from; homespun's defaults where it does not say."""
    usual = {"temperature": 0.8, "top_k": None, "top_p": None, "min_p": None, "repetition_penalty": None}
    return {name: said.get(name, value) for name, value in usual.items()}


def chat_data(tokenizer: Tokenizer) -> tuple[dict[str, Any] | None, list[int]]:
    """How a conversation is written, and the ids that end an answer; None where the model only completes text."""
    if not tokenizer.settings.get("chat_template"):
        return None, []
    try:
        chat = chat_tokenizer(tokenizer)
    except HomespunError:  # the template is none, or Jinja is missing: the page completes text
        return None, []
    assert chat is not None
    form = form_of(tokenizer)
    shared = {"names": chat.template.names, "system": knows_system(chat)}
    if form is not None:
        return {"form": asdict(form), "template": None, **shared}, sorted(chat.ends)
    return {"form": None, "template": chat.template.source, **shared}, sorted(chat.ends)


def knows_system(chat: ChatTokenizer) -> bool:
    """Whether the template writes a system text."""
    said = "homespun"
    messages = [{"role": "system", "content": said}, {"role": "user", "content": "?"}]
    try:
        return said in chat.template.render(messages, answer=True)
    except HomespunError:
        return False


def tokenizer_probes(tokenizer: Tokenizer, texts: Sequence[str]) -> list[dict[str, Any]]:
    """Texts with their ids, and what these are decoded to where it is another text."""
    found: list[dict[str, Any]] = []
    room = MOST_IDS
    for text in sorted(trials(tokenizer, texts), key=len):
        ids = tokenizer.encode(text)
        room -= len(ids)
        if room < 0:
            break
        decoded = tokenizer.decode(ids)
        found.append({"text": text, "ids": ids, "decoded": None if decoded == text else decoded})
    return found


def probe_ids(tokenizer: Tokenizer, texts: Sequence[str], context_length: int) -> list[list[int]]:
    """The beginnings of the texts, as the model reads them."""
    most = min(MOST_PROBED, context_length)
    found = ([*tokenizer.opening, *tokenizer.encode(text)][:most] for text in texts)
    return [ids for ids in found if len(ids) > 1]


def place_probe(model: CausalLM, rounded: CausalLM, ids: Sequence[int]) -> dict[str, Any]:
    """The log-probability of each id but the first, in nats, by the original and by the page's weights."""

    def logprobs(one: CausalLM) -> list[float]:
        own = log_probabilities(one, ids[:-1]).gather(1, torch.tensor(ids[1:])[:, None])[:, 0]
        return [round(value, 5) for value in own.tolist()]

    return {"ids": list(ids), "original": logprobs(model), "rounded": logprobs(rounded)}
