"""llama.cpp opens what we write, gives the same ids, and expects the same. Only where xllamacpp is installed."""

from __future__ import annotations

import random
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from homespun.errors import CheckpointError
from homespun.interop import llama_cpp
from homespun.interop.export import Leaving
from homespun.interop.gguf.load import load_gguf
from homespun.interop.origin import Origin
from homespun.model.config import GPTConfig
from homespun.model.gpt import GPT
from homespun.model.rope_scaling import RopeScaling
from tests.checkpoint.models import lively, tiny
from tests.interop.files import TEXT, gguf_of
from tests.interop.test_export import ALPHABET, exported, leaving, tokenizer_of

there = pytest.mark.skipif(not llama_cpp.is_installed(), reason="xllamacpp is not installed")


@there
@pytest.mark.parametrize("family", ["modern", "llama", "qwen2", "gpt2"])
@pytest.mark.parametrize(("kind", "documents"), [("char", 1), ("char", 2), ("byte", 1), ("bpe:300", 1)])
def test_llama_cpp_expects_what_the_model_expects(kind: str, documents: int, family: str, tmp_path: Path) -> None:
    dice = random.Random(2)
    texts = tuple("".join(dice.choices(ALPHABET, k=50)) for _ in range(20))
    model = leaving(tokenizer_of(kind, documents), family, **({} if family == "gpt2" else {"n_kv_head": 2}))
    done = exported(
        Leaving(model.model, model.tokenizer, Origin("mine"), texts), tmp_path / "model.gguf", ask_llama_cpp=True
    )
    _, check = done.checks
    assert check.by.startswith("llama.cpp")
    assert check.difference.positions > 300
    assert check.difference.largest < 0.02
    assert check.difference.same_choice > 0.99 * check.difference.positions


SHORT, LONG = (1.0, 1.0, 1.1, 1.2, 1.4, 1.6, 1.8, 2.0), (1.0, 1.5, 2.0, 3.0, 5.0, 9.0, 16.0, 24.0)


@there
@pytest.mark.parametrize(("original", "factors"), [(256, SHORT), (128, LONG)])
@torch.no_grad()
def test_longrope_there_goes_by_the_context_that_is_asked_for_and_not_by_the_text(
    original: int, factors: tuple[float, ...], tmp_path: Path
) -> None:
    """llama.cpp makes room for 256 tokens here. Where the model began with no fewer, the texts are rotated
    as transformers does; where with fewer, even short ones as transformers rotates long ones."""
    tokenizer = tokenizer_of("bpe:300")
    scaling = RopeScaling(
        "longrope",
        factor=4.0,
        original_context=original,
        attention_factor=1.2,
        short=SHORT,
        long=LONG,
        full_context=4 * original,
    )
    config = GPTConfig.of(
        "phi3",
        vocab_size=tokenizer.vocab_size,
        context_length=original,
        n_layer=2,
        n_head=4,
        n_kv_head=2,
        n_embd=64,
        rope_scaling=scaling,
    )
    model = lively(config)
    exported(Leaving(model, tokenizer, Origin("mine"), [TEXT]), tmp_path / "model.gguf")
    ids = torch.randint(100, 200, (1, 60), generator=torch.Generator().manual_seed(1))
    answer = llama_cpp.ask(
        tmp_path / "model.gguf", [], ids.tolist(), vocab_size=tokenizer.vocab_size, ordinary=100
    )
    assert answer is not None
    rotated = GPT(config.with_(rope_scaling=replace(scaling, short=factors))).eval()
    rotated.load_state_dict(model.state_dict())
    expected = rotated(ids)[0][0].log_softmax(-1)
    for row, candidates in zip(expected, answer.candidates[0], strict=True):
        there, here = torch.tensor(list(candidates.values())), row[list(candidates)]
        torch.testing.assert_close(here, there, atol=0.02, rtol=0)
    if factors == LONG:
        assert (model(ids)[0][0].log_softmax(-1) - expected).abs().max() > 0.2


@there
def test_a_file_that_llama_cpp_does_not_open_is_told_and_takes_nobody_down(tmp_path: Path) -> None:
    (tmp_path / "bad.gguf").write_bytes(b"GGUF" + b"\x03\0\0\0" + b"\xff" * 100)
    with pytest.raises(CheckpointError, match=r"llama\.cpp does not run this file: it ended with"):
        llama_cpp.ask(tmp_path / "bad.gguf", ["a"], [[1]], vocab_size=5, ordinary=0)


def test_a_package_that_cannot_be_imported_is_not_asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = tmp_path / "xllamacpp"
    package.mkdir()
    (package / "__init__.py").write_text("raise ImportError('made for another machine')")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    assert llama_cpp.ask(tmp_path / "any.gguf", ["a"], [[1]], vocab_size=5, ordinary=0) is None


def test_a_process_that_dies_is_an_answer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = tmp_path / "xllamacpp"
    package.mkdir()
    (package / "__init__.py").write_text(
        "import os, signal\n"
        "__version__ = '0'\n"
        "def __getattr__(name):\n"
        "    print('GGML_ASSERT(false) failed', file=__import__('sys').stderr, flush=True)\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    with pytest.raises(CheckpointError, match=r"it ended with -9, and said: GGML_ASSERT\(false\) failed"):
        llama_cpp.ask(tmp_path / "any.gguf", ["a"], [[1]], vocab_size=5, ordinary=0)


@there
@pytest.mark.parametrize("way", ["gpt-2", "smollm", "llama-bpe", "qwen2"])
def test_words_are_cut_there_as_here(way: str, tmp_path: Path) -> None:
    tokenizer = tokenizer_of("bpe:400")
    model = lively(tiny("llama", vocab_size=tokenizer.vocab_size))
    opened, its = load_gguf(gguf_of(tmp_path / "came.gguf", model, tokenizer, **{"tokenizer__ggml__pre": way}))
    done = exported(Leaving(opened, its, Origin("mine"), [TEXT]), tmp_path / "left.gguf", ask_llama_cpp=True)
    assert [check.texts > 10 for check in done.checks] == [True, True]
