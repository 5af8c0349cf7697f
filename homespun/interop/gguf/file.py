"""What a GGUF file says of itself: settings by name, and where each tensor lies. No numbers are read.

The format (docs/gguf.md of the ggml project): a magic word, a version, two counts, the settings, then of
each tensor a name, a shape, a type and an offset; then, aligned, the numbers. Whoever wrote the file may
have written anything: every count, length and offset is held against the size of the file before it is
followed, so that nothing is read that is not there, and little is kept that nobody asked for.
"""

from __future__ import annotations

import math
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from homespun.errors import CheckpointError

MAGIC = b"GGUF"
VERSIONS = (2, 3)
# Larger than in any file in use; a vocabulary of 300,000 with its merges is some 20 MB of header.
LONGEST_HEADER = 96 * 2**20  # bytes
MOST_SETTINGS = 4096
MOST_TENSORS = 2**15
MOST_STRINGS = 1_500_000  # in all lists together
MOST_NUMBERS = 3_000_000
LONGEST_NAME = 1024  # bytes
LONGEST_STRING = 2**20  # bytes; chat templates have some ten thousand
MOST_DIMENSIONS = 4
MOST_ELEMENTS = 2**40

BLOCK = 2**20  # bytes that are read at a time

# Types of settings, by their number in the file. 8 is a string, 9 a list.
NUMBERS = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d"}
STRING, LIST = 8, 9

# Types of tensors that are read: number -> (name, numbers in a block, bytes of a block). The sizes are those
# of the format; a test holds them against the library's own table.
TENSOR_TYPES = {
    0: ("F32", 1, 4),
    1: ("F16", 1, 2),
    2: ("Q4_0", 32, 18),
    3: ("Q4_1", 32, 20),
    6: ("Q5_0", 32, 22),
    7: ("Q5_1", 32, 24),
    8: ("Q8_0", 32, 34),
    10: ("Q2_K", 256, 84),
    11: ("Q3_K", 256, 110),
    12: ("Q4_K", 256, 144),
    13: ("Q5_K", 256, 176),
    14: ("Q6_K", 256, 210),
    30: ("BF16", 1, 2),
}

AGAIN = "Get the file again, or take the file of another model."


@dataclass(frozen=True)
class GGUFTensor:
    """What the header says of one tensor. shape: outermost first, as torch has it (the file has it reversed)."""

    name: str
    shape: tuple[int, ...]
    type: str  # "F32", "Q4_1", …
    start: int  # where its bytes begin in the file
    bytes: int


@dataclass(frozen=True)
class GGUFFile:
    path: Path
    settings: dict[str, Any]
    tensors: dict[str, GGUFTensor]


def read_gguf(path: str | Path) -> GGUFFile:
    """The settings and tensors of a GGUF file. Raises CheckpointError where it is damaged or no such file."""
    path = Path(path)
    try:
        if not path.is_file():  # to open a pipe would be to wait
            raise CheckpointError(f"There is no file {path}.", "Give the path of a .gguf file.")
        with path.open("rb") as file:
            return Header(path, file, path.stat().st_size).read()
    except OSError as error:
        raise CheckpointError(f"{path} cannot be read: {error.strerror}.", AGAIN) from error


class Header:
    """Reads a header from its beginning to its end, and never beyond what is there."""

    def __init__(self, path: Path, file: BinaryIO, size: int) -> None:
        self.path = path
        self.file = file
        self.size = size  # of the whole file
        self.content = b""  # what has been read of it
        self.at = 0
        self.strings = MOST_STRINGS  # so many more may come
        self.numbers = MOST_NUMBERS

    def read(self) -> GGUFFile:
        self.check_beginning()
        tensors = self.count("tensors", MOST_TENSORS)
        settings = self.count("settings", MOST_SETTINGS)
        values = dict(self.setting() for _ in range(settings))
        found = [self.tensor() for _ in range(tensors)]
        alignment = values.get("general.alignment", 32)
        if not isinstance(alignment, int) or not 1 <= alignment <= 2**16:
            raise self.damaged(f"its alignment is {str(alignment)[:40]}")
        start = -(-self.at // alignment) * alignment
        return GGUFFile(self.path, values, self.placed(found, start))

    def check_beginning(self) -> None:
        begin = self.file.peek(64)[:64] if hasattr(self.file, "peek") else b""
        if begin.startswith(b"version https://git-lfs"):
            raise CheckpointError(
                f"{self.path} is a Git LFS pointer: the model itself was not downloaded.",
                "Fetch it in that folder:  git lfs pull",
            )
        if begin[:4] != MAGIC:
            raise CheckpointError(f"{self.path} is no GGUF file: it does not begin with the letters GGUF.", AGAIN)
        self.take(4)
        version = self.number("I")
        if version not in VERSIONS:
            swapped = int.from_bytes(version.to_bytes(4, "little"), "big")
            reason = "for machines of the other byte order" if swapped in VERSIONS else f"of version {version}"
            raise CheckpointError(
                f"{self.path} is a GGUF file {reason}; homespun reads version 2 and 3, little-endian.",
                "Take a newer file of that model.",
            )

    def count(self, what: str, most: int) -> int:
        number = int(self.number("Q"))
        if number > most:
            raise self.damaged(f"it speaks of {number:,} {what}, and at most {most:,} are read")
        return number

    def setting(self) -> tuple[str, Any]:
        name = self.string(LONGEST_NAME)
        return name, self.value(self.number("I"))

    def value(self, kind: int) -> Any:
        if kind == STRING:
            return self.string(LONGEST_STRING)
        if kind == LIST:
            return self.list_of(self.number("I"), int(self.number("Q")))
        if kind not in NUMBERS:
            raise self.damaged(f"a setting has the type {kind}, which there is not")
        return self.number(NUMBERS[kind])

    def list_of(self, kind: int, length: int) -> list[Any]:
        if kind == STRING:
            self.strings -= length
            if self.strings < 0 or length * 8 > self.size - self.at:
                raise self.damaged(f"a list has {length:,} texts, more than there can be")
            return self.strings_in_a_row(length)
        if kind not in NUMBERS:
            raise self.damaged(f"a list has elements of the type {kind}, which are not read")
        self.numbers -= length
        if self.numbers < 0:
            raise self.damaged(f"a list has {length:,} numbers, more than there can be")
        code = f"<{length}{NUMBERS[kind]}"
        return list(struct.unpack(code, self.take(struct.calcsize(code))))

    def strings_in_a_row(self, length: int) -> list[str]:
        """As `string` reads them. Those in memory are read here: a vocabulary has tens of thousands."""
        found = []
        for _ in range(length):
            start = self.at + 8
            end = start + int.from_bytes(self.content[self.at : start], "little")
            if end > len(self.content) or end - start > LONGEST_STRING:
                found.append(self.string(LONGEST_STRING))
            else:
                found.append(self.content[start:end].decode("utf-8", "replace"))
                self.at = end
        return found

    def tensor(self) -> GGUFTensor:
        """As it stands there; its place is counted from the beginning of the numbers."""
        name = self.string(LONGEST_NAME)
        dimensions = self.number("I")
        if not 1 <= dimensions <= MOST_DIMENSIONS:
            raise self.damaged(f"{name[:80]} has {dimensions} dimensions")
        shape = struct.unpack(f"<{dimensions}Q", self.take(8 * dimensions))[::-1]
        kind, start = self.number("I"), int(self.number("Q"))
        if kind not in TENSOR_TYPES:
            types = ", ".join(known for known, _, _ in TENSOR_TYPES.values())
            raise CheckpointError(
                f"{self.path}: {name[:80]} is stored in a way that homespun does not read (type {kind}).",
                f"Take a file of the same model in one of these: {types}.",
            )
        type, block, width = TENSOR_TYPES[kind]
        elements = math.prod(shape)
        if not 1 <= elements <= MOST_ELEMENTS or shape[-1] % block:
            raise self.damaged(f"{name[:80]} has the shape {list(shape)}, which {type} cannot have")
        return GGUFTensor(name, shape, type, start, elements // block * width)

    def placed(self, tensors: list[GGUFTensor], start: int) -> dict[str, GGUFTensor]:
        """The tensors by name, each where it lies in the file. None may reach out of it or into another."""
        found: dict[str, GGUFTensor] = {}
        end = start
        for tensor in sorted(tensors, key=lambda tensor: tensor.start):
            name, place = tensor.name, start + tensor.start
            if name in found:
                raise self.damaged(f"{name[:80]} is there twice")
            if place < end:
                raise self.damaged(f"{name[:80]} lies over another tensor")
            end = place + tensor.bytes
            if end > self.size:
                raise self.damaged(f"{name[:80]} ends at byte {end:,}, and the file has {self.size:,}")
            found[name] = GGUFTensor(name, tensor.shape, tensor.type, place, tensor.bytes)
        return found

    def string(self, longest: int) -> str:
        length = int.from_bytes(self.take(8), "little")
        if length > longest:
            raise self.damaged(f"a text in its header has {length:,} bytes")
        return self.take(length).decode("utf-8", "replace")

    def number(self, code: str) -> Any:
        return struct.unpack(f"<{code}", self.take(struct.calcsize(code)))[0]

    def take(self, length: int) -> bytes:
        end = self.at + length
        if end > len(self.content):
            self.read_on(end)
        taken = self.content[self.at : end]
        self.at = end
        return taken

    def read_on(self, end: int) -> None:
        if end > self.size:
            raise self.damaged(f"it was cut short: it has {self.size:,} bytes")
        if end > LONGEST_HEADER:
            raise self.damaged(f"its header is longer than {LONGEST_HEADER:,} bytes")
        wanted = max(end, 2 * len(self.content), BLOCK)
        self.content += self.file.read(wanted - len(self.content))
        if end > len(self.content):
            raise self.damaged("it became shorter while it was read")

    def damaged(self, reason: str) -> CheckpointError:
        return CheckpointError(f"{self.path} is damaged: {reason}.", AGAIN)
