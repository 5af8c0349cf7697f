"""Both steps compute what the model computes, whatever else stands beside it in the slots."""

from __future__ import annotations

import ctypes
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest
import torch
from torch import Tensor

from homespun.generation.engine import Engine
from homespun.generation.paged import ModelStep
from homespun.generation.request import Request
from homespun.generation.settings import KINDS
from homespun.kernels.decoding import native_step
from homespun.kernels.decoding.kernel import suits
from homespun.kernels.decoding.native_step import NativeStep, opened
from homespun.kernels.decoding.slots import DecodeStep, Slots
from homespun.kernels.decoding.source import STEP
from homespun.machine import builds as compiling
from homespun.machine.jobs import Job
from homespun.machine.thread_count import ThreadCount
from homespun.model.gpt import GPT
from tests.generation.models import CONTEXT, prompt_of, sure_model
from tests.model.shapes import FAMILY_NAMES as FAMILIES

MakeStep = Callable[..., DecodeStep]
SHAPES = [
    {},  # heads of ten numbers, in groups, a width that is no multiple of 16
    {"n_embd": 64, "head_width": None, "n_head": 2, "n_kv_head": None, "n_inner": 70},
    {"n_head": 6, "n_kv_head": 1, "n_layer": 1, "n_embd": 17, "head_width": 16},
]


@pytest.fixture(params=["torch", "native"])
def make(request: pytest.FixtureRequest) -> MakeStep:
    if request.param == "torch":
        return ModelStep
    library: ctypes.CDLL = request.getfixturevalue("native")
    return lambda model, kind, blocks: NativeStep(library, model, kind, blocks)


def model_of(family: str, shape: dict[str, int]) -> GPT:
    model = sure_model(family, **shape)
    assert isinstance(model, GPT)
    return model


def read_in_parts(step: DecodeStep, texts: list[list[int]], parts: list[int]) -> list[Tensor]:
    """The logits (T, V) of each text: all texts are read together, so many tokens at a time."""
    blocks = iter(range(step.blocks))
    tables = [[next(blocks) for _ in range(0, len(text), 16)][::-1] for text in texts]
    found: list[list[Tensor]] = [[] for _ in texts]
    at = 0
    for part in parts:
        slots = Slots()
        for text, table in zip(texts, tables, strict=True):
            slots.add(text[at : at + part], at, table, wants=False)
        slots.wanted = list(range(len(slots.ids)))
        for place, logits in enumerate(step.logits(slots).split(part)):
            found[place].append(logits.clone())
        at += part
    return [torch.cat(logits) for logits in found]


def expected(model: GPT, text: list[int]) -> Tensor:
    with torch.no_grad():
        return model(torch.tensor([text]))[0][0].log_softmax(-1)


@pytest.mark.parametrize("shape", SHAPES, ids=["grouped", "wide", "one key head"])
@pytest.mark.parametrize("family", FAMILIES)
def test_a_step_gives_the_models_log_probabilities(make: MakeStep, family: str, shape: dict[str, int]) -> None:
    if family == "gpt2":
        shape = {**shape, "n_kv_head": None}
    model = model_of(family, shape)
    texts = [prompt_of(CONTEXT, seed=seed) for seed in range(3)]
    for parts in ([CONTEXT], [17, 1, 1, 14, 7], [1] * CONTEXT):
        for text, logits in zip(texts, read_in_parts(make(model, "float32", 9), texts, parts), strict=True):
            torch.testing.assert_close(logits.log_softmax(-1), expected(model, text), atol=1e-4, rtol=0)


# What other people's models have beside ours. Texts are longer than a window, and a window ends within a block.
OPENED: dict[str, dict[str, Any]] = {
    "gemma3": {"n_layer": 3, "n_kv_head": 1, "layers": ("local", "global"), "window": 10, "local_base": 50.0},
    "mistral": {"n_kv_head": 2, "layers": ("local",), "window": 19},
    "smollm3": {"n_layer": 5},
    "granite": {
        "n_kv_head": 2,
        "embedding_scale": 3.0,
        "attention_scale": 0.4,
        "residual_scale": 0.3,
        "logit_scale": 0.25,
    },
    "phi3": {"rotary_width": 6},
    "modern": {"norm_place": "after"},
}


@pytest.mark.parametrize("family", OPENED)
def test_the_compiled_step_computes_what_other_models_have(native: ctypes.CDLL, family: str) -> None:
    model = model_of(family, OPENED[family])
    assert suits(model, "float32")
    for weight in model.parameters():
        if weight.ndim == 1:
            torch.nn.init.normal_(weight, mean=0.7, std=0.3)
    texts = [prompt_of(CONTEXT, seed=seed) for seed in range(3)]
    for parts in ([CONTEXT], [17, 1, 1, 14, 7], [1] * CONTEXT):
        step = NativeStep(native, model, "float32", 9)
        for text, logits in zip(texts, read_in_parts(step, texts, parts), strict=True):
            torch.testing.assert_close(logits.log_softmax(-1), expected(model, text), atol=1e-4, rtol=0)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("family", FAMILIES)
def test_a_row_of_the_compiled_step_is_the_same_to_the_bit_whatever_stands_beside_it(
    native: ctypes.CDLL, family: str, kind: str
) -> None:
    model = model_of(family, {})
    texts = [prompt_of(CONTEXT, seed=seed) for seed in range(21)]  # more than a matrix unit takes at once
    alone = read_in_parts(NativeStep(native, model, kind, 3), texts[20:], [CONTEXT])[0]
    for parts in ([CONTEXT], [17, 1, 1, 14, 7]):
        together = read_in_parts(NativeStep(native, model, kind, 63), texts, parts)[20]
        assert torch.equal(together, alone)


def test_the_paged_cache_has_no_more_blocks_than_were_used() -> None:
    step = ModelStep(model_of("modern", {}), "float32", 1000)
    text = prompt_of(CONTEXT)
    found = []
    for begin, blocks in ((0, 4), (16, 8), (32, 40)):
        slots = Slots()
        slots.add(text[begin : begin + 16], begin, [3, 4, 39][: begin // 16 + 1], wants_all=True)
        found.append(step.logits(slots))
        assert all(len(keys) <= blocks for keys, _ in step.cache.layers.values())
    torch.testing.assert_close(
        torch.cat(found).log_softmax(-1), expected(model_of("modern", {}), text), atol=1e-4, rtol=0
    )


@pytest.mark.parametrize(("kind", "close"), [("bfloat16", 0.02), ("int8", 0.08)])
def test_rounded_weights_come_close(make: MakeStep, kind: str, close: float) -> None:
    model = model_of("modern", {})
    with torch.no_grad():
        for weight in model.parameters():
            weight.div_(3.0 if weight.ndim == 2 else 1.0)
    text = prompt_of(CONTEXT)
    found = read_in_parts(make(model, kind, 3), [text], [CONTEXT])[0].log_softmax(-1)
    difference = (found - expected(model, text)).abs().max()
    assert 0 < difference < close


@pytest.mark.parametrize("kind", KINDS)
def test_the_number_of_threads_changes_nothing(native: ctypes.CDLL, kind: str) -> None:
    model, texts = model_of("modern", {}), [prompt_of(CONTEXT, seed=seed) for seed in range(3)]
    before = torch.get_num_threads()
    found = []
    try:
        for threads in (1, 2, 3):
            torch.set_num_threads(threads)
            found.append(torch.stack(read_in_parts(NativeStep(native, model, kind, 9), texts, [30, 10])))
    finally:
        torch.set_num_threads(before)
    assert torch.equal(found[0], found[1]) and torch.equal(found[0], found[2])


def test_a_step_takes_the_number_of_threads_that_is_fastest_and_computes_the_same(
    native: ctypes.CDLL, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The clock goes on by a second for every thread of a step: as on a computer where others want the cores."""
    model, text = model_of("modern", {}), [prompt_of(CONTEXT)]
    alone = read_in_parts(NativeStep(native, model, "float32", 3), text, [1] * CONTEXT)
    used: list[int] = []

    class Slow:
        def __getattr__(self, name: str) -> Any:
            return getattr(native, name)

        def step(self, packed: Any, work: Any, threads: int) -> None:
            used.append(threads)
            native.step(packed, work, threads)

    monkeypatch.setattr(native_step, "check_contention", lambda: True)
    monkeypatch.setattr(
        native_step,
        "ThreadCount",
        lambda most: ThreadCount(most, clock=lambda: float(sum(used))),
    )
    before = torch.get_num_threads()
    torch.set_num_threads(4)
    try:
        beside = read_in_parts(NativeStep(Slow(), model, "float32", 3), text, [1] * CONTEXT)  # type: ignore[arg-type]
    finally:
        torch.set_num_threads(before)
    assert used[0] == 4 and used[-1] == 1
    assert torch.equal(alone[0], beside[0])


def test_a_machine_without_matrix_units_computes_nearly_the_same(tmp_path: Path, native: ctypes.CDLL) -> None:
    """Whole numbers add up to the same; products in bfloat16 are summed up in another order."""
    path, source = tmp_path / "plain.so", STEP.main
    compiler = compiling.compiler()
    assert compiler is not None
    command = [compiler, *compiling.ALWAYS, "-o", str(path), str(source), "-lm"]
    assert compiling.subprocess.run(command).returncode == 0
    plain = opened(path)
    assert plain is not None
    model, text = model_of("modern", {}), [prompt_of(CONTEXT)]
    for weight in model.parameters():
        if weight.ndim == 1:  # factors of one leave numbers in the middle between two units of int8
            torch.nn.init.normal_(weight, mean=1.0, std=0.2)
    for kind in KINDS:
        ours, theirs = (
            read_in_parts(NativeStep(library, model, kind, 3), text, [33, 7])[0].log_softmax(-1)
            for library in (native, plain)
        )
        torch.testing.assert_close(ours, theirs, atol=0.05, rtol=0)


def test_a_library_that_is_damaged_is_not_used(tmp_path: Path) -> None:
    path = tmp_path / "damaged.so"
    path.write_bytes(b"not a library")
    assert opened(path) is None


def test_without_a_compiler_there_is_no_library(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compiling, "compiler", lambda: None)
    assert STEP.library() is None


def test_a_compiler_that_fails_is_asked_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = tmp_path / "asked"
    script = tmp_path / "c++"
    script.write_text(f"#!/bin/sh\necho asked >> {asked}\nexit 1\n")
    script.chmod(0o755)
    monkeypatch.setattr(compiling, "compiler", lambda: str(script))
    assert STEP.library(wait=True) is None and STEP.library(wait=True) is None
    assert len(asked.read_text().splitlines()) == len(compiling.ATTEMPTS)


def test_the_library_is_compiled_beside_the_first_text_and_there_for_the_next(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    started: list[tuple[Path, Path]] = []
    monkeypatch.setattr(compiling, "leave_to_another", lambda *paths, in_haste: started.append(paths))
    if compiling.compiler() is None:
        pytest.skip("there is no compiler here")
    STEP.compile_beside()
    assert STEP.library() is None and len(started) == 1
    monkeypatch.setattr(compiling.sys, "argv", ["native", *map(str, started[0])])
    monkeypatch.setattr(compiling.os, "nice", lambda by: 0)
    monkeypatch.setattr(compiling, "end_with_standard_input", lambda: None)  # of this process
    compiling.main()
    assert STEP.library() == started[0][1]
    STEP.compile_beside()
    assert len(started) == 1


def test_who_waits_takes_what_a_process_of_its_own_has_begun(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if compiling.compiler() is None:
        pytest.skip("there is no compiler here")
    monkeypatch.undo()  # the process that compiles is looked at here
    monkeypatch.setenv("HOMESPUN_CACHE", str(tmp_path))
    source = tmp_path / "small.cpp"
    source.write_text('extern "C" int answer() { return 42; }')
    small = compiling.Source("small", tmp_path, (source.name,))
    small.compile_beside(in_haste=True)
    assert len(compiling.at_it) == 1
    monkeypatch.setattr(compiling, "make", lambda *_: pytest.fail("compiled twice"))
    path = small.library(wait=True)
    assert path is not None and ctypes.CDLL(str(path)).answer() == 42 and not compiling.at_it


def test_an_engine_has_it_made_when_it_would_have_been_worth_it(monkeypatch: pytest.MonkeyPatch) -> None:
    started: list[str] = []
    monkeypatch.setattr(compiling.Source, "library", lambda source, **how: None)
    monkeypatch.setattr(compiling.Source, "compile_beside", lambda source: started.append("compile"))
    monkeypatch.setattr("homespun.generation.engine.WORTH_COMPILING", 50)
    engine = Engine(model_of("modern", {}))
    for expected in ([], ["compile"], ["compile"]):
        list(engine.submit(Request([1], max_tokens=30)))
        assert started == expected


def test_what_is_not_in_haste_is_a_job_in_the_background_for_that_library(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.undo()  # the job is looked at here
    started: list[Job] = []
    monkeypatch.setattr(compiling, "at_it", [])
    monkeypatch.setattr(compiling, "start", started.append)
    path = tmp_path / "step-123.so"
    compiling.leave_to_another(STEP.main, path)
    (job,) = started
    assert job.kind == "step" and job.done == str(path) and not job.urgent and not job.heavy
    assert not compiling.at_it  # nobody waits for what waits until nobody trains


def test_two_that_need_a_library_at_once_make_it_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[Path] = []
    begun = threading.Event()

    def slowly(source: Path, path: Path) -> None:
        begun.set()
        made.append(path)
        time.sleep(0.1)
        path.write_text("library")

    monkeypatch.setattr(compiling, "make", slowly)
    path = tmp_path / "step.so"
    first = threading.Thread(target=compiling.make_once, args=(STEP.main, path))
    first.start()
    begun.wait()
    compiling.make_once(STEP.main, path)
    first.join()
    assert made == [path]


def test_of_a_compiler_that_is_given_up_nothing_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mark = tmp_path / "passes"
    script = (
        "import pathlib, subprocess; process = subprocess.Popen(['sleep', '600']); "
        f"pathlib.Path({str(mark)!r}).write_text(str(process.pid)); process.wait()"
    )
    monkeypatch.setattr(compiling, "LONGEST", 0.1)

    class UntilItHasBegun(subprocess.Popen):  # type: ignore[type-arg]
        def communicate(self, input: Any = None, timeout: float | None = None) -> Any:
            while not (mark.exists() and mark.read_text()):
                time.sleep(0.01)
            return super().communicate(input, timeout)

    monkeypatch.setattr(compiling.subprocess, "Popen", UntilItHasBegun)
    with pytest.raises(subprocess.TimeoutExpired):
        compiling.compiled([sys.executable, "-c", script])
    waited_until = time.monotonic() + 300  # by itself it goes on for 600: a signal takes its time to arrive
    while is_running(int(mark.read_text())) and time.monotonic() < waited_until:
        time.sleep(0.01)
    assert not is_running(int(mark.read_text()))


def is_running(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
