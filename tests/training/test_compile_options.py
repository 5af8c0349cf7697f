"""How a GPU's step is compiled; that a GPU is there is pretended, and what fails is answered by a simpler way."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from homespun.dataset.batches import Batches
from homespun.dataset.preparation import Dataset
from homespun.machine.device import compiler_failures
from homespun.model.gpt import build
from homespun.training import compiled as compiled_module
from homespun.training.compile_options import (
    passes_of_a_trial,
    records_graph,
    suits_cuda_graphs,
    ways_to_compile,
)
from homespun.training.compiled import CompiledForward
from homespun.training.objective import autocast_of
from homespun.training.watcher import Watcher
from tests.training.conftest import small_plan

GRAPH = {"triton.cudagraphs": True}


def test_a_small_model_on_a_gpu_is_recorded_as_a_graph_and_a_large_one_is_tuned(dataset: Dataset) -> None:
    plan = small_plan(dataset, device="cuda")
    assert ways_to_compile(plan, 10_000_000) == [GRAPH, {}]
    assert ways_to_compile(plan, 124_000_000) == [{"max_autotune": True}, {}]
    assert ways_to_compile(small_plan(dataset), 10_000_000) == [{}]
    assert passes_of_a_trial(GRAPH) == 3 and passes_of_a_trial({}) == 1


def test_a_step_in_micro_batches_is_no_graph(dataset: Dataset) -> None:
    assert not suits_cuda_graphs(small_plan(dataset, device="cuda", micro_batches=2), 1000)


def test_with_dropout_every_way_draws_as_the_model_does(dataset: Dataset) -> None:
    for device in ("cpu", "cuda"):
        ways = ways_to_compile(small_plan(dataset, device=device, dropout=0.1), 1000)
        assert all(options["fallback_random"] for options in ways)


@pytest.fixture
def forward(dataset: Dataset, monkeypatch: pytest.MonkeyPatch) -> CompiledForward:
    """Of a model on the CPU, whose step is compiled as a GPU's is."""
    monkeypatch.setattr(compiled_module, "ways_to_compile", lambda plan, parameters: [GRAPH, {}])
    monkeypatch.setattr(compiled_module, "import_compiler", lambda: None)
    monkeypatch.setattr(compiled_module, "remember", lambda plan, vocab_size: None)
    plan = small_plan(dataset, compile=True)
    torch.manual_seed(0)
    model = build(plan.config(dataset.vocab_size))
    example = Batches(dataset.train.ids, plan.batch_size, plan.context_length, plan.seed)[0]
    return CompiledForward(model, dataset.vocab_size, example, autocast=autocast_of(plan), watcher=Watcher())


def compiling(fails: bool) -> Any:
    """A torch.compile that takes graphs, or does not."""

    def compiled(model: torch.nn.Module, *, options: dict[str, Any] | None, **how: Any) -> Any:
        def compute(*batch: torch.Tensor) -> Any:
            if fails and records_graph(options or {}):
                raise compiler_failures()[0]("no graphs on this device")
            return model(*batch)

        return compute

    return compiled


def test_where_graphs_fail_the_step_is_compiled_without(
    forward: CompiledForward, dataset: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch, "compile", compiling(fails=True))
    assert forward.compile(small_plan(dataset, compile=True))
    assert forward.is_compiled and not forward.has_graph


def test_a_graph_is_told_where_a_step_begins_and_given_up_for_micro_batches(
    forward: CompiledForward, dataset: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    marks: list[int] = []
    monkeypatch.setattr(torch.compiler, "cudagraph_mark_step_begin", lambda: marks.append(1))
    monkeypatch.setattr(torch, "compile", compiling(fails=False))
    plan = small_plan(dataset, compile=True)
    assert forward.compile(plan) and forward.has_graph
    assert len(marks) == 2  # of three passes of the trial
    forward(*forward.example)
    assert len(marks) == 3
    forward.prepare(plan.with_(micro_batches=2), step=5)
    assert forward.is_compiled and not forward.has_graph


def test_another_process_compiles_only_where_the_device_has_room_for_it(
    forward: CompiledForward, dataset: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = small_plan(dataset, compile=True)
    assert forward.has_room_beside(plan)  # a CPU
    one = plan.config(dataset.vocab_size).memory(plan.batch_size)
    forward.device = torch.device("cuda")
    for free, room in ((2 * one, False), (3 * one, True)):
        forward.room_beside = None
        monkeypatch.setattr(compiled_module, "memory_free", lambda device, free=free: free)
        assert forward.has_room_beside(plan) == room
