"""The engine with homespun's own tokenizers: what streams is what decoding the whole would give."""

from __future__ import annotations

from collections import Counter

import pytest
import torch

from homespun.errors import UnknownCharacter
from homespun.generation.settings import Sampling
from homespun.generation.text import generate_ids, generate_pieces
from homespun.model.config import GPTConfig
from homespun.model.gpt import GPT
from homespun.tokenizer.make import build
from homespun.tokenizer.tokenizer import Tokenizer

TEXT = "— naïve? «Ça va», said the 漢字 😀 to the cat. 한국어, и так далее.\n" * 30


def tokenizer_of(kind: str, documents: int) -> Tokenizer:
    return build(kind, alphabet=dict(Counter(TEXT)), documents=documents, pieces=lambda: iter([TEXT]))


def model_of(tokenizer: Tokenizer) -> GPT:
    torch.manual_seed(0)
    shape = {"context_length": 16, "n_layer": 1, "n_head": 2, "n_embd": 16}
    return GPT(GPTConfig.of("modern", vocab_size=tokenizer.vocab_size, **shape))


@pytest.mark.parametrize("documents", [1, 5])
@pytest.mark.parametrize("kind", ["char", "byte", "bpe:300"])
@pytest.mark.parametrize("prompt", ["", "the cat", "😀"])
def test_the_pieces_are_the_text_of_the_ids(kind: str, documents: int, prompt: str) -> None:
    tokenizer = tokenizer_of(kind, documents)
    model, sampling = model_of(tokenizer), Sampling(temperature=1.0, seed=1)
    pieces = list(generate_pieces(model, tokenizer, prompt, max_tokens=60, sampling=sampling))
    start = tokenizer.encode(prompt) or [tokenizer.end_of_text or tokenizer.encode("\n")[0]]
    stop = () if tokenizer.end_of_text is None else (tokenizer.end_of_text,)
    ids = list(generate_ids(model, start, max_tokens=60, sampling=sampling, stop_ids=stop))
    assert ids and "".join(pieces) == tokenizer.decode(ids)
    assert all(pieces)


def test_a_character_that_the_model_never_met_is_named() -> None:
    tokenizer = tokenizer_of("char", 1)
    with pytest.raises(UnknownCharacter, match="U\\+0141"):
        generate_pieces(model_of(tokenizer), tokenizer, "Łódź")


@pytest.mark.parametrize("settings", [{"temperature": 0.0}, {"temperature": 5.0, "seed": 3}], ids=str)
def test_a_padded_vocabulary_never_gives_an_id_that_the_tokenizer_does_not_have(
    settings: dict[str, float],
) -> None:
    """Models from elsewhere have a few ids more than their tokenizer, for the sake of a round number."""
    tokenizer = build("char", alphabet={"a": 1, "b": 1}, documents=1, pieces=lambda: iter(["ab"]))
    torch.manual_seed(0)
    shape = {"context_length": 16, "n_layer": 1, "n_head": 2, "n_embd": 16}
    model = GPT(GPTConfig.of("modern", vocab_size=512, tied_head=False, **shape))  # 510 of its 512 ids are padding
    sampling = Sampling(**settings)  # type: ignore[arg-type]
    assert max(generate_ids(model, [0], max_tokens=30, sampling=sampling)) >= 2
    text = "".join(generate_pieces(model, tokenizer, "ab", max_tokens=30, sampling=sampling))
    assert len(text) == 30 and set(text) <= {"a", "b"}
