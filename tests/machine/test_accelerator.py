from __future__ import annotations

import pytest
import torch

from homespun.machine.accelerator import PEAKS, peak_flops, peak_memory_on, peak_of, use_tensor_cores, wait_for


@pytest.mark.parametrize(
    ("name", "dtype", "tera"),
    [
        ("NVIDIA A100-SXM4-80GB", "bfloat16", 312),
        ("NVIDIA H100 80GB HBM3", "bfloat16", 989),
        ("NVIDIA H100 PCIe", "bfloat16", 756),
        ("NVIDIA GH200 480GB", "bfloat16", 989),
        ("NVIDIA H200", "float32", 494.5),
        ("NVIDIA GeForce RTX 4090", "bfloat16", 165.2),
        ("NVIDIA GeForce RTX 3060 Laptop GPU", "bfloat16", 25.6),
        ("NVIDIA L4", "bfloat16", 121),
        ("NVIDIA L40", "bfloat16", 181),
        ("NVIDIA L40S", "bfloat16", 362),
        ("NVIDIA A10G", "bfloat16", 70),
        ("Tesla T4", "float32", 8.1),
    ],
)
def test_a_gpu_is_known_by_the_name_that_its_driver_gives(name: str, dtype: str, tera: float) -> None:
    assert peak_flops(name, dtype) == pytest.approx(tera * 1e12)


def test_no_peak_is_guessed() -> None:
    assert peak_flops("AMD Instinct MI300X", "bfloat16") == 0
    assert peak_flops("NVIDIA L400", "bfloat16") == 0
    assert peak_flops("Tesla V100-SXM2-16GB", "bfloat16") == 0  # no units for bfloat16
    assert peak_of("cpu", "float32") == 0


def test_float32_products_on_tensor_cores_have_half_the_rate_of_bfloat16() -> None:
    for name, (half, single) in PEAKS.items():
        assert half is None or single == pytest.approx(half / 2, rel=0.02), name


def test_a_cpu_needs_no_telling_and_no_waiting() -> None:
    before = torch.backends.cuda.matmul.allow_tf32
    use_tensor_cores("cpu")
    wait_for("cpu")
    assert torch.backends.cuda.matmul.allow_tf32 == before
    assert peak_memory_on("cpu") == 0


def test_training_on_a_gpu_asks_for_tf32() -> None:
    before = torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32
    try:
        torch.backends.cuda.matmul.allow_tf32 = False
        use_tensor_cores("cuda:0")
        assert torch.backends.cuda.matmul.allow_tf32
    finally:
        torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32 = before
