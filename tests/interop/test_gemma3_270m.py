"""Gemma 3 270M as it was released, beside llama.cpp. Skipped where its packages are missing.

Nothing of it lies in this repository: docs/models.md says how to get it, its terms, and what was measured.
"""

from __future__ import annotations

import importlib.metadata
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

import homespun
from homespun.generation.decoding import decoded
from homespun.interop import llama_cpp
from homespun.interop.find import find_model
from homespun.interop.gguf.write import write_gguf
from homespun.interop.gguf.write_tokenizer import tokenizer_settings
from homespun.interop.packaged import PACKAGED
from tests.interop.in_llama_cpp import asked

NAME = "gemma3-270m"
PAGE = Path(homespun.__file__).parent / "finetuning" / "general.txt"
LONG = 550  # tokens of the page: more than a window of 512
PROMPTS = ("The capital of France is", "When water is heated,", "def fibonacci(n):\n")
LIKELIEST = 100


def is_there() -> bool:
    try:
        return all(importlib.metadata.files(package) for package in PACKAGED[NAME].packages)
    except importlib.metadata.PackageNotFoundError:
        return False


pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not is_there(), reason=f"the packages of {NAME} are not installed (docs/models.md)"),
]
beside_llama_cpp = pytest.mark.skipif(not llama_cpp.is_installed(), reason="xllamacpp is not installed")


@pytest.fixture(scope="module")
def gemma() -> Any:
    return homespun.load(NAME)


@pytest.fixture(scope="module")
def prompts(gemma: Any) -> list[list[int]]:
    page = PAGE.read_text(encoding="utf-8").replace("\n~\n", "\n\n")
    opening, encode = gemma.tokenizer.opening, gemma.tokenizer.encode
    assert opening == [2]  # <bos>: without it the model is another one
    return [*(opening + encode(prompt) for prompt in PROMPTS), (opening + encode(page))[:LONG]]


@pytest.fixture(scope="module")
def expected(gemma: Any, prompts: list[list[int]]) -> list[Tensor]:
    """The log-probabilities (V) after each prompt, of the model in float32."""
    with torch.no_grad():
        return [gemma.model(torch.tensor([ids]))[0][0, -1].double().log_softmax(-1) for ids in prompts]


def differences(expected: Tensor, candidates: dict[int, float]) -> Tensor:
    """Of the likeliest tokens' log-probabilities, once both name the same one as the likeliest."""
    likeliest = expected.topk(LIKELIEST).indices.tolist()
    assert max(candidates, key=lambda id: candidates[id]) == likeliest[0]
    both = [id for id in likeliest if id in candidates]
    assert len(both) > 0.9 * LIKELIEST
    return expected[both] - torch.tensor([candidates[id] for id in both])


@beside_llama_cpp
def test_llama_cpp_expects_the_same_of_what_homespun_writes_in_float32(
    gemma: Any, prompts: list[list[int]], expected: list[Tensor], tmp_path: Path
) -> None:
    """Here both multiply in float32."""
    words = tokenizer_settings(gemma.tokenizer, rows=gemma.model.config.vocab_size, rarest=0)
    write_gguf(tmp_path / "model.gguf", gemma.model, words, {}, "f32")
    theirs = asked(tmp_path / "model.gguf", prompts, ordinary=prompts[0][-1])
    for ours, candidates in zip(expected, theirs, strict=True):
        assert differences(ours, candidates).abs().max() < 0.02


@beside_llama_cpp
def test_llama_cpp_expects_about_the_same_of_the_file_itself(
    prompts: list[list[int]], expected: list[Tensor]
) -> None:
    """llama.cpp rounds what it multiplies quantised weights with to 8 bits; the model in float32 does not."""
    theirs = asked(find_model(NAME), prompts, ordinary=prompts[0][-1])
    for ours, candidates in zip(expected, theirs, strict=True):
        assert differences(ours, candidates).square().mean().sqrt() < 0.7


@pytest.mark.parametrize(("kind", "most"), [("float32", 1e-5), ("bfloat16", 1e-3)])
def test_the_step_that_writes_expects_what_the_model_expects(
    kind: str, most: float, gemma: Any, prompts: list[list[int]], expected: list[Tensor]
) -> None:
    """most: nats a token."""
    step = decoded(gemma.model, kind)
    for ids, right in zip(prompts, expected, strict=True):
        found = step.logits(ids)[-1].double().log_softmax(-1)
        assert (right.exp() * (right - found)).sum() < most
