"""What all of these scripts take, print and write."""

from __future__ import annotations

import argparse
import json
import platform
import re
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from homespun.machine.accelerator import accelerator_name, use_tensor_cores, wait_for
from homespun.machine.device import choose_device, processor_name

RESULTS = Path(__file__).parents[1] / "results"
Row = dict[str, Any]


@dataclass(frozen=True)
class Asked:
    """device: where it runs. tiny: on models of nothing. results: the folder to write to."""

    device: torch.device
    tiny: bool
    results: Path

    def pick(self, usual: Any, tiny: Any) -> Any:
        return tiny if self.tiny else usual


def asked(about: str | None, arguments: Sequence[str] | None = None) -> Asked:
    parser = argparse.ArgumentParser(description=about)
    parser.add_argument("--device", help="cuda, cuda:1, … [default: cuda; with --tiny: cpu]")
    parser.add_argument("--tiny", action="store_true", help="models of nothing, to try the script itself")
    parser.add_argument("--results", type=Path, default=RESULTS, help="where the results go")
    given = parser.parse_args(arguments)
    device = choose_device(given.device or ("cpu" if given.tiny else "cuda"))  # raises where there is none
    use_tensor_cores(device)
    return Asked(device, given.tiny, given.results)


def kind_of(device: torch.device) -> str:
    """The folder of a device's results: "nvidia-h200"."""
    name = accelerator_name(device) or device.type
    return re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")


def finish(wanted: Asked, name: str, rows: list[Row], **facts: Any) -> Path:
    """Print the rows as a table and write them; returns the file."""
    print(table(rows))
    folder = wanted.results / kind_of(wanted.device)
    folder.mkdir(parents=True, exist_ok=True)
    machine = {
        "device": accelerator_name(wanted.device) or wanted.device.type,
        "processor": processor_name(),
        "torch": torch.__version__,
        "python": platform.python_version(),
        "date": time.strftime("%Y-%m-%d"),
    }
    path = folder / f"{name}.json"
    content = {"name": name, "tiny": wanted.tiny, "machine": machine, "rows": rows, **facts}
    path.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
    return path


def table(rows: list[Row]) -> str:
    """Rows of the same columns, as text.

    >>> print(table([{"side": "ours", "tokens/s": 1234.5}, {"side": "theirs", "tokens/s": None}]))
    side    tokens/s
    ours    1,234
    theirs  -
    """
    names = list(rows[0]) if rows else []
    cells = [names] + [[shown(row[name]) for name in names] for row in rows]
    widths = [max(len(line[column]) for line in cells) for column in range(len(names))]
    return "\n".join(
        "  ".join(f"{cell:{width}}" for cell, width in zip(line, widths, strict=True)).rstrip() for line in cells
    )


def shown(value: Any) -> str:
    if value is None:
        return "-"
    if isinstance(value, float):
        return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.4g}"
    return str(value)


def seconds_of(work: Callable[[], Any], device: torch.device, times: int, warmup: int = 3) -> float:
    """Seconds of `work`, the mean of `times` in a row, which the device is not waited for in between."""
    for _ in range(warmup):
        work()
    wait_for(device)
    began = time.perf_counter()
    for _ in range(times):
        work()
    wait_for(device)
    return (time.perf_counter() - began) / times
