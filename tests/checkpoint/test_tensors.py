"""Tensors in files: what is written comes back, and a damaged file is told from a whole one."""

from __future__ import annotations

import json
import os
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file

from homespun.checkpoint import tensors
from homespun.checkpoint.tensors import CODES, read_header, read_tensors, write_tensors
from homespun.errors import CheckpointError
from tests.checkpoint.models import names_in


def some_tensors() -> dict[str, torch.Tensor]:
    torch.manual_seed(0)
    return {
        "matrix": torch.randn(3, 5),
        "transposed": torch.randn(3, 5).t(),
        "slice": torch.randn(6, 6)[::2, 1:3],
        "state": torch.arange(7, dtype=torch.uint8),
        "step": torch.tensor(12, dtype=torch.int64),
        "nothing": torch.empty(0, 4),
        "brain": torch.randn(3, dtype=torch.bfloat16),
        "flags": torch.tensor([True, False]),
    }


def test_every_tensor_comes_back_as_it_was(tmp_path: Path) -> None:
    tensors = some_tensors()
    write_tensors(tmp_path / "a.safetensors", tensors, metadata={"format": "pt"})
    for back in (read_tensors(tmp_path / "a.safetensors"), load_file(tmp_path / "a.safetensors")):
        assert back.keys() == tensors.keys()
        for name, tensor in tensors.items():
            assert back[name].dtype == tensor.dtype, name
            assert torch.equal(back[name], tensor), name
    assert names_in(tmp_path) == ["a.safetensors"]


def test_a_tensor_is_read_a_piece_at_a_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a file that stays mapped every page counts: a model would take twice its size."""
    matrix = torch.randn(100, 7)
    write_tensors(tmp_path / "a.safetensors", {"matrix": matrix, "step": torch.tensor(3.0)})
    pieces: list[int] = []
    library = tensors.opened

    @contextmanager
    def opened(path: Path, framework: str = "pt") -> Iterator[Any]:
        with library(path, framework) as file:
            yield file
            pieces.append(1)

    monkeypatch.setattr(tensors, "AT_ONCE", 30 * 7 * 4)
    header = read_header(tmp_path / "a.safetensors")
    monkeypatch.setattr(tensors, "opened", opened)
    with tensors.TensorReader() as reader:
        back = reader.read(header["matrix"], device="cpu", dtype=torch.float32)
    assert torch.equal(back, matrix)
    assert len(pieces) == 4
    with tensors.TensorReader() as reader:
        rounded = reader.read(header["matrix"], device="cpu", dtype=torch.bfloat16)
        assert torch.equal(rounded, matrix.bfloat16())
        assert reader.read(header["step"], device="cpu", dtype=torch.float32).item() == 3.0


def test_a_file_is_not_opened_for_every_one_of_many_small_tensors(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    written = {f"layer.{number}": torch.full((4,), float(number)) for number in range(300)}
    write_tensors(tmp_path / "a.safetensors", written)
    library, openings = tensors.opened, []
    monkeypatch.setattr(tensors, "opened", lambda *of: (openings.append(of), library(*of))[1])
    back = read_tensors(tmp_path / "a.safetensors")
    assert back.keys() == written.keys() and all(torch.equal(back[name], one) for name, one in written.items())
    assert len(openings) == 2  # for the header, and for all numbers


def test_what_the_library_writes_is_read(tmp_path: Path) -> None:
    tensors = {name: tensor.contiguous() for name, tensor in some_tensors().items()}
    save_file(tensors, tmp_path / "a.safetensors")
    back = read_tensors(tmp_path / "a.safetensors")
    assert all(torch.equal(back[name], tensors[name]) for name in tensors)


@settings(max_examples=25, deadline=None)
@given(
    st.dictionaries(
        st.text(st.characters(exclude_categories=("Cs",)), min_size=1, max_size=9).filter(
            lambda n: n != "__metadata__"
        ),
        st.tuples(st.lists(st.integers(0, 4), max_size=3), st.sampled_from(sorted(CODES, key=str))),
        max_size=6,
    )
)
def test_names_shapes_and_dtypes_of_any_kind_come_back(
    tmp_path_factory: pytest.TempPathFactory, wanted: dict[str, tuple[list[int], torch.dtype]]
) -> None:
    path = tmp_path_factory.mktemp("tensors") / "a.safetensors"
    tensors = {name: torch.ones(shape).to(dtype) for name, (shape, dtype) in wanted.items()}
    write_tensors(path, tensors)
    back = load_file(path)
    assert back.keys() == tensors.keys()
    assert all(back[name].dtype == tensors[name].dtype for name in tensors)
    assert all(torch.equal(back[name], tensors[name]) for name in tensors)


def test_only_floats_are_converted(tmp_path: Path) -> None:
    write_tensors(tmp_path / "a.safetensors", some_tensors(), dtype=torch.float16)
    back = read_tensors(tmp_path / "a.safetensors")
    assert back["matrix"].dtype == back["brain"].dtype == torch.float16
    assert back["step"].dtype == torch.int64


def test_the_same_tensors_make_the_same_bytes(tmp_path: Path) -> None:
    write_tensors(tmp_path / "a", some_tensors())
    write_tensors(tmp_path / "b", dict(reversed(some_tensors().items())))
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_what_was_read_is_no_window_onto_the_file(tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    write_tensors(path, {"matrix": torch.ones(1000, 100)})
    matrix = read_tensors(path)["matrix"]
    with path.open("r+b") as file:
        file.write(b"\0" * path.stat().st_size)
    assert matrix.sum() == 100_000


def test_a_header_is_read_without_the_numbers(tmp_path: Path) -> None:
    write_tensors(tmp_path / "a.safetensors", {"matrix": torch.ones(3, 5, dtype=torch.bfloat16)})
    found = read_header(tmp_path / "a.safetensors")["matrix"]
    assert (found.name, found.shape, found.code) == ("matrix", (3, 5), "BF16")


def told(path: Path) -> str:
    with pytest.raises(CheckpointError) as caught:
        read_header(path)
    assert len(str(caught.value)) < 500
    assert caught.value.todo
    return str(caught.value)


def test_a_file_that_was_cut_short_says_by_how_much(tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    write_tensors(path, {"first": torch.ones(10), "last": torch.ones(100)})
    whole = path.read_bytes()
    path.write_bytes(whole[:-100])
    assert "promises 440 bytes of numbers (the last are last) and 340 are there" in told(path)
    path.write_bytes(whole[:20])
    assert "was cut short: it has 20 bytes and says that its header alone has" in told(path)
    path.write_bytes(b"")
    assert "was cut short: it has 0 bytes" in told(path)
    path.write_bytes(whole + b"more")
    assert "is damaged" in told(path)


def lying(path: Path, header: object, numbers: bytes = b"\0" * 16) -> Path:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + numbers)
    return path


@pytest.mark.parametrize(
    "header",
    [
        {"a": {"dtype": "F32", "shape": [2**40], "data_offsets": [0, 16]}},
        {"a": {"dtype": "F32", "shape": [2**62, 2**62], "data_offsets": [0, 16]}},
        {"a": {"dtype": "F32", "shape": [4], "data_offsets": [0, 2**60]}},
        {"a": {"dtype": "F32", "shape": [4], "data_offsets": [16, 0]}},
        {"a": {"dtype": "F32", "shape": [-4], "data_offsets": [0, 16]}},
        {"a": {"dtype": "F99", "shape": [4], "data_offsets": [0, 16]}},
        {"a": {"dtype": "F32", "shape": [4]}},
        {"a": {"dtype": "F32", "shape": [4], "data_offsets": ["x", {}]}},
        {"a": 4},
        {name: {"dtype": "U8", "shape": [16], "data_offsets": [0, 16]} for name in "ab"},
        [],
        b"{",
        b"\xff\xfe" * 20,
        b"[" * 100_000,
        b"",
    ],
)
def test_a_header_that_lies_is_refused(tmp_path: Path, header: object) -> None:
    assert "is damaged" in told(lying(tmp_path / "a.safetensors", header))


def test_a_header_of_gigabytes_is_not_read(tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    path.write_bytes(struct.pack("<Q", 2**33) + b"{}")
    os.truncate(path, 2**34)  # a hole in a file: takes no room
    assert "says that its header alone has 8,589,934,592" in told(path)


def test_a_pointer_of_git_lfs_is_known(tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    path.write_text("version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 548105171\n")
    assert told(path) == (
        f"{path} is a Git LFS pointer: the weights themselves were not downloaded.\n"
        "Fetch them in that folder:  git lfs pull"
    )


def test_a_file_that_is_not_there_or_is_a_folder_is_told(tmp_path: Path) -> None:
    assert "cannot be read: No such file or directory" in told(tmp_path / "a.safetensors")
    assert "cannot be read: Is a directory" in told(tmp_path)


def test_a_kind_of_number_that_we_do_not_have_is_named(tmp_path: Path) -> None:
    header = {"a": {"dtype": "F8_E4M3", "shape": [16], "data_offsets": [0, 16]}}
    with pytest.raises(CheckpointError, match="a is stored as F8_E4M3, which homespun does not read"):
        read_tensors(lying(tmp_path / "a.safetensors", header))
