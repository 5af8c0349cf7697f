from __future__ import annotations

from itertools import islice

import pytest
import torch
from torch import nn

from homespun.errors import ModelError, UnknownCharacter, UsageError
from homespun.generation.request import Request
from homespun.generation.settings import Sampling
from homespun.generation.text import generate, generate_ids, generate_pieces
from homespun.model.bigram import Bigram
from homespun.model.config import BigramConfig, GPTConfig
from homespun.model.gpt import GPT
from tests.generation.fakes import ByteTokenizer, Parrot
from tests.model.shapes import FAMILY_NAMES as FAMILIES

CONTEXT = 12
LIKELIEST = Sampling(temperature=0)


def small_model(family: str, vocab_size: int = 257) -> GPT | Bigram:
    """Weights ten times the usual, so that it is sure of what it says and the likeliest token is no toss-up."""
    torch.manual_seed(1)
    if family == "bigram":
        return Bigram(BigramConfig(vocab_size, CONTEXT))
    kv_heads = 2 if family == "modern" else None
    config = GPTConfig.of(
        family, vocab_size=vocab_size, context_length=CONTEXT, n_layer=2, n_head=4, n_embd=32, n_kv_head=kv_heads
    )
    model = GPT(config)
    with torch.no_grad():
        for weight in model.parameters():
            weight.mul_(10.0 if weight.ndim == 2 else 1.0)
    return model


def recite(text: str, context_length: int = 8) -> Parrot:
    return Parrot(ByteTokenizer().encode(text), context_length)


@pytest.mark.parametrize(
    "sampling", [LIKELIEST, Sampling(temperature=1.0, top_k=20, seed=5)], ids=["likeliest", "seeded"]
)
@pytest.mark.parametrize("prompt_length", [1, CONTEXT - 1, CONTEXT, 3 * CONTEXT])
@pytest.mark.parametrize("family", [*FAMILIES, "bigram"])
def test_the_cache_changes_nothing_across_the_windows_edge(
    family: str, prompt_length: int, sampling: Sampling
) -> None:
    model = small_model(family)
    prompt = torch.randint(257, (prompt_length,), generator=torch.Generator().manual_seed(2)).tolist()
    cached, plain = (
        list(generate_ids(model, prompt, max_tokens=2 * CONTEXT, sampling=sampling, use_cache=use_cache))
        for use_cache in (True, False)
    )
    assert cached == plain and len(cached) == 2 * CONTEXT


@pytest.mark.parametrize("family", [*FAMILIES, "bigram"])
def test_ids_are_what_the_lectures_loop_gives(family: str) -> None:
    """While the window has room; the bigram's window is one token, so there always."""
    model = small_model(family)
    ids = torch.tensor([[3, 1, 4]])
    tokens = 2 * CONTEXT if family == "bigram" else CONTEXT - 2
    with torch.no_grad():
        for _ in range(tokens):
            logits, _ = model(ids[:, -CONTEXT:])
            ids = torch.cat((ids, logits[:, -1].argmax(-1, keepdim=True)), dim=1)
    assert list(generate_ids(model, [3, 1, 4], max_tokens=tokens, sampling=LIKELIEST)) == ids[0, 3:].tolist()


def test_of_a_long_prompt_the_last_tokens_count() -> None:
    model = Parrot([7], context_length=4)
    assert list(generate_ids(model, range(10), max_tokens=2)) == [7, 7]
    assert model.seen == [[6, 7, 8, 9], [8, 9, 7]]


def test_the_same_seed_gives_the_same_text_whatever_happens_elsewhere() -> None:
    model, sampling = small_model("modern"), Sampling(temperature=1.5, seed=3)
    first = list(generate_ids(model, [1], max_tokens=30, sampling=sampling))
    disturbed = []
    for id in generate_ids(model, [1], max_tokens=30, sampling=sampling):
        torch.manual_seed(0)
        next(generate_ids(model, [2], max_tokens=1, sampling=sampling))
        disturbed.append(id)
    assert first == disturbed
    assert first != list(generate_ids(model, [1], max_tokens=30, sampling=Sampling(temperature=1.5, seed=4)))


def test_generation_leaves_torchs_random_state_alone() -> None:
    model = small_model("bigram")
    before = torch.get_rng_state()
    list(generate_ids(model, [1], max_tokens=5))
    assert torch.equal(torch.get_rng_state(), before)


def test_without_a_seed_every_text_is_new() -> None:
    model = small_model("bigram")
    texts = {tuple(generate_ids(model, [1], max_tokens=20, sampling=Sampling(temperature=2.0))) for _ in range(3)}
    assert len(texts) == 3


def test_each_sample_has_a_seed_of_its_own_that_can_be_asked_for_again() -> None:
    assert [request.sampling.seed for request in Request([1]).samples(3, first_seed=5)] == [5, 6, 7]
    assert [request.sampling.seed for request in Request([1]).samples(2, first_seed=2**63 - 1)] == [2**63 - 1, 0]


def test_dropout_is_off_and_a_model_in_training_goes_on_training() -> None:
    model = Parrot([1])
    list(generate_ids(model, [1], max_tokens=2))
    assert model.was_learning == [False, False] and model.training


def test_the_caller_keeps_its_gradients_between_two_ids() -> None:
    weight = nn.Parameter(torch.ones(1))
    for _ in generate_ids(Parrot([1]), [1], max_tokens=1):
        assert not torch.is_inference_mode_enabled()
        (weight * 2).backward()
    assert weight.grad is not None


def test_a_stop_id_ends_the_ids_and_is_not_among_them() -> None:
    assert list(generate_ids(Parrot([5, 6, 9, 7]), [1], max_tokens=10, stop_ids={9})) == [5, 6]


def test_ids_are_computed_only_when_they_are_asked_for() -> None:
    model = Parrot([5])
    assert list(islice(generate_ids(model, [1], max_tokens=1_000_000), 2)) == [5, 5]
    assert len(model.seen) == 2


@pytest.mark.parametrize("ids", [[], [257], [-1]])
def test_ids_that_the_model_does_not_have_are_refused_at_once(ids: list[int]) -> None:
    with pytest.raises(ModelError):
        generate_ids(Parrot([1]), ids, max_tokens=1)


@pytest.mark.parametrize("max_tokens", [-1, 1.5, True])
def test_a_number_of_tokens_that_makes_no_sense_is_refused_at_once(max_tokens: int) -> None:
    with pytest.raises(UsageError, match="max_tokens"):
        generate_ids(Parrot([1]), [1], max_tokens=max_tokens)


def test_pieces_are_whole_characters() -> None:
    text = "né—漢😀!"
    pieces = list(generate_pieces(recite(text), ByteTokenizer(), "x", max_tokens=len(text.encode())))
    assert pieces == list(text)


def test_a_character_that_is_cut_off_by_the_end_is_shown_as_such() -> None:
    assert generate(recite("a😀"), ByteTokenizer(), "x", max_tokens=3) == "a�"


def test_the_models_own_end_of_text_ends_it() -> None:
    pieces = generate_pieces(Parrot([104, 105, 256, 33]), ByteTokenizer(), "x", max_tokens=10)
    assert "".join(pieces) == "hi"
    assert (pieces.finish_reason, pieces.tokens) == ("stop", 2)


def test_finish_reason_is_length_when_the_tokens_are_used_up() -> None:
    pieces = generate_pieces(recite("hello"), ByteTokenizer(), "x", max_tokens=3)
    assert pieces.finish_reason is None
    assert "".join(pieces) == "hel"
    assert (pieces.finish_reason, pieces.tokens) == ("length", 3)


def test_nothing_of_a_stop_string_is_shown_and_the_model_is_not_asked_again() -> None:
    model = recite("one END two")
    pieces = generate_pieces(model, ByteTokenizer(), "x", max_tokens=50, stop=["END", "two"])
    assert "".join(pieces) == "one "
    assert (pieces.finish_reason, pieces.tokens, len(model.seen)) == ("stop", 7, 7)


def test_a_stop_string_on_the_very_last_token_counts_as_stop() -> None:
    pieces = generate_pieces(recite("ab."), ByteTokenizer(), "x", max_tokens=3, stop=["."])
    assert "".join(pieces) == "ab" and pieces.finish_reason == "stop"


def test_the_beginning_of_a_stop_string_is_shown_when_the_tokens_are_used_up() -> None:
    assert generate(recite("the END"), ByteTokenizer(), "x", max_tokens=6, stop=["END"]) == "the EN"


def test_no_tokens_give_no_text() -> None:
    pieces = generate_pieces(recite("a"), ByteTokenizer(), "x", max_tokens=0)
    assert list(pieces) == [] and pieces.finish_reason == "length"


class Letters:
    """A tokenizer of a few characters, without an end of text."""

    end_of_text = None
    ends = ()
    opening = ()

    def __init__(self, alphabet: str) -> None:
        self.alphabet = alphabet
        self.vocab_size = len(alphabet)

    def encode(self, text: str) -> list[int]:
        if any(character not in self.alphabet for character in text):
            raise UnknownCharacter("unknown", "")
        return [self.alphabet.index(character) for character in text]

    def stream(self):  # type: ignore[no-untyped-def]
        return type("Stream", (), {"push": lambda _, id: self.alphabet[id], "flush": lambda _: ""})()


@pytest.mark.parametrize("tokenizer, start", [(ByteTokenizer(), 256), (Letters("ab\n"), 2), (Letters("abc"), 0)])
def test_an_empty_prompt_starts_where_a_text_would(tokenizer: ByteTokenizer, start: int) -> None:
    model = Parrot([1])
    assert len(generate(model, tokenizer, "", max_tokens=1)) == 1  # type: ignore[arg-type]
    assert model.seen == [[start]]


def test_ids_that_stand_before_every_text_are_read_first_and_never_shown() -> None:
    tokenizer = ByteTokenizer()
    tokenizer.opening = (256,)
    model = recite("ab")
    assert generate(model, tokenizer, "x", max_tokens=2) == "ab"  # type: ignore[arg-type]
    assert model.seen[0] == [256, ord("x")]
    assert generate(model, tokenizer, "", max_tokens=2) == "ab"  # type: ignore[arg-type]
    assert model.seen[2] == [256]


def test_a_strange_character_in_the_prompt_is_told_before_anything_is_shown() -> None:
    with pytest.raises(UnknownCharacter):
        generate_pieces(Parrot([1]), Letters("ab"), "aé", max_tokens=1)  # type: ignore[arg-type]


def test_a_model_in_half_precision_generates() -> None:
    model = small_model("modern").to(torch.bfloat16)
    assert len(list(generate_ids(model, [1, 2], max_tokens=2 * CONTEXT))) == 2 * CONTEXT
