"""Reads what torch.save wrote, without torch.load: plain values, and tensors that are read on demand.

The file is a zip: data.pkl says what there is, and `data/0`, `data/1`, … hold the numbers of a storage each,
uncompressed. A tensor is a view of a storage: an offset, a shape and strides. All of this is checked against
the size of what is there before a number is read, and memory is taken only for the tensors that a model needs.
"""

from __future__ import annotations

import math
import re
import zipfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from homespun.checkpoint.tensors import LFS_POINTER, not_downloaded
from homespun.errors import CheckpointError
from homespun.interop.foreign.pickles import LARGEST, Maker, Name, read_pickle

MOST_ENTRIES = 100_000
MOST_DIMENSIONS = 8
KEY = re.compile(r"[0-9]{1,12}")
STORAGES = {
    "DoubleStorage": torch.float64,
    "FloatStorage": torch.float32,
    "HalfStorage": torch.float16,
    "BFloat16Storage": torch.bfloat16,
    "LongStorage": torch.int64,
    "IntStorage": torch.int32,
    "ShortStorage": torch.int16,
    "CharStorage": torch.int8,
    "ByteStorage": torch.uint8,
    "BoolStorage": torch.bool,
}
DTYPES = {str(dtype).removeprefix("torch."): dtype for dtype in STORAGES.values()}
AGAIN = "Get the file again, or save it again where it was made."
SAVE_AGAIN = (
    "Save it again where it was made, with PyTorch 1.6 or later: "
    "torch.save({'model': model.state_dict(), …}, FILE)."
)


@dataclass(frozen=True)
class Storage:
    """A run of numbers in the file. key: the name of its entry; count: how many numbers it says that there are."""

    key: str
    dtype: torch.dtype
    count: int


@dataclass(frozen=True)
class Tensor:
    """A view of a storage; its numbers are still in the file. Offset and strides are counted in numbers."""

    storage: Storage
    dtype: torch.dtype
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]

    @property
    def count(self) -> int:
        return math.prod(self.shape)

    @property
    def end(self) -> int:
        """One place behind its last number in the storage."""
        if not self.count:
            return self.offset
        return (
            self.offset + sum((size - 1) * step for size, step in zip(self.shape, self.strides, strict=True)) + 1
        )


class TorchFile:
    """What torch.save wrote. value: the plain value, with a Tensor wherever a tensor was.

    Raises CheckpointError for what is no such file, is damaged, or asks for more than plain values.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        with self.opened() as archive:
            self.entries = {entry.filename: entry for entry in checked_entries(path, archive)}
            self.root = root_of(path, self.entries)
            order = self.entry("byteorder", required=False)
            if order is not None and archive.read(order).strip() != b"little":
                raise CheckpointError(f"{path} has its numbers in the byte order of another computer.", SAVE_AGAIN)
            pickled = self.entry("data.pkl")
            assert pickled is not None
            if pickled.file_size > LARGEST:
                raise CheckpointError(
                    f"{path}: its data.pkl has {pickled.file_size:,} bytes; homespun reads up to {LARGEST:,}.",
                    AGAIN,
                )
            data = archive.read(pickled)
        self.value = read_pickle(data, str(path), makers=MAKERS, persistent=storage_of)

    @contextmanager
    def opened(self) -> Iterator[zipfile.ZipFile]:
        try:
            with zipfile.ZipFile(self.path) as archive:
                yield archive
        except (zipfile.BadZipFile, NotImplementedError, EOFError, RuntimeError) as error:
            raise not_a_zip(self.path, error) from error
        except OSError as error:
            raise CheckpointError(f"{self.path} cannot be read: {error.strerror or error}.", AGAIN) from error

    def entry(self, name: str, *, required: bool = True) -> zipfile.ZipInfo | None:
        found = self.entries.get(self.root + name)
        if found is None and required:
            raise CheckpointError(f"{self.path} is incomplete: {name} is not in it.", AGAIN)
        return found

    def read(self, tensor: Tensor) -> torch.Tensor:
        """The numbers of one tensor, in memory of their own, as they are stored."""
        found = self.entry(f"data/{tensor.storage.key}")
        assert found is not None
        width = tensor.dtype.itemsize
        start, size = tensor.offset * width, (tensor.end - tensor.offset) * width
        if tensor.end * width > found.file_size:
            raise CheckpointError(
                f"{self.path}: a tensor of shape {list(tensor.shape)} lies outside of its storage, which has "
                f"{found.file_size:,} bytes.",
                AGAIN,
            )
        with self.opened() as archive, archive.open(found) as file:
            file.seek(start)
            stored = bytearray(file.read(size))
        if len(stored) < size:
            raise CheckpointError(f"{self.path} became shorter while it was read.", "Try again.")
        numbers = torch.frombuffer(stored, dtype=tensor.dtype) if size else torch.empty(0, dtype=tensor.dtype)
        return numbers.as_strided(tensor.shape, tensor.strides).contiguous()


def checked_entries(path: Path, archive: zipfile.ZipFile) -> list[zipfile.ZipInfo]:
    """The entries, none of them compressed, and together no larger than the file: so none lies upon another."""
    entries = archive.infolist()
    if len(entries) > MOST_ENTRIES:
        raise CheckpointError(f"{path} has {len(entries):,} entries; no checkpoint has so many.", AGAIN)
    for entry in entries:
        if entry.compress_type != zipfile.ZIP_STORED or entry.compress_size != entry.file_size:
            raise CheckpointError(
                f"{path}: {entry.filename[:80]!r} is compressed in it, and torch.save compresses nothing.",
                "That is no checkpoint as PyTorch writes them; if it is one in a .zip, unpack that first.",
            )
        if entry.flag_bits & 1:
            raise CheckpointError(f"{path} is locked with a password.", "Unlock it first.")
    if sum(entry.file_size for entry in entries) > path.stat().st_size:
        raise CheckpointError(f"{path} is damaged: its entries lie upon each other.", AGAIN)
    if len({entry.filename for entry in entries}) < len(entries):
        raise CheckpointError(f"{path} is damaged: it has two entries of one name.", AGAIN)
    return entries


def root_of(path: Path, names: Iterable[str]) -> str:
    """What stands before every name: the name that the file had when it was written, and a slash."""
    found = [name.removesuffix("data.pkl") for name in names if re.fullmatch(r"[^/]*/data\.pkl", name)]
    if len(found) != 1:
        if any(name.endswith("constants.pkl") for name in names):
            raise CheckpointError(f"{path} is a TorchScript file: a program, and no weights alone.", SAVE_AGAIN)
        raise CheckpointError(f"{path} is a zip, and no checkpoint: it has no data.pkl.", AGAIN)
    return found[0]


def not_a_zip(path: Path, error: Exception) -> CheckpointError:
    with path.open("rb") as file:
        beginning = file.read(32)
    if beginning.startswith(LFS_POINTER):
        return not_downloaded(path)
    if beginning.startswith(b"\x80\x02\x8a\x0al\xfc\x9cF"):  # PROTO, and the magic number of the older format
        return CheckpointError(f"{path} was saved in the format of before PyTorch 1.6.", SAVE_AGAIN)
    if beginning[:1] == b"\x80":
        return CheckpointError(f"{path} is a bare pickle, and no file of torch.save.", SAVE_AGAIN)
    return CheckpointError(f"{path} is no checkpoint of PyTorch, or was cut short: {error}.", AGAIN)


# ---- what the pickle may ask for ----


def storage_of(reference: Any) -> Storage:
    """("storage", FloatStorage, "0", "cpu", 6) -> the storage."""
    if not (isinstance(reference, tuple) and len(reference) == 5 and reference[0] == "storage"):
        raise ValueError("a reference that is none to a storage")
    _, name, key, _, count = reference
    if name == Name("torch.storage", "UntypedStorage"):
        dtype = torch.uint8
    elif isinstance(name, Name) and name.module == "torch" and name.name in STORAGES:
        dtype = STORAGES[name.name]
    else:
        raise ValueError("a storage of an unknown kind")
    if not isinstance(key, str) or not KEY.fullmatch(key):
        raise ValueError(f"a storage called {str(key)[:40]!r}")
    return Storage(key, dtype, length(count))


def tensor_of(storage: Any, offset: Any, shape: Any, strides: Any, *others: Any) -> Tensor:
    """torch._utils._rebuild_tensor_v2, as a description. Raises ValueError for a view that no model has."""
    if not isinstance(storage, Storage):
        raise ValueError("a tensor without a storage")
    return checked_view(Tensor(storage, storage.dtype, length(offset), lengths(shape), lengths(strides)))


def tensor_of_dtype(storage: Any, offset: Any, shape: Any, strides: Any, *others: Any) -> Tensor:
    """torch._utils._rebuild_tensor_v3: the storage has no dtype, and the tensor says it."""
    names = [one.name for one in others if isinstance(one, Name) and one.module == "torch"]
    dtype = next((DTYPES[name] for name in names if name in DTYPES), None)
    if not isinstance(storage, Storage) or dtype is None:
        raise ValueError("a tensor without a storage or a dtype")
    return checked_view(Tensor(storage, dtype, length(offset), lengths(shape), lengths(strides)))


def checked_view(tensor: Tensor) -> Tensor:
    """A tensor whose numbers are all there, each once. Raises ValueError."""
    if len(tensor.shape) != len(tensor.strides):
        raise ValueError("a tensor with other strides than dimensions")
    count = tensor.storage.count * tensor.storage.dtype.itemsize // tensor.dtype.itemsize
    if tensor.count > count or tensor.end > count:
        raise ValueError(f"a tensor of shape {list(tensor.shape)} in a storage of {count:,} numbers")
    # From the innermost dimension outwards: a step that is shorter than what is inside it meets a number twice.
    inside = 1
    for step, size in sorted(zip(tensor.strides, tensor.shape, strict=True)):
        if size > 1:
            if step < inside:
                raise ValueError(
                    f"a tensor with the strides {list(tensor.strides)}, whose numbers lie upon each other"
                )
            inside = step * (size - 1) + inside
    return tensor


def length(value: Any) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value < 2**48:
        raise ValueError(f"{str(value)[:40]} where a size should be")
    return value


def lengths(value: Any) -> tuple[int, ...]:
    if not isinstance(value, tuple) or len(value) > MOST_DIMENSIONS:
        raise ValueError("a shape or strides that are none")
    return tuple(length(one) for one in value)


def same(value: Any, *others: Any) -> Any:
    """What a Parameter holds."""
    return value


def nothing(*arguments: Any) -> None:
    """What no model needs: a device, a NumPy number in a log."""
    return None


def storage_class(*arguments: Any) -> Any:
    raise ValueError("a call of a storage's class")


MAKERS: Mapping[tuple[str, str], Maker] = {
    ("torch._utils", "_rebuild_tensor_v2"): tensor_of,
    ("torch._utils", "_rebuild_tensor_v3"): tensor_of_dtype,
    ("torch._utils", "_rebuild_parameter"): same,
    ("torch.nn.parameter", "Parameter"): same,
    ("torch", "Size"): lambda value=(): value,
    ("torch", "device"): nothing,
    **{("torch", name): storage_class for name in (*STORAGES, *DTYPES)},
    ("torch.storage", "UntypedStorage"): storage_class,
    **{
        (module, name): nothing
        for module in ("numpy.core.multiarray", "numpy._core.multiarray")
        for name in ("scalar", "_reconstruct")
    },
    ("numpy", "dtype"): nothing,
    ("numpy", "ndarray"): nothing,
    ("_codecs", "encode"): nothing,
}


def tensors_in(value: Any) -> dict[str, Tensor]:
    """The tensors of a state dict, by name."""
    if not isinstance(value, dict):
        return {}
    return {name: one for name, one in value.items() if isinstance(name, str) and isinstance(one, Tensor)}


def check_apart(tensors: Mapping[str, Tensor], path: Path) -> None:
    """Two tensors share all of their numbers, as a tied head and its embedding do, or none.

    Raises CheckpointError.
    """
    of_storage: dict[str, list[tuple[int, int, str]]] = {}
    for name, tensor in tensors.items():
        if tensor.count:
            of_storage.setdefault(tensor.storage.key, []).append((tensor.offset, tensor.end, name))
    for spans in of_storage.values():
        spans.sort()
        last = spans[0]
        for span in spans[1:]:
            if span[0] < last[1] and span[:2] != last[:2]:
                raise CheckpointError(
                    f"{path}: {last[2][:80]} and {span[2][:80]} share some numbers, which no model's tensors do.",
                    AGAIN,
                )
            last = max(last, span, key=lambda one: one[1])
