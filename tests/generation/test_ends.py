"""A text ends at each end that its model names, also where its form is held."""

from __future__ import annotations

from collections import Counter

import pytest
import torch

from homespun.generation.chat import Conversation
from homespun.generation.constraint import pattern
from homespun.generation.settings import Sampling
from homespun.generation.text import generate, generate_pieces
from homespun.model.config import GPTConfig
from homespun.model.gpt import GPT
from homespun.tokenizer.chat_marks import with_chat_template
from homespun.tokenizer.chat_template import chat_tokenizer
from homespun.tokenizer.make import build
from homespun.tokenizer.special_ids import SpecialIds, StatedIds
from homespun.tokenizer.tokenizer import Tokenizer

TEXT = "0123456789 abcdefghijklmnopqrstuvwxyz\n"


def with_two_ends(*also: int) -> Tokenizer:
    tokenizer = build("char", alphabet=Counter(TEXT), documents=2, pieces=lambda: iter([TEXT]))
    tokenizer = tokenizer.with_special_tokens(["<turn>"], end_of_text="<|endoftext|>")
    ids = SpecialIds(eos=(tokenizer.special_tokens["<turn>"], *also))
    tokenizer.stated = StatedIds(ids, ids)
    return tokenizer


def wanting(tokenizer: Tokenizer, text: str) -> GPT:
    """A model that wants these tokens and hardly any other."""
    torch.manual_seed(0)
    shape = {"context_length": 32, "n_layer": 1, "n_head": 2, "n_embd": 16}
    model = GPT(GPTConfig.of("gpt2", vocab_size=tokenizer.vocab_size, tied_head=False, **shape)).eval()
    with torch.no_grad():
        model.final_norm.weight.zero_()
        model.final_norm.bias.fill_(1.0)
        model.head.weight.zero_()
        wanted = [tokenizer.special_tokens[text]] if text in tokenizer.special_tokens else tokenizer.encode(text)
        model.head.weight[wanted] = 2.0
    return model


@pytest.mark.parametrize("end", ["<turn>", "<|endoftext|>"])
def test_a_text_ends_at_each_of_them(end: str) -> None:
    tokenizer = with_two_ends()
    pieces = generate_pieces(
        wanting(tokenizer, end), tokenizer, "a", max_tokens=9, sampling=Sampling(temperature=0)
    )
    assert ("".join(pieces), pieces.finish_reason) == ("", "stop")


def test_an_answer_ends_at_each_of_them() -> None:
    pytest.importorskip("jinja2")
    tokenizer = with_chat_template(with_two_ends())
    chat = chat_tokenizer(tokenizer)
    assert chat is not None and set(tokenizer.ends) <= chat.ends
    talk = Conversation(wanting(tokenizer, "<turn>"), chat, max_tokens=5)
    assert "".join(talk.say("hello", Sampling(temperature=0))) == ""


@pytest.mark.parametrize("end", ["<turn>", "<|endoftext|>"])
def test_where_a_pattern_is_complete_each_of_them_may_end_it(end: str) -> None:
    pytest.importorskip("llguidance")
    tokenizer = with_two_ends()
    held = pattern("[0-9]{2,6}", tokenizer)
    model = wanting(tokenizer, end)
    assert (
        len(generate(model, tokenizer, "a", max_tokens=9, constraint=held, sampling=Sampling(temperature=0))) == 2
    )


def test_an_end_that_is_a_letter_cuts_no_pattern_short() -> None:
    pytest.importorskip("llguidance")
    seven = TEXT.index("7")
    tokenizer = with_two_ends(build("char", alphabet=Counter(TEXT), documents=1, pieces=list).encode("7")[0])
    model = wanting(tokenizer, TEXT[seven])
    held = pattern("[0-9]{3} end", tokenizer)
    text = generate(model, tokenizer, "a", max_tokens=9, constraint=held, sampling=Sampling(temperature=0))
    assert text.endswith(" end") and len(text) == 7
