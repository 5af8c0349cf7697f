"""GPUs: the peak rates of their data sheets, and what PyTorch has to be told before it computes on one.

Nothing here has run on a GPU so far: the tests hold it to devices that are described, not to ones that are there.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch

# Dense matrix products by NVIDIA's data sheets, in 10^12 operations a second: in bfloat16 with float32 sums, and
# of float32 matrices (in TF32 from Ampere on). None: no units for bfloat16; homespun then trains in float32.
# Figures "with sparsity" are twice these.
PEAKS: dict[str, tuple[float | None, float]] = {
    "B200": (2250.0, 1125.0),
    "GH200": (989.0, 494.5),
    "H200": (989.0, 494.5),
    "H100": (989.0, 494.5),
    "H100 PCIe": (756.0, 378.0),
    "H100 NVL": (835.0, 417.5),
    "A100": (312.0, 156.0),
    "A30": (165.0, 82.0),
    "A10": (125.0, 62.5),
    "A10G": (70.0, 35.0),
    "L40S": (362.0, 183.0),
    "L40": (181.0, 90.5),
    "L4": (121.0, 60.0),
    "RTX 5090": (209.5, 104.8),
    "RTX 4090": (165.2, 82.6),
    "RTX 4080": (97.5, 48.7),
    "RTX 3090": (71.0, 35.6),
    "RTX 3060": (25.6, 12.8),
    "RTX A6000": (154.8, 77.4),
    "V100": (None, 15.7),
    "T4": (None, 8.1),  # 65 in float16, in which homespun does not train
}


def peak_flops(name: str, dtype: str) -> float:
    """Floating-point operations a second that a GPU of that name can do in dense products; 0 where unknown.

    The longest name that is a part of it counts: an H100 PCIe is slower than an H100.

    >>> peak_flops("NVIDIA H200", "bfloat16"), peak_flops("NVIDIA H100 PCIe", "bfloat16")
    (989000000000000.0, 756000000000000.0)
    >>> peak_flops("Tesla T4", "bfloat16"), peak_flops("Tesla T4", "float32"), peak_flops("an AMD", "float32")
    (0.0, 8100000000000.0, 0.0)
    """
    found = [known for known in PEAKS if re.search(rf"(?<![A-Z0-9]){known}(?![A-Z0-9])", name)]
    if not found:
        return 0.0
    rate = PEAKS[max(found, key=len)][0 if dtype == "bfloat16" else 1]
    return 1e12 * (rate or 0.0)


def accelerator_name(device: torch.device | str) -> str:
    """The name of a GPU as its driver gives it; empty for a CPU, and on a Mac."""
    import torch

    return torch.cuda.get_device_name(device) if torch.device(device).type == "cuda" else ""


def peak_of(device: torch.device | str, dtype: str) -> float:
    """`peak_flops` of a device; 0 for a CPU, whose peak no data sheet names."""
    return peak_flops(accelerator_name(device), dtype)


def use_tensor_cores(device: torch.device | str) -> None:
    """Compute products of float32 matrices in TF32 on that GPU from here on: float32 with 10 bits of fraction.

    Training converges the same, several times as fast. Nothing changes for a CPU. What generates text does not
    ask for it: there a float32 model is computed in float32.
    """
    import torch

    if torch.device(device).type == "cuda":
        torch.backends.cuda.matmul.allow_tf32 = True
        torch.backends.cudnn.allow_tf32 = True


def wait_for(device: torch.device | str) -> None:
    """Wait until the device has computed what it was given: before a clock is read."""
    import torch

    kind = torch.device(device).type
    if kind == "cuda":
        torch.cuda.synchronize(device)
    elif kind == "mps":
        torch.mps.synchronize()


def peak_memory_on(device: torch.device | str) -> int:
    """Peak bytes that this process has taken on a GPU; 0 elsewhere."""
    import torch

    return torch.cuda.max_memory_allocated(device) if torch.device(device).type == "cuda" else 0
