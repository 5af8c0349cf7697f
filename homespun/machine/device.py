"""What this machine can do: device, dtype, compiler, memory. Facts only; the plan makes the decisions.

torch is imported inside the functions, so that the command line starts without it.
"""

from __future__ import annotations

import contextlib
import getpass
import os
import platform
import re
import shutil
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from homespun.errors import DeviceError
from homespun.machine.accelerator import accelerator_name

if TYPE_CHECKING:
    import torch

# float16 is not supported: its small range needs loss scaling.
DTYPES = ("float32", "bfloat16")


@dataclass(frozen=True)
class Machine:
    """Facts about this machine. Memory in bytes; `dtype` is the dtype that training would use."""

    system: str
    processor: str
    cores: int
    memory: int
    memory_free: int
    python: str
    torch: str
    device: str
    accelerator: str | None
    dtype: str
    matrix_units: tuple[str, ...]
    compiler: str | None


def describe_machine(device: str = "auto") -> Machine:
    import psutil
    import torch

    chosen = choose_device(device)
    memory = psutil.virtual_memory()
    return Machine(
        system=f"{platform.system()} {platform.release()} {platform.machine()}",
        processor=processor_name(),
        cores=usable_cores(),
        memory=memory.total,
        memory_free=memory.available,
        python=platform.python_version(),
        torch=torch.__version__,
        device=str(chosen),
        accelerator=accelerator_name(chosen) or None,
        dtype=str(choose_dtype("auto", chosen)).removeprefix("torch."),
        matrix_units=matrix_units(),
        compiler=compiler(),
    )


def usable_cores() -> int:
    """Cores that this process may use: fewer than the machine has inside a container or under taskset."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def processor_name() -> str:
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.is_file():
        for line in cpuinfo.read_text(errors="replace").splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.processor() or platform.machine()


def choose_device(name: str = "auto") -> torch.device:
    """The device of that name; "auto" is a GPU if there is one that works, otherwise the CPU.

    Raises DeviceError if the name is unknown or the device is not available.
    """
    import torch

    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "mps" if has_mps() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise DeviceError(
            f"There is no device {name!r}.", "Take --device auto, cpu, cuda, cuda:1 or mps."
        ) from error
    if device.type not in ("cpu", "cuda", "mps"):
        raise DeviceError(f"homespun does not run on {name!r}.", "Take --device auto, cpu, cuda, cuda:1 or mps.")
    if device.type == "cuda" and not torch.cuda.is_available():
        raise DeviceError(
            "PyTorch sees no CUDA GPU here.", "Take --device cpu, or --device auto to let us choose."
        )
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise DeviceError(
            f"{name} is not there: this machine has {torch.cuda.device_count()} GPU(s), numbered from 0.",
            "Take --device cuda:0, or --device auto to let us choose.",
        )
    if device.type == "mps" and not has_mps():
        raise DeviceError("PyTorch cannot use Metal (mps) here.", "Take --device cpu.")
    return device


def has_mps() -> bool:
    import torch

    return torch.backends.mps.is_available()


def choose_dtype(name: str = "auto", device: torch.device | str = "cpu") -> torch.dtype:
    """The dtype of matrix products. Weights and their updates are always float32.

    "auto" is bfloat16 if the hardware multiplies in it. It halves the memory traffic, but
    where it is emulated it is many times slower than float32.
    """
    import torch

    if name != "auto":
        if name not in DTYPES:
            raise DeviceError(f"There is no dtype {name!r}.", f"The dtypes are: auto, {', '.join(DTYPES)}.")
        return getattr(torch, name)
    kind = torch.device(device).type
    if kind == "cuda":
        return torch.bfloat16 if torch.cuda.is_bf16_supported(including_emulation=False) else torch.float32
    if kind == "cpu":
        return torch.bfloat16 if matrix_units() else torch.float32
    return torch.float32


def matrix_units() -> tuple[str, ...]:
    """This processor's units for bfloat16 products: "amx_bf16", "avx512_bf16", "bf16" (Arm), or an empty tuple."""
    cpuinfo = Path("/proc/cpuinfo")
    if not cpuinfo.is_file():
        return ()
    flags: set[str] = set()
    for line in cpuinfo.read_text(errors="replace").splitlines():
        if line.startswith(("flags", "Features")):
            flags = set(line.split(":", 1)[1].split())
            break
    return tuple(unit for unit in ("amx_bf16", "avx512_bf16", "bf16") if unit in flags)


def autocast(
    device: torch.device | str, dtype: torch.dtype
) -> Callable[[], contextlib.AbstractContextManager[Any]]:
    """A function that returns contexts in which matrix products run in `dtype`; in float32 they do nothing."""
    import torch

    if dtype == torch.float32:
        return contextlib.nullcontext
    kind = torch.device(device).type
    return lambda: torch.autocast(kind, dtype=dtype)


def to_device(tensor: torch.Tensor, device: torch.device) -> torch.Tensor:
    """The tensor on that device. A copy to a GPU does not wait for what the GPU computes."""
    if device.type != "cuda" or tensor.device.type != "cpu":
        return tensor.to(device)
    pinned = tensor if tensor.is_pinned() else tensor.pin_memory()
    return pinned.to(device, non_blocking=True)


def memory_of(device: torch.device | str) -> int:
    """Bytes that the device has, whoever has taken them."""
    import psutil
    import torch

    if torch.device(device).type == "cuda":
        return torch.cuda.mem_get_info(device)[1]
    return psutil.virtual_memory().total


def memory_free(device: torch.device | str) -> int:
    """Bytes that are free on that device."""
    import psutil
    import torch

    if torch.device(device).type == "cuda":
        return torch.cuda.mem_get_info(device)[0]
    return psutil.virtual_memory().available


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error means out of memory. PyTorch has an exception for it on a GPU; on a CPU, only a message."""
    words = ("out of memory", "can't allocate memory")
    return isinstance(error, RuntimeError) and any(part in str(error) for part in words)


def compiler() -> str | None:
    """The C++ compiler that torch.compile would call on a CPU, or None."""
    for name in (os.environ.get("CXX"), "g++", "clang++", "c++"):
        if name and (path := shutil.which(name)):
            return path
    return None


def compiler_failures() -> tuple[type[BaseException], ...]:
    """The exceptions of torch.compile. Call this only after a failure: importing them takes a second or two."""
    from torch._dynamo.exc import TorchDynamoException
    from torch._inductor.exc import InductorError

    return TorchDynamoException, InductorError, OSError


def first_line(error: BaseException) -> str:
    text = str(error).strip()
    return text.splitlines()[0][:100] if text else type(error).__name__


def compile_cache() -> Path:
    """The folder where PyTorch stores compiled code.

    Asking PyTorch takes a second, because that loads its compiler. So if the user has not set a folder, this sets
    the one that PyTorch would choose.
    """
    if not os.environ.get("TORCHINDUCTOR_CACHE_DIR"):
        try:
            user = getpass.getuser()
        except (KeyError, ImportError, OSError):  # a user without a name, as in a container
            user = str(os.getuid()) if hasattr(os, "getuid") else "unknown"
        name = "torchinductor_" + re.sub(r'[\\/:*?"<>|]', "_", user)
        os.environ["TORCHINDUCTOR_CACHE_DIR"] = str(Path(tempfile.gettempdir()) / name)
    return Path(os.environ["TORCHINDUCTOR_CACHE_DIR"])


def find_compile_cache(note: Callable[[str], None]) -> None:
    """Make sure that PyTorch can store compiled code: without a folder its compiler does not even load."""
    folder = os.environ.get("TORCHINDUCTOR_CACHE_DIR")
    if folder is None:
        return  # PyTorch then uses a temporary folder
    try:
        Path(folder).mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            return
    except OSError as error:
        instead = tempfile.mkdtemp(prefix="homespun-compiled-")
        os.environ["TORCHINDUCTOR_CACHE_DIR"] = instead
        note(f"TORCHINDUCTOR_CACHE_DIR cannot be used ({error.strerror}); compiled code goes to {instead}")
