"""What the GPU computes, held against the processor; resume there, and of a run that a CPU began."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import Any

import homespun
from benchmarks.gpu.result import Asked, Row, asked, finish
from homespun.kernels.selfcheck import check_compiled, check_model
from homespun.machine.device import choose_dtype
from homespun.training.device_check import check_device
from homespun.training.watcher import Record, Watcher

TINY: dict[str, Any] = {"n_layer": 1, "n_head": 1, "n_embd": 32, "context_length": 16, "batch_size": 4}


class StopAt(Watcher):
    """Interrupts the run at an evaluation, as Ctrl-C does; None never."""

    def __init__(self, step: int | None) -> None:
        self.step = step

    def evaluated(self, record: Record, best: bool) -> None:
        if record.step == self.step:
            import signal

            signal.raise_signal(signal.SIGINT)


def text_of(folder: Path, wanted: Asked) -> str:
    """Python source that is found on every machine; a little of it."""
    source = "".join(path.read_text(encoding="utf-8") for path in sorted(Path(json.__file__).parent.glob("*.py")))
    path = folder / "source.txt"
    path.write_text(source[: wanted.pick(None, 20_000)], encoding="utf-8")
    return str(path)


def trained(text: str, out: Path, device: str, steps: int, wanted: Asked, stop: int | None = None) -> list[Row]:
    """The lines of metrics.jsonl of a run, interrupted and resumed if `stop` says where."""
    settings = {"evaluate_every": max(1, steps // 4), "compile": False, **(TINY if wanted.tiny else {})}
    how: dict[str, Any] = {"steps": steps, "tokenizer": "char", "settings": settings, "device": device}
    homespun.train(text, out=out, watcher=StopAt(stop), **how)
    return metrics(out)


def metrics(out: Path) -> list[Row]:
    lines = (out / "metrics.jsonl").read_text(encoding="utf-8").splitlines()
    return [{part: row[part] for part in ("step", "train_loss", "val_loss")} for row in map(json.loads, lines)]


def apart(one: list[Row], other: list[Row]) -> float:
    return max(abs(a["val_loss"] - b["val_loss"]) for a, b in zip(one, other, strict=True))


def rows_of(wanted: Asked) -> list[Row]:
    device, dtype = wanted.device, choose_dtype("auto", wanted.device)
    rows: list[Row] = []

    def add(what: str, found: float | str, passed: bool) -> None:
        rows.append({"what": what, "found": found, "passed": passed})

    learning = check_model(device, dtype)
    add("loss of a small model, beside float32 on the CPU: share apart", learning.loss_error, learning.passed)
    check = check_device(device, dtype)
    add("attention without a mask: agreement", check.attention, check.attention_passed)
    add("five training steps: share of the loss apart", check.loss_error, check.steps_passed)
    add("memory copied: GB/s", check.bytes_per_second / 1e9, True)
    if not wanted.tiny:
        compiled = check_compiled(device, dtype)
        add("torch.compile", compiled.detail, compiled.works)
    with tempfile.TemporaryDirectory() as name:
        folder, steps = Path(name), wanted.pick(200, 8)
        text, half = text_of(folder, wanted), steps // 2
        whole = trained(text, folder / "whole", str(device), steps, wanted)
        trained(text, folder / "stopped", str(device), steps, wanted, stop=half)
        homespun.train(text, out=folder / "stopped", resume=True, watcher=Watcher())
        difference = apart(whole, metrics(folder / "stopped"))
        add("resumed there, beside a run that was not interrupted: nats apart", difference, difference <= 1e-3)
        trained(text, folder / "from-cpu", "cpu", steps, wanted, stop=half)
        homespun.train(text, out=folder / "from-cpu", resume=True, device=str(device), watcher=Watcher())
        difference = apart(whole, metrics(folder / "from-cpu"))
        add("begun by a CPU, resumed there: nats apart", difference, difference <= 0.05)
    return rows


def main(arguments: list[str] | None = None) -> int:
    wanted = asked(__doc__, arguments)
    rows = rows_of(wanted)
    finish(wanted, "selftest", rows)
    return 0 if all(row["passed"] for row in rows) else 1


if __name__ == "__main__":
    raise SystemExit(main())
