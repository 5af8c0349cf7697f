"""Plans for a GPU that is described and not there: its memory, its speed, what it computes at once."""

from __future__ import annotations

from dataclasses import replace

import pytest

from homespun.errors import TrainingError
from homespun.model.config import GPTConfig
from homespun.planning.cost import Speed, utilisation, work_of_a_step
from homespun.planning.facts import Facts, kind_of
from homespun.planning.memory import SHARE, bytes_of_a_step, micro_batches_that_fit
from homespun.planning.planner import Wishes, decide

GPT2 = GPTConfig.of("gpt2", vocab_size=50257, context_length=1024, n_layer=12, n_head=12, n_embd=768)

# Of an H200 at 40% of its peak, with a third of its 4.8 TB/s for elementwise operations: assumed, not measured.
H200 = Speed(product=1 / 400e12, number=4 / 1.6e12, start=1.5e-4)
FACTS = Facts(
    train_tokens=1_003_854,
    val_tokens=111_540,
    vocab_size=65,
    device="cuda",
    dtype="bfloat16",
    can_compile=True,
    speed=H200,
    compiled_speed=Speed(H200.product, 0.4 * H200.number, 0.2 * H200.start),
    memory=150 * 10**9,
    memory_free=140 * 10**9,
)


def wishes(**more: object) -> Wishes:
    return Wishes(text=("shakespeare",), tokenizer="char", **more)  # type: ignore[arg-type]


def test_a_faster_device_trains_a_larger_model_in_the_same_time() -> None:
    cpu = replace(
        FACTS,
        device="cpu",
        dtype="float32",
        speed=Speed(1 / 150e9, 4e-10, 2e-3),
        compiled_speed=None,
        can_compile=False,
        memory=8 * 10**9,
        memory_free=6 * 10**9,
    )
    slow, fast = decide(wishes(minutes=1.0), cpu), decide(wishes(minutes=1.0), FACTS)
    assert fast.device == "cuda" and fast.dtype == "bfloat16"
    config = [plan.config(65).number_of_parameters() for plan in (slow, fast)]
    assert config[1] > 2 * config[0]


def test_a_large_vocabulary_costs_a_gpu_no_memory_for_logits() -> None:
    one, two = (bytes_of_a_step(GPT2, sequences, "cuda") for sequences in (1, 2))
    assert two - one < GPT2.memory(2) - GPT2.memory(1) - 1024 * 4 * 50257
    narrow = GPT2.with_(vocab_size=65)
    assert bytes_of_a_step(narrow, 1, "cuda") < one  # but a chunk of them is there
    assert bytes_of_a_step(narrow, 1, "cpu") == narrow.memory(1)


@pytest.mark.parametrize("gigabytes", [16, 24, 80, 140])
def test_micro_batches_fill_the_device_and_no_more(gigabytes: int) -> None:
    free = gigabytes * 10**9
    parts = micro_batches_that_fit(GPT2, 512, free, device="cuda")
    assert bytes_of_a_step(GPT2, 512 // parts, "cuda") <= SHARE * free
    assert parts == 1 or bytes_of_a_step(GPT2, 512 // (parts // 2), "cuda") > SHARE * free


def test_a_model_that_no_gpu_of_that_size_trains_is_refused_with_what_it_takes() -> None:
    with pytest.raises(TrainingError, match=r"about 5\.\d GB .* and 2\.0 GB are free"):
        micro_batches_that_fit(GPT2, 8, 2 * 10**9, 2 * 10**9, "cuda")


def test_utilisation_counts_what_the_formula_counts() -> None:
    weights = 12 * (4 * 768**2 + 2 * 768 * 3072) + 768 * 50257
    flops = 6 * weights + 12 * 12 * 1024 * 768
    assert utilisation(GPT2, 1e6, 1e15) == pytest.approx(flops * 1e6 / 1e15)
    assert utilisation(GPT2, 1e6, 0.0) == 0.0


def test_a_step_in_the_cost_model_takes_at_least_its_products() -> None:
    work = work_of_a_step(GPT2, 64, "adamw")
    assert H200.seconds(work) > 64 * 1024 * GPT2.flops_per_token(training=True) / 400e12


def test_the_number_of_a_device_is_not_its_kind() -> None:
    assert (kind_of("cuda:1"), kind_of("mps"), kind_of("cpu")) == ("cuda", "mps", "cpu")
