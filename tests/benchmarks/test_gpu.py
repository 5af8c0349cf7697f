"""Every script about a GPU runs on the CPU, on models of nothing, and leaves a whole result."""

from __future__ import annotations

import json
from importlib import import_module
from pathlib import Path

import pytest

from benchmarks.gpu.result import kind_of, table
from homespun.errors import DeviceError

QUICK = ("throughput", "decoding")
NAMES = [*QUICK, *(pytest.param(name, marks=pytest.mark.slow) for name in ("selftest", "recipe", "lora"))]


@pytest.mark.parametrize("name", NAMES)
def test_its_smallest_form_runs_on_a_cpu(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    if name == "lora":
        pytest.importorskip("peft")
    assert import_module(f"benchmarks.gpu.{name}").main(["--tiny", "--results", str(tmp_path)]) == 0
    found = json.loads((tmp_path / "cpu" / f"{name}.json").read_text(encoding="utf-8"))
    assert found["name"] == name and found["tiny"] and found["machine"]["device"] == "cpu"
    assert found["rows"] and all(row.keys() == found["rows"][0].keys() for row in found["rows"])
    assert table(found["rows"]) in capsys.readouterr().out


def test_without_a_gpu_it_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    with pytest.raises(DeviceError, match="no CUDA GPU"):
        import_module("benchmarks.gpu.throughput").main([])


def test_results_are_kept_by_the_name_of_the_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("benchmarks.gpu.result.accelerator_name", lambda device: "NVIDIA H100 80GB HBM3")
    assert kind_of("cuda") == "nvidia-h100-80gb-hbm3"  # type: ignore[arg-type]
