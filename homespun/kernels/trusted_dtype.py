"""Whether this machine computes right in what the plan would use: tried once, remembered, and believed.

A processor, a driver or a version of PyTorch may have a fast way that gives wrong numbers.
Training then runs, and learns nothing. So the fast way is held against float32 on the CPU
before it is used for the first time on a machine and with a version.
"""

from __future__ import annotations

import hashlib
import json
import platform
from collections.abc import Callable

import torch

from homespun.errors import WriteFailed
from homespun.fetch.cache import cache_folder
from homespun.kernels.selfcheck import ModelCheck, check_model
from homespun.machine.accelerator import accelerator_name
from homespun.machine.atomic import write_json
from homespun.machine.device import processor_name


def trusted_dtype(device: str, dtype: str, note: Callable[[str], None]) -> str:
    """`dtype` where a small model learns right in it on `device`, else float32, with a note that says so."""
    if dtype == "float32" and torch.device(device).type == "cpu":
        return dtype  # that is what the others are held against
    if passes(device, dtype):
        return dtype
    note(f"{dtype} on {device} computes wrongly here (homespun doctor shows it); training is in float32")
    return "float32"


def passes(device: str, dtype: str) -> bool:
    """The remembered result of the test, or a new one where there is none for this machine and version."""
    facts = [processor_name(), platform.machine(), torch.__version__, device, accelerator_name(device), dtype]
    name = hashlib.sha256(json.dumps(facts).encode()).hexdigest()[:24]
    try:
        path = cache_folder("selftests") / f"{name}.json"
        remembered = json.loads(path.read_text(encoding="utf-8"))
        if isinstance(remembered, dict) and isinstance(remembered.get("passed"), bool):
            return remembered["passed"]
    except WriteFailed:
        return check(device, dtype).passed  # no cache folder: nothing can be remembered
    except (OSError, ValueError):
        remembered = None  # the first time here, or damaged
    result = check(device, dtype)
    try:
        write_json(path, {"passed": result.passed, "loss_error": result.loss_error, "facts": facts})
    except (WriteFailed, ValueError):  # ValueError: a loss that is not a number has no JSON
        return result.passed
    return result.passed


def check(device: str, dtype: str) -> ModelCheck:
    return check_model(torch.device(device), getattr(torch, dtype))
