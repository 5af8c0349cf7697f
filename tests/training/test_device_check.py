"""The doctor's comparison of a device with the processor. The device of these tests is the processor itself."""

from __future__ import annotations

import pytest
import torch

from homespun.machine.device import Machine
from homespun.training import device_check
from homespun.training.device_check import DeviceCheck, attention_agreement, check_device, copy_rate, losses

CPU = torch.device("cpu")


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_device_that_computes_right_passes(dtype: torch.dtype, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(device_check, "copy_rate", lambda device: 1e9)
    found = check_device(CPU, dtype)
    assert found.passed and found.attention > 0.999 and found.steps == 5
    assert found.loss_error < 0.01


def test_the_steps_that_are_compared_learn() -> None:
    seen = losses(CPU, torch.float32)
    assert len(seen) == 6 and seen[-1] < 0.9 * seen[0]


def test_attention_that_sees_the_future_does_not_pass(monkeypatch: pytest.MonkeyPatch) -> None:
    def everything(q, k, v, scale):  # type: ignore[no-untyped-def]
        return torch.nn.functional.scaled_dot_product_attention(q, k, v, scale=scale, enable_gqa=True)

    monkeypatch.setattr(device_check, "attend_fused", everything)
    assert not DeviceCheck(attention_agreement(CPU, torch.float32), 5, 0.0, 1.0).passed


def test_a_loss_that_is_no_number_does_not_pass(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(device_check, "copy_rate", lambda device: 1e9)
    monkeypatch.setattr(
        device_check, "losses", lambda device, dtype: [2.0 if dtype == torch.float32 else float("nan")]
    )
    assert not check_device(CPU, torch.bfloat16).passed


def test_copying_is_timed() -> None:
    assert copy_rate(CPU, 2**20) > 1e6


def test_the_doctor_shows_what_it_found_on_a_gpu(capsys: pytest.CaptureFixture[str]) -> None:
    from pathlib import Path

    from homespun.cli.doctor import Report, as_object, show, verdict
    from homespun.kernels.selfcheck import CompileCheck, ModelCheck

    machine = Machine(
        system="Linux",
        processor="a processor",
        cores=16,
        memory=128 * 10**9,
        memory_free=100 * 10**9,
        python="3.11",
        torch="2.13",
        device="cuda",
        accelerator="NVIDIA H200",
        dtype="bfloat16",
        matrix_units=(),
        compiler=None,
    )
    report = Report(
        machine=machine,
        cache=Path("cache"),
        disk_free=10**12,
        extras={},
        check=ModelCheck("bfloat16", 0.001, 0.9999, True),
        compiling=CompileCheck(True, "in 20 s"),
        rates={"float32": 400e12, "bfloat16": 700e12},
        on_device=DeviceCheck(0.9998, 5, 0.004, 4.1e12),
    )
    assert report.passed
    show(report)
    said = capsys.readouterr().out
    assert "71% of the 989 TFLOP/s" in said and "4,100 GB/s" in said and "0.40% apart" in said
    assert as_object(report)["on_device"] == report.on_device
    wrong = Report(**{**vars(report), "on_device": DeviceCheck(0.5, 5, 0.004, 4.1e12)})
    assert not wrong.passed and any("self-test failed" in line for line in verdict(wrong))
