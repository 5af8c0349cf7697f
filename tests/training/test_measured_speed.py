"""How the speed of a GPU is measured, where one is pretended: by shapes that keep it busy, each GPU by itself."""

from __future__ import annotations

from typing import Any

import pytest

from homespun.model.config import GPTConfig
from homespun.planning.cost import Speed, Work, work_of_a_step
from homespun.training import measured_speed as module
from homespun.training.measured_speed import Memory, compiled, compiled_way, measured_speed

GPU = Speed(product=1 / 400e12, number=4 / 1.6e12, start=1.5e-4)


def test_the_speed_of_a_gpu_comes_out_of_the_times_of_its_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    shapes: list[GPTConfig] = []

    def seconds(config: GPTConfig, sequences: int, *others: Any, **more: Any) -> float:
        shapes.append(config)
        return GPU.seconds(work_of_a_step(config, sequences))

    monkeypatch.setattr(module, "seconds_of_a_step", seconds)
    found = measured_speed("cuda", "bfloat16")
    assert (found.product, found.number, found.start) == pytest.approx(
        (GPU.product, GPU.number, GPU.start), rel=1e-3
    )
    assert max(shape.n_embd for shape in shapes) == 1024
    shapes.clear()
    measured_speed("cpu", "float32")
    assert max(shape.n_embd for shape in shapes) == 512  # what a processor computes in a second


def test_each_shape_is_about_one_part_of_the_time() -> None:
    products, numbers, starts = (
        work_of_a_step(size.config("modern", 128), size.batch_size) for size in module.SHAPES_ON_GPU
    )

    def share(work: Work, part: str) -> float:
        own = {"products": GPU.product, "numbers": GPU.number, "starts": GPU.start}[part] * getattr(work, part)
        return own / GPU.seconds(work)

    assert share(products, "products") > share(numbers, "products")
    assert share(numbers, "numbers") > 0.5 and share(starts, "starts") > 0.8


def test_a_compiled_step_on_a_gpu_launches_less_and_multiplies_as_fast() -> None:
    assert compiled_way("cuda:0", "bfloat16") == "compiled on GPU"
    faster = compiled(GPU, "compiled on GPU")
    assert faster.product == GPU.product and faster.start < GPU.start and faster.number < GPU.number


def test_what_was_measured_on_one_gpu_is_not_believed_of_another(monkeypatch: pytest.MonkeyPatch) -> None:
    keys = set()
    for name in ("NVIDIA H200", "NVIDIA L4"):
        monkeypatch.setattr(module, "accelerator_name", lambda device, name=name: name)
        keys.add(Memory("cuda", "bfloat16").key)
    assert len(keys) == 2
