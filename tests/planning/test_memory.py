from __future__ import annotations

import subprocess
import sys

import pytest

from homespun.errors import TrainingError
from homespun.model.config import BigramConfig, GPTConfig
from homespun.planning.facts import Facts
from homespun.planning.memory import SHARE, bytes_of_a_run, micro_batches_that_fit, something_smaller
from homespun.planning.planner import Wishes, decide
from homespun.planning.tuning_plan import TuningPlan
from homespun.training.loop import more_micro_batches
from tests.patience import PATIENCE

MEASURE = """
import re, sys, torch
from homespun.model.config import GPTConfig
from homespun.model.gpt import build
from homespun.training.optimizer import Optimizers
torch.set_num_threads(1)
n_layer, n_head, n_embd, context, sequences, vocab = map(int, sys.argv[1:])
shape = dict(vocab_size=vocab, context_length=context, n_layer=n_layer, n_head=n_head, n_embd=n_embd)
def step(n):
    ids = torch.randint(vocab, (n, context))
    model = build(GPTConfig.of("modern", **shape))
    optimizers = Optimizers(model, kind="muon", learning_rate=1e-3, weight_decay=0.1, dtype=torch.float32)
    model(ids, ids)[1].backward()
    optimizers.step(1.0)
def peak():  # not ru_maxrss: a process inherits that from the one that started it
    return int(re.search(r"VmHWM:\\s+(\\d+) kB", open("/proc/self/status").read())[1])
small = dict(shape)
shape.update(n_layer=1, context_length=8, n_embd=16, n_head=1); context = 8
step(1)
before = peak()
shape.update(small); context = small["context_length"]
step(sequences)
print((peak() - before) * 1024)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="/proc says what a process has used at most")
@pytest.mark.parametrize("shape", [(4, 4, 128, 64, 96, 65), (5, 6, 192, 128, 32, 65), (2, 4, 128, 128, 32, 8192)])
def test_what_is_foretold_is_what_it_takes(shape: tuple[int, ...]) -> None:
    n_layer, n_head, n_embd, context, sequences, vocab = shape
    config = GPTConfig.of(
        "modern", vocab_size=vocab, context_length=context, n_layer=n_layer, n_head=n_head, n_embd=n_embd
    )
    # The peak of one and the same step varies by a fifth from process to process.
    taken = measured(shape)
    assert 0.6 < config.memory(sequences) / taken < 1.7
    assert 0.6 < bytes_of_a_run(config, sequences, compiled=False, dtype="float32") / taken < 1.7


def measured(shape: tuple[int, ...]) -> int:
    command = [sys.executable, "-c", MEASURE, *map(str, shape)]
    return int(subprocess.run(command, capture_output=True, text=True, check=True, timeout=PATIENCE).stdout)


def test_a_batch_is_computed_in_as_few_parts_as_fit() -> None:
    config = GPTConfig.of("modern", vocab_size=65, context_length=128, n_layer=5, n_head=6, n_embd=192)
    room = {parts: int(config.memory(32 // parts) / SHARE) + 1 for parts in (1, 2, 8)}
    for parts, free in room.items():
        assert micro_batches_that_fit(config, 32, free) == parts
    assert micro_batches_that_fit(config, 7, room[8]) == 7  # parts are equal, so 7 sequences are 1 or 7


def test_a_model_that_does_not_fit_is_refused_with_both_numbers() -> None:
    config = GPTConfig.of("modern", vocab_size=50_257, context_length=1024, n_layer=48, n_head=25, n_embd=1600)
    with pytest.raises(TrainingError, match=r"takes about \d\d\.\d GB .* and 8\.0 GB are free") as error:
        micro_batches_that_fit(config, 8, 8 * 10**9)
    assert "--size" in error.value.todo and "micro_batches=N" in error.value.todo


def test_memory_that_other_programs_have_at_the_moment_is_no_reason_to_refuse() -> None:
    config = GPTConfig.of("modern", vocab_size=65, context_length=128, n_layer=5, n_head=6, n_embd=192)
    assert micro_batches_that_fit(config, 32, 1000, 8 * 10**9) == 32
    with pytest.raises(TrainingError):
        micro_batches_that_fit(config, 32, 1000, 2000)


def test_the_plan_foresees_it_and_a_setting_wins() -> None:
    facts = Facts(train_tokens=10**7, val_tokens=10**6, vocab_size=65, memory_free=10**9)
    wishes = Wishes(text=("t",), tokenizer="char", size="small", steps=10)
    assert decide(wishes, facts).micro_batches > 1
    given = Wishes(text=("t",), tokenizer="char", size="small", steps=10, settings=(("micro_batches", 2),))
    assert decide(given, facts).micro_batches == 2


def test_a_bigram_is_its_table() -> None:
    assert BigramConfig(1000, 8).memory(1) == 16 * 10**6 + 12 * 8 * 1000


@pytest.mark.parametrize(
    ("shape", "size", "context"),
    [
        ({"n_layer": 48, "n_embd": 1600, "n_head": 25, "context_length": 1024}, True, "--context 512"),
        ({"n_layer": 4, "n_embd": 128, "n_head": 4, "context_length": 64}, False, "--context 32"),
        ({"n_layer": 1, "n_embd": 64, "n_head": 4, "context_length": 1}, False, ""),
    ],
)
def test_nothing_is_advised_that_is_so_already(shape: dict[str, int], size: bool, context: str) -> None:
    advice = something_smaller(GPTConfig.of("modern", vocab_size=200_000, **shape))
    assert ("--size nano" in advice) == size
    assert (context in advice if context else "--context" not in advice) and advice


def test_a_bigram_is_not_told_to_take_a_smaller_size() -> None:
    assert something_smaller(BigramConfig(vocab_size=16_000)) == "a tokenizer with fewer tokens"


def test_who_fine_tunes_is_told_of_an_option_that_there_is() -> None:
    shape = {"batch_size": 2, "micro_batches": 2, "context_length": 64}
    plan = TuningPlan(text=("t",), base="m", method="lora", steps=1, learning_rate=1e-3, warmup_steps=1, **shape)
    with pytest.raises(TrainingError) as error:
        more_micro_batches(plan)
    assert "--set context_length=32" in error.value.todo and "--size" not in error.value.todo
