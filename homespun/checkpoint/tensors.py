"""Tensors in safetensors files: numbers with names and shapes, and no code that could run.

The format (https://huggingface.co/docs/safetensors) is eight bytes with the length of a
JSON header, the header, and the numbers. The library reads it and checks every offset.
Writing is done here, one tensor at a time: a copy of the whole model never has to fit
into memory, and a full disk is an OSError with a number and not a sentence to be parsed.
"""

from __future__ import annotations

import json
import math
import struct
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from homespun.errors import CheckpointError
from homespun.machine.atomic import replacing

CODES = {
    torch.float64: "F64",
    torch.float32: "F32",
    torch.float16: "F16",
    torch.bfloat16: "BF16",
    torch.int64: "I64",
    torch.int32: "I32",
    torch.int16: "I16",
    torch.int8: "I8",
    torch.uint8: "U8",
    torch.bool: "BOOL",
}
DTYPES = {code: dtype for dtype, code in CODES.items()}
LFS_POINTER = b"version https://git-lfs"  # how the file begins that stands for one that was not downloaded
AT_ONCE = 32 * 2**20  # bytes that are mapped at a time
LONGEST_HEADER = 16 * 2**20  # bytes: room for more than a hundred thousand tensors


@dataclass(frozen=True)
class StoredTensor:
    """What a file's header says of one tensor; its numbers are still on disk."""

    path: Path
    name: str
    shape: tuple[int, ...]
    code: str  # "F32", "BF16", …


def write_tensors(
    path: str | Path,
    tensors: Mapping[str, Tensor],
    *,
    metadata: Mapping[str, str] | None = None,
    dtype: torch.dtype | None = None,
) -> None:
    """Writes tensors of any device and layout to a safetensors file, whole or not at all.

    dtype: floating-point tensors are stored as that; None keeps them as they are.
    metadata: short texts for the header. Raises WriteFailed.
    """
    # Wide numbers first, so that every tensor starts at a multiple of its own width.
    names = sorted(tensors, key=lambda name: (-width(tensors[name], dtype), name))
    header: dict[str, object] = {"__metadata__": dict(metadata)} if metadata else {}
    start = 0
    for name in names:
        end = start + tensors[name].numel() * width(tensors[name], dtype)
        code = CODES[stored_dtype(tensors[name], dtype)]
        header[name] = {"dtype": code, "shape": list(tensors[name].shape), "data_offsets": [start, end]}
        start = end
    head = json.dumps(header, separators=(",", ":")).encode()
    head += b" " * (-(len(head) + 8) % 64)
    with replacing(path) as file:
        file.write(struct.pack("<Q", len(head)) + head)
        for name in names:
            tensor = tensors[name].detach().to("cpu", stored_dtype(tensors[name], dtype)).contiguous()
            file.write(tensor.flatten().view(torch.uint8).numpy().data)


def stored_dtype(tensor: Tensor, dtype: torch.dtype | None) -> torch.dtype:
    return dtype if dtype is not None and tensor.is_floating_point() else tensor.dtype


def width(tensor: Tensor, dtype: torch.dtype | None) -> int:
    """Bytes a number."""
    return stored_dtype(tensor, dtype).itemsize


def read_header(path: str | Path) -> dict[str, StoredTensor]:
    """What is in the file, by name; no numbers are read. Raises CheckpointError where it is damaged."""
    path = Path(path)
    check_beginning(path)
    with opened(path, "np") as file:  # which maps a file of any size; torch wants memory for all of it
        slices = {name: file.get_slice(name) for name in file.keys()}  # noqa: SIM118 - not a dict
        return {
            name: StoredTensor(path, name, tuple(part.get_shape()), part.get_dtype())
            for name, part in slices.items()
        }


@contextmanager
def opened(path: str | Path, framework: str = "pt") -> Iterator[safe_open]:
    """The file, for `get_tensor(name)`. Raises CheckpointError where it is damaged."""
    try:
        file = safe_open(path, framework)
    except (SafetensorError, OSError, RuntimeError, MemoryError) as error:
        # Where there is no room to map it, that is a MemoryError or (in torch) a RuntimeError.
        if isinstance(error, MemoryError) or "Cannot allocate memory" in str(error):
            raise too_large(Path(path), Path(path).stat().st_size) from error
        raise damaged(Path(path), error) from error
    try:
        with file:
            yield file
    except SafetensorError as error:
        raise damaged(Path(path), error) from error


def read_tensors(path: str | Path, *, device: torch.device | str = "cpu") -> dict[str, Tensor]:
    """All tensors of the file as they were written, in memory of their own. Raises CheckpointError."""
    header = read_header(path)
    for tensor in header.values():
        if tensor.code not in DTYPES:
            raise CheckpointError(
                f"{path}: {tensor.name} is stored as {tensor.code}, which homespun does not read.",
                f"It reads {', '.join(DTYPES)}.",
            )
    wanted = sum(math.prod(tensor.shape) * DTYPES[tensor.code].itemsize for tensor in header.values())
    check_memory(Path(path), wanted)
    # In memory of their own, because the library's are windows onto a file that may be replaced.
    with TensorReader() as reader:
        return {name: reader.read(one, device=device, dtype=DTYPES[one.code]) for name, one in header.items()}


class TensorReader:
    """Reads tensors of files, one at a time. A context manager.

    The library maps a file, and pages that were read count as memory of this process until it lets go of them:
    with the file kept open, a model takes twice its size. So the file is opened anew after AT_ONCE bytes. Not for
    every tensor: opening reads the header, which has all of them.
    """

    def __init__(self) -> None:
        self.files = ExitStack()
        self.path: Path | None = None
        self.bytes_read = 0  # since the file was opened
        self.file: safe_open

    def __enter__(self) -> TensorReader:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.files.__exit__(kind, error, trace)

    def opened(self, path: Path, wanted: int) -> safe_open:
        """The file, opened anew if it is another one or if so many more bytes would be too many."""
        if path != self.path or self.bytes_read + wanted > AT_ONCE:
            self.files.close()
            self.path, self.bytes_read = path, 0
            self.file = self.files.enter_context(opened(path))
        self.bytes_read += wanted
        return self.file

    def read(self, stored: StoredTensor, *, device: torch.device | str, dtype: torch.dtype) -> Tensor:
        """The tensor, in memory of its own and in that dtype; a large one in pieces. Raises CheckpointError."""
        whole = torch.empty(stored.shape, dtype=dtype, device=device)
        size = DTYPES[stored.code].itemsize
        if not whole.dim():
            return whole.copy_(self.opened(stored.path, size).get_tensor(stored.name))
        row = max(math.prod(stored.shape[1:]), 1) * size
        rows = max(AT_ONCE // row, 1)
        for begin in range(0, len(whole), rows):
            piece = whole[begin : begin + rows]
            file = self.opened(stored.path, row * len(piece))
            piece.copy_(file.get_slice(stored.name)[begin : begin + rows])
        return whole


def check_memory(path: Path, wanted: int) -> None:
    """Raises CheckpointError where so many bytes never fit: a file of terabytes may take no room on the disk.

    What is free at the moment does not count: other programs give way, and where they do not, taking the memory
    fails by itself.
    """
    import psutil

    if wanted > psutil.virtual_memory().total + psutil.swap_memory().total:
        raise too_large(path, wanted)


def too_large(path: Path, wanted: int) -> CheckpointError:
    import psutil

    memory = psutil.virtual_memory()
    return CheckpointError(
        f"{path} needs {wanted / 2**30:,.1f} GiB of memory; this computer has {memory.total / 2**30:,.1f} GiB, "
        f"and {memory.available / 2**30:,.1f} GiB are free.",
        "Close other programs, or take a smaller model.",
    )


def check_beginning(path: Path) -> None:
    """The commonest damages, before the file is opened: not downloaded, empty, something else."""
    try:
        if path.exists() and not path.is_file() and not path.is_dir():
            raise CheckpointError(f"{path} is not a file.", "Get the folder again.")  # to open a pipe is to wait
        size = path.stat().st_size
        with path.open("rb") as file:
            beginning = file.read(64)
    except OSError as error:
        raise CheckpointError(
            f"{path} cannot be read: {error.strerror}.", "Give the folder of a model that you may read."
        ) from error
    if beginning.startswith(LFS_POINTER):
        raise not_downloaded(path)
    length = int.from_bytes(beginning[:8], "little") if len(beginning) >= 8 else size
    if length > min(size - 8, LONGEST_HEADER):
        raise CheckpointError(
            f"{path} is no safetensors file, or was cut short: it has {size:,} bytes"
            + (f" and says that its header alone has {length:,}." if len(beginning) >= 8 else "."),
            "Get the file again.",
        )


def not_downloaded(path: Path) -> CheckpointError:
    return CheckpointError(
        f"{path} is a Git LFS pointer: the weights themselves were not downloaded.",
        "Fetch them in that folder:  git lfs pull",
    )


def damaged(path: Path, error: Exception) -> CheckpointError:
    return CheckpointError(
        f"{path} is damaged: {missing_end(path) or error}.", "Get the file again, or train again."
    )


def missing_end(path: Path) -> str:
    """Numbers for the commonest damage, a file that was cut short; empty where it is another."""
    with path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        try:
            header = json.loads(file.read(length))
            end = max(tensor["data_offsets"][1] for name, tensor in header.items() if name != "__metadata__")
            name = next(name for name, tensor in header.items() if tensor.get("data_offsets", [0, 0])[1] == end)
        except (ValueError, TypeError, KeyError, IndexError, AttributeError, RecursionError, StopIteration):
            return ""
    there = path.stat().st_size - 8 - length
    if not isinstance(end, int) or end <= there:
        return ""
    return f"its header promises {end:,} bytes of numbers (the last are {name}) and {there:,} are there"
