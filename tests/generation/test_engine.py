"""Many texts at once: each is written as if it were alone."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import pytest
import torch

from homespun.errors import ModelError, UsageError
from homespun.generation.background import Background
from homespun.generation.engine import Engine, Stream
from homespun.generation.request import Request
from homespun.generation.runner import PagedRunner
from homespun.generation.settings import Sampling
from homespun.kernels.decoding.slots import BLOCK
from homespun.model.gpt import GPT
from tests.generation.fakes import Parrot
from tests.generation.models import CONTEXT, prompt_of, sure_model
from tests.model.shapes import FAMILY_NAMES as FAMILIES

LIKELIEST = Sampling(temperature=0)


def all_blocks_are_free(engine: Engine) -> bool:
    assert isinstance(engine.runner, PagedRunner)
    return engine.runner.manager.free_blocks() == engine.runner.manager.number


def ids_of(stream: Stream) -> list[int]:
    return [token.id for token in stream]


def requests() -> list[Request]:
    """Prompts of every length around the window's edge and a page's, some alike, with and without random draws."""
    lengths = (1, 2, BLOCK - 1, BLOCK, BLOCK + 1, CONTEXT - 1, CONTEXT, CONTEXT + 1, 3 * CONTEXT)
    return [
        Request(prompt_of(length), max_tokens=2 * CONTEXT + length % 5, sampling=sampling)
        for length in lengths
        for sampling in (LIKELIEST, Sampling(temperature=1.0, seed=length), Sampling(top_k=9, seed=length))
    ]


@pytest.mark.parametrize("family", [*FAMILIES, "bigram"])
def test_every_text_is_what_it_is_alone_and_without_a_cache(way: str, family: str) -> None:
    model = sure_model(family)
    alone = [ids_of(Engine(model, cached=False).submit(request)) for request in requests()]
    for streams in (1, 4, 50):
        engine = Engine(model, streams=streams)
        together = [ids_of(stream) for stream in [engine.submit(request) for request in requests()]]
        assert together == alone


@pytest.mark.parametrize("family", FAMILIES)
def test_log_probabilities_are_those_of_the_cacheless_computation(way: str, family: str) -> None:
    model = sure_model(family)
    request = Request(prompt_of(9), max_tokens=3 * CONTEXT, sampling=LIKELIEST, alternatives=3)
    slow, quick = (list(Engine(model, cached=cached).submit(request)) for cached in (False, True))
    for one, other in zip(slow, quick, strict=True):
        assert one.id == other.id and one.logprob == pytest.approx(other.logprob, abs=1e-4)
        assert [logprob for _, logprob in one.alternatives] == pytest.approx(
            [logprob for _, logprob in other.alternatives], abs=1e-4
        )


@pytest.mark.parametrize("family", ["modern", "llama", "qwen2", "gpt2"])
def test_ids_and_log_probabilities_are_those_of_transformers(way: str, family: str, tmp_path: Any) -> None:
    transformers = pytest.importorskip("transformers")
    from homespun.checkpoint.folder import save_model
    from tests.checkpoint.models import char_tokenizer

    tokenizer = char_tokenizer()
    model = sure_model(family, vocab_size=tokenizer.vocab_size)
    assert isinstance(model, GPT)
    save_model(tmp_path, model, tokenizer)
    theirs = transformers.AutoModelForCausalLM.from_pretrained(tmp_path, dtype=torch.float32).eval()
    prompt = prompt_of(7, vocab_size=tokenizer.vocab_size)
    answer = theirs.generate(
        torch.tensor([prompt]), do_sample=False, max_new_tokens=CONTEXT - 8, output_logits=True,
        return_dict_in_generate=True, eos_token_id=None, pad_token_id=0,
    )  # fmt: skip
    ours = list(Engine(model).submit(Request(prompt, max_tokens=CONTEXT - 8, sampling=LIKELIEST, alternatives=0)))
    assert [token.id for token in ours] == answer.sequences[0, 7:].tolist()
    logprobs = torch.stack(answer.logits)[:, 0].log_softmax(-1)
    assert [token.logprob for token in ours] == pytest.approx(
        [float(row[token.id]) for row, token in zip(logprobs, ours, strict=True)], abs=1e-4
    )


def test_texts_join_and_leave_between_steps(way: str) -> None:
    model = sure_model("modern")
    alone = [ids_of(Engine(model).submit(request)) for request in requests()]
    engine, streams = Engine(model, streams=5), []
    for number, request in enumerate(requests()):
        streams.append(engine.submit(request))
        for _ in range(number % 7):
            engine.step()
    assert [ids_of(stream) for stream in streams] == alone
    assert (
        isinstance(engine.runner, PagedRunner)
        and engine.runner.manager.free_blocks() == engine.runner.manager.number
    )


def test_whoever_reads_slowly_holds_up_nobody() -> None:
    engine = Engine(sure_model("modern"))
    unread = engine.submit(Request([1], max_tokens=30, sampling=LIKELIEST))
    assert len(ids_of(engine.submit(Request([2], max_tokens=30, sampling=LIKELIEST)))) == 30
    assert unread.ended() and len(ids_of(unread)) == 30


def test_a_long_prompt_is_read_in_parts_while_others_write(way: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("homespun.generation.runner.SLOTS_AT_ONCE", 8)
    engine = Engine(sure_model("modern"))
    writer = engine.submit(Request([1], max_tokens=30, sampling=LIKELIEST))
    engine.step()
    prompt = prompt_of(CONTEXT - 2)
    late = engine.submit(Request(prompt, max_tokens=2, sampling=LIKELIEST))
    counts = []
    while not late.ready():
        engine.step()
        counts.append(len(writer.sequence.tokens))
    assert len(counts) > 4 and all(b == a + 1 for a, b in pairwise(counts))
    assert ids_of(late) == ids_of(Engine(sure_model("modern")).submit(late.sequence.request))


def computed(engine: Engine) -> list[int]:
    """How many rows each step computes, from now on."""
    assert isinstance(engine.runner, PagedRunner)
    step, counts = engine.runner.step, []
    plain = step.logits
    step.logits = lambda slots: (counts.append(len(slots.ids)), plain(slots))[1]  # type: ignore[method-assign]
    return counts


def test_a_shared_beginning_is_computed_once(way: str) -> None:
    engine = Engine(sure_model("modern"))
    prompt = prompt_of(BLOCK + 4)
    first = [engine.submit(request) for request in Request(prompt, max_tokens=3).samples(4, first_seed=1)]
    counts = computed(engine)
    texts = [ids_of(stream) for stream in first]
    assert counts[0] == len(prompt) + 3 * 4  # the others compute what stands behind the full page
    again = ids_of(engine.submit(first[0].sequence.request))
    assert again == texts[0] and counts[3] == 4  # and much later it is still there


def test_when_the_window_is_full_half_of_it_is_computed_again() -> None:
    engine = Engine(sure_model("modern"))
    stream = engine.submit(Request([1], max_tokens=2 * CONTEXT, sampling=LIKELIEST))
    counts = computed(engine)
    list(stream)
    half = CONTEXT // 2
    assert counts == [1] * CONTEXT + [half + 1] + [1] * (half - 1) + [half + 1] + [1] * (half - 1)


def test_a_text_can_be_cancelled_at_any_token(way: str) -> None:
    engine = Engine(sure_model("modern"), streams=2)
    request = Request([3], max_tokens=20, sampling=LIKELIEST)
    whole = ids_of(engine.submit(request))
    for at in range(20):
        streams = [engine.submit(request) for _ in range(3)]  # the third one waits
        read = [next(streams[0]).id for _ in range(at)]
        streams[0].cancel()
        read += ids_of(streams[0])
        assert read == whole[: len(read)] and streams[0].finish_reason == "cancelled"
        streams[2].cancel()
        assert ids_of(streams[1]) == whole and ids_of(streams[2]) in ([], whole[: len(streams[2].sequence.tokens)])
    assert (
        isinstance(engine.runner, PagedRunner)
        and engine.runner.manager.free_blocks() == engine.runner.manager.number
    )


def test_what_does_not_fit_into_memory_waits_and_what_never_will_is_refused() -> None:
    model = sure_model("modern")
    size = Engine(model).bytes_per_block()
    engine = Engine(model, memory=2 * size)
    streams = [engine.submit(Request([number], max_tokens=31, sampling=LIKELIEST)) for number in range(3)]
    engine.step()
    assert (len(engine.active), len(engine.waiting)) == (1, 2)
    assert [len(ids_of(stream)) for stream in streams] == [31] * 3
    with pytest.raises(ModelError, match=r"may grow to 48 tokens.*room for 32 tokens") as caught:
        engine.submit(Request([1], max_tokens=100))
    assert "memory=BYTES" in caught.value.todo


def test_where_little_memory_is_free_there_is_room_for_one_text_all_the_same(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("homespun.machine.device.memory_free", lambda device: 0)
    engine = Engine(sure_model("modern"), streams=4)
    streams = [engine.submit(Request([number], max_tokens=2 * CONTEXT, sampling=LIKELIEST)) for number in (1, 2)]
    assert [len(ids_of(stream)) for stream in streams] == [2 * CONTEXT] * 2


def test_texts_that_shared_a_beginning_and_move_on_wait_for_room_and_lose_nothing(way: str) -> None:
    model = sure_model("modern")
    size = Engine(model).bytes_per_block()
    shared = Request(prompt_of(CONTEXT - 2), max_tokens=2 * CONTEXT).samples(4, first_seed=1)
    alone = [ids_of(Engine(model).submit(request)) for request in shared]
    engine = Engine(model, memory=5 * size)  # room for one of them, and what three more have of their own
    assert [ids_of(stream) for stream in [engine.submit(request) for request in shared]] == alone


def test_too_many_who_wait_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("homespun.generation.engine.MOST_WAITING", 2)
    engine = Engine(Parrot([1]))  # type: ignore[arg-type]
    for _ in range(2):
        engine.submit(Request([1]))
    with pytest.raises(ModelError, match="2 texts are waiting"):
        engine.submit(Request([1]))


def test_weights_that_have_changed_are_noticed(way: str) -> None:
    model = sure_model("modern")
    engine, request = Engine(model), Request(prompt_of(20), max_tokens=20, sampling=LIKELIEST)
    before = ids_of(engine.submit(request))
    with torch.no_grad():
        for weight in model.parameters():
            weight.mul_(-1.0)
    after = ids_of(engine.submit(request))
    assert after != before and after == ids_of(Engine(model, cached=False).submit(request))


class Broken(Parrot):
    """Answers with no numbers once it has read a 13."""

    def forward(self, ids: torch.Tensor) -> tuple[torch.Tensor, None]:
        logits, _ = super().forward(ids)
        return logits * float("nan") if 13 in ids else logits, None


def test_what_goes_wrong_with_one_text_ends_no_other() -> None:
    engine = Engine(Broken([5]))  # type: ignore[arg-type]
    good, bad, late = (engine.submit(Request([id], max_tokens=4)) for id in (1, 13, 2))
    with pytest.raises(ModelError, match="not numbers"):
        list(bad)
    assert ids_of(good) == ids_of(late) == [5] * 4


def test_a_bias_can_forbid_and_prefer() -> None:
    engine = Engine(sure_model("modern"))
    likeliest = ids_of(engine.submit(Request([1], max_tokens=1, sampling=LIKELIEST)))[0]
    never = Request([1], max_tokens=30, sampling=LIKELIEST, logit_bias={likeliest: float("-inf")})
    assert likeliest not in ids_of(engine.submit(never))
    assert ids_of(engine.submit(Request([1], max_tokens=3, logit_bias={7: 1e6}))) == [7] * 3
    with pytest.raises(ModelError, match="No token may come next"):
        list(engine.submit(Request([1], logit_bias=dict.fromkeys(range(61), float("-inf")))))


def test_a_repetition_penalty_makes_what_was_said_less_likely() -> None:
    def different(penalty: float | None) -> int:
        sampling = Sampling(temperature=0, repetition_penalty=penalty)
        return len(
            set(ids_of(Engine(sure_model("bigram")).submit(Request([1], max_tokens=60, sampling=sampling))))
        )

    assert different(None) == different(1.0) < different(1e6)


def test_alternatives_are_the_likeliest_by_the_model_itself() -> None:
    model = sure_model("modern")
    request = Request([3], max_tokens=1, sampling=Sampling(temperature=0.1, top_k=1, seed=1), alternatives=4)
    (token,) = Engine(model).submit(request)
    with torch.no_grad():
        logprobs = model(torch.tensor([[3]]))[0][0, -1].log_softmax(-1)
    best = logprobs.topk(4)
    assert [id for id, _ in token.alternatives] == best.indices.tolist()
    assert token.logprob == pytest.approx(float(logprobs[token.id]), abs=1e-4)
    (alone,) = Engine(model).submit(request.with_(alternatives=0))
    assert alone.alternatives == () and alone.logprob == token.logprob


@pytest.mark.parametrize(
    "settings", [{"max_tokens": -1}, {"alternatives": -1}, {"alternatives": 1.5}, {"logit_bias": {-1: 1.0}},
                 {"logit_bias": {1: float("nan")}}], ids=str
)  # fmt: skip
def test_requests_that_make_no_sense_are_refused(settings: dict[str, Any]) -> None:
    with pytest.raises(UsageError):
        Request([1], **settings)


@pytest.mark.parametrize("settings", [{"weights": "int3"}, {"streams": 0}], ids=str)
def test_engines_that_make_no_sense_are_refused(settings: dict[str, Any]) -> None:
    with pytest.raises(UsageError):
        Engine(Parrot([1]), **settings)  # type: ignore[arg-type]


def test_the_engine_knows_only_ids() -> None:
    with pytest.raises(UsageError, match="ids"):
        Engine(Parrot([1])).submit(Request("Once"))  # type: ignore[arg-type]


def test_several_threads_can_ask_one_engine() -> None:
    from concurrent.futures import ThreadPoolExecutor

    model = sure_model("modern")
    alone = [ids_of(Engine(model).submit(request)) for request in requests()]
    with Background(Engine(model, streams=3)) as engine, ThreadPoolExecutor(8) as pool:
        together = list(pool.map(lambda request: ids_of(engine.submit(request)), requests()))  # type: ignore[arg-type]
        forgotten = engine.submit(Request([1], max_tokens=1_000_000))
        next(forgotten)
    assert together == alone
    assert list(forgotten) is not None and forgotten.finish_reason == "cancelled"
