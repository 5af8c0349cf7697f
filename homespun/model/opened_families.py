"""Families of models that other people train: they are opened and fine-tuned here, not trained from scratch."""

from __future__ import annotations

from homespun.model.family import Family, HuggingFace, Windows
from homespun.model.family_words import (
    LLAMA_FIELDS,
    LLAMA_GGUF,
    LLAMA_NAMES,
    LLAMA_SETTINGS,
    LLAMA_WRITTEN,
    SILU,
)

# Mistral (arXiv 2310.06825): Llama with a window of attention, which later versions gave up. To llama.cpp it is a
# Llama, and it leaves the window out there.
MISTRAL = Family(
    name="mistral",
    label="the shape of Mistral",
    settings=LLAMA_SETTINGS,
    planned=False,
    trained=False,
    hugging_face=HuggingFace(
        model_type="mistral",
        architecture="MistralForCausalLM",
        default_ids=(1, 2),
        fields=LLAMA_FIELDS,
        names=LLAMA_NAMES,
        outer_name="model.",
        written=LLAMA_WRITTEN,
        accepted={"hidden_act": SILU, "attention_bias": (False,), "mlp_bias": (False,)},
        windows=Windows(default=4096, listed=False),
    ),
    gguf=LLAMA_GGUF,
)

OPENED = (MISTRAL,)
