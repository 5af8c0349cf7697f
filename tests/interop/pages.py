"""Small pages, and what their own code answers in Node."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from homespun.generation.settings import Sampling
from homespun.generation.text import first_id, generate_ids
from homespun.interop.export import Exported, Leaving
from homespun.interop.origin import Origin
from homespun.interop.page.contents import Sample
from homespun.interop.page.export import About, export_page
from homespun.interop.page.proof import node, run
from homespun.interop.probes import GENERAL
from homespun.model.causal_lm import CausalLM
from homespun.tokenizer.make import build as build_tokenizer
from homespun.tokenizer.tokenizer import Tokenizer
from tests.checkpoint.models import lively, tiny

TEXT = "come, let us spin a yarn, and another!\nwell spun, 1234 times.\nnaïve café 漢字 😀 don't\n" * 12
SETTINGS = {"temperature": 0.9, "top_k": 40, "top_p": 0.95, "min_p": 0.01, "repetition_penalty": 1.1}
SEED = 2**40 + 5  # of which the lowest 32 bits count
needs_node = pytest.mark.skipif(node() is None, reason="there is no Node here")


def tokenizer_of(kind: str, documents: int = 2, text: str = TEXT) -> Tokenizer:
    counts = dict.fromkeys(text, 1)
    return build_tokenizer(kind, alphabet=counts, documents=documents, pieces=lambda: iter([text]))


def model_of(family: str, tokenizer: Tokenizer, **changes: Any) -> CausalLM:
    shape = {} if family == "bigram" else {"n_kv_head": 2} if family in ("modern", "llama", "qwen2") else {}
    return lively(tiny(family, vocab_size=tokenizer.vocab_size, **shape, **changes))


def exported(
    model: CausalLM,
    tokenizer: Tokenizer,
    out: Path,
    precision: str = "int8",
    *,
    origin: Origin | None = None,
    check: tuple[str, ...] = (),
    prove: bool = True,
) -> Exported:
    first = first_id(tokenizer)

    def sample(rounded: CausalLM) -> Sample:
        prompt = tokenizer.opening or [first]
        ids = generate_ids(
            rounded,
            prompt,
            max_tokens=30,
            sampling=Sampling(seed=SEED, **SETTINGS),  # type: ignore[arg-type]
            below=tokenizer.vocab_size,
            use_cache=False,
        )
        return Sample(SEED, prompt, list(ids), SETTINGS)

    leaving = Leaving(model, tokenizer, origin or Origin("mine"), [GENERAL, *check])
    about = About([("text", "a yarn")], [GENERAL, TEXT[:200]], sample, first)
    return export_page(leaving, about, out, precision=precision, prove=prove)


def answers(page: Path, *requests: tuple[str, list[Any]], plain: bool = False) -> list[Any]:
    """What the page's proof is, and what its runtime answers to each request, one after the other."""
    path = node()
    assert path is not None
    more = [json.dumps(requests)] + (["--plain"] if plain else [])
    return run(path, page, *more)
