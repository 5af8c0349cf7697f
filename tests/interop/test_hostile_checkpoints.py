"""A checkpoint that asks for more than tensors and plain values is refused: nothing runs, no memory is taken."""

from __future__ import annotations

import io
import os
import pickle
import struct
import zipfile
from pathlib import Path
from typing import Any

import pytest
import torch

import homespun
from homespun.errors import CheckpointError, HomespunError
from homespun.interop.foreign.pickles import MOST_OPCODES, Record, read_pickle
from homespun.interop.foreign.torch_file import Tensor, TorchFile

TOUCHED = "homespun-was-here"


class Calls:
    """Pickles as a call of a function with arguments."""

    def __init__(self, function: Any, *arguments: Any) -> None:
        self.call = function, arguments

    def __reduce__(self) -> Any:
        return self.call


def saved(path: Path, value: Any) -> Path:
    torch.save(value, path)
    return path


def zipped(path: Path, entries: dict[str, bytes], **settings: Any) -> Path:
    with zipfile.ZipFile(path, "w", **settings) as archive:
        for name, content in entries.items():
            archive.writestr(name, content)
    return path


def with_tensor(
    path: Path, *, view: tuple[Any, ...] = (0, (2, 3), (3, 1)), count: Any = 6, key: str = "0"
) -> Path:
    """A file with one tensor, {"model": {"a": …}}, whose numbers anyone may choose."""
    offset, shape, strides = view
    out = io.BytesIO()
    pickler = pickle._Pickler(out, protocol=2)  # the one in Python, which asks persistent_id
    names = {"storage": ("torch", "FloatStorage"), "tensor": ("torch._utils", "_rebuild_tensor_v2")}

    class Named:
        def __init__(self, which: str) -> None:
            self.which = which

    def write_name(self: Any, obj: Named) -> None:
        self.write(b"c" + "\n".join(names[obj.which]).encode() + b"\n")

    class Reference:
        pass

    class ATensor:
        pass

    def write_reference(self: Any, obj: Any) -> None:
        self.save(("storage", Named("storage"), key, "cpu", count))
        self.write(b"Q")

    def write_tensor(self: Any, obj: Any) -> None:
        self.save(Named("tensor"))
        self.save((Reference(), offset, shape, strides, False, {}))
        self.write(b"R")

    pickler.dispatch = {
        **pickle._Pickler.dispatch, Named: write_name, Reference: write_reference, ATensor: write_tensor,
    }  # fmt: skip
    pickler.dump({"model": {"a": ATensor()}})
    numbers = torch.arange(6.0).numpy().tobytes()
    return zipped(path, {"x/data.pkl": out.getvalue(), "x/data/0": numbers, "x/byteorder": b"little"})


def refusal(path: Path) -> HomespunError:
    with pytest.raises(HomespunError) as caught:
        homespun.import_model(path, path.parent / "run", tokenizer="gpt2")
    assert caught.value.todo
    assert len(str(caught.value)) < 1500
    assert not (path.parent / "run").exists()
    return caught.value


@pytest.mark.parametrize(
    ("call", "name"),
    [
        (Calls(os.system, f"touch {TOUCHED}"), r"(posix|nt)\.system"),
        (Calls(eval, f"open({TOUCHED!r}, 'w')"), r"builtins\.eval|__builtin__\.eval"),
        (Calls(exec, f"open({TOUCHED!r}, 'w')"), r"exec"),
        (Calls(open, TOUCHED, "w"), r"(io|_io|builtins|__builtin__)\.open"),
        (Calls(getattr, os, "system"), r"getattr|module"),
        (Calls(__import__, "os"), r"__import__"),
        (Calls(torch.load, TOUCHED), r"torch\.serialization\.load"),
    ],
)
@pytest.mark.parametrize("beside", [True, False])
def test_a_call_of_anything_is_refused_by_name_and_not_run(
    call: Any, name: str, beside: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    try:
        path = saved(tmp_path / "ckpt.pt", {"model": {"a": torch.zeros(2)}, "x": call} if beside else call)
    except TypeError:
        pytest.skip("Python itself cannot pickle that")
    error = refusal(path)
    assert __import__("re").search(name, error.what), error.what
    assert "Nothing in it was run" in error.todo
    assert not Path(TOUCHED).exists()


def test_an_alphabet_that_calls_something_is_refused_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    meta = tmp_path / "meta.pkl"
    meta.write_bytes(pickle.dumps({"itos": Calls(os.system, f"touch {TOUCHED}")}))
    saved(tmp_path / "bigram.pt", {"token_embedding_table.weight": torch.zeros(5, 5)})
    with pytest.raises(CheckpointError, match="system"):
        homespun.import_model(tmp_path / "bigram.pt", tmp_path / "run", tokenizer=meta)
    assert not Path(TOUCHED).exists()


@pytest.mark.parametrize("opcode", ["INST", "OBJ", "EXT1", "NEWOBJ_EX", "PERSID", "BYTEARRAY8", "NEXT_BUFFER"])
def test_every_opcode_that_is_not_needed_is_refused_by_its_name(opcode: str) -> None:
    programs = {
        "INST": b"(S'id'\nios\nsystem\n.",
        "OBJ": b"(cos\nsystem\nS'id'\no.",
        "EXT1": b"\x80\x02\x82\x01.",
        "NEWOBJ_EX": b"\x80\x04cargparse\nNamespace\n)}\x92.",
        "PERSID": b"Pid\n.",
        "BYTEARRAY8": b"\x80\x05\x96\x01\x00\x00\x00\x00\x00\x00\x00x.",
        "NEXT_BUFFER": b"\x80\x05\x97.",
    }
    with pytest.raises(CheckpointError) as caught:
        read_pickle(programs[opcode], "x.pkl")
    assert opcode in caught.value.what or "os.system" in caught.value.what


def test_an_object_of_settings_is_its_fields_and_no_object() -> None:
    import argparse

    found = read_pickle(pickle.dumps(argparse.Namespace(n_head=4)), "x.pkl")
    assert isinstance(found, Record)
    assert found.fields == {"n_head": 4}


@pytest.mark.parametrize(
    "program",
    [
        b"",
        b".",
        b"K\x01",
        b"\x80\x02}(.",
        b"(K\x01u.",
        b"]K\x01K\x02s.",
        b"\x80\x02h\x05.",
        b"}(K\x01K\x02(K\x03u.",
        b"}()K\x01u.",  # a tuple as a key
        b"R.",
        b"}}b.",
        b"\x80\x02\x8b\xff\xff\xff\x7f.",  # an integer of two billion bytes
        b"\x8d\xff\xff\xff\xff\xff\xff\xff\x7fx.",
        b"L" + b"9" * 5000 + b"L\n.",
        b"ccollections\nOrderedDict\n(K\x01K\x02tR.",
        b"Q.",
        b"2.",
    ],
)
def test_a_damaged_program_is_an_error_that_teaches(program: bytes) -> None:
    try:
        read_pickle(program, "x.pkl")
    except CheckpointError as error:
        assert error.todo
        assert "x.pkl" in error.what
    else:
        assert program == b"}}b."  # the state of a dict is ignored


def test_a_program_of_endless_steps_ends() -> None:
    with pytest.raises(CheckpointError, match="more than"):
        read_pickle(b"\x80\x02" + b"N0" * MOST_OPCODES + b"N.", "x.pkl")
    # A record that takes on the same large dict again and again
    items = b"".join(b"M" + struct.pack("<H", n) + b"K\x01" for n in range(30_000))
    program = b"\x80\x02(" + items + b"dq\x00cargparse\nNamespace\n)\x81" + b"h\x00b" * 1000 + b"."
    with pytest.raises(CheckpointError, match="more than"):
        read_pickle(program, "x.pkl")


def test_tuples_in_tuples_are_never_hashed() -> None:
    program = b"\x80\x02)" + b"2\x86" * 300 + b"q\x00}h\x00K\x01s."
    with pytest.raises(CheckpointError, match="as the key of a dict"):
        read_pickle(program, "x.pkl")


# ---- the zip and the tensors ----


def test_a_sound_file_is_read(tmp_path: Path) -> None:
    file = TorchFile(with_tensor(tmp_path / "x.pt"))
    tensor = file.value["model"]["a"]
    assert isinstance(tensor, Tensor)
    assert file.read(tensor).tolist() == [[0, 1, 2], [3, 4, 5]]


@pytest.mark.parametrize(
    ("view", "reason"),
    [
        ((0, (2**20, 2**20), (2**20, 1)), "in a storage of 6 numbers"),
        ((0, (2, 4), (4, 1)), "in a storage of 6 numbers"),
        ((5, (2,), (1,)), "in a storage of 6 numbers"),
        ((0, (10**6,), (0,)), "in a storage of 6 numbers"),
        ((0, (2, 3), (0, 1)), "lie upon each other"),
        ((0, (2, 3), (1, 1)), "lie upon each other"),
        ((0, (2, 3), (-3, 1)), "where a size should be"),
        ((-1, (2, 3), (3, 1)), "where a size should be"),
        ((0, (2, -3), (3, 1)), "where a size should be"),
        ((0, (2**63, 3), (3, 1)), "where a size should be"),
        ((0, (2, 3), (1,)), "other strides than dimensions"),
        ((0, [2, 3], (3, 1)), "a shape or strides that are none"),
        ((0, (1,) * 1000, (1,) * 1000), "a shape or strides that are none"),
        ((0, ("2", 3), (3, 1)), "where a size should be"),
    ],
)
def test_a_tensor_that_reaches_beyond_its_numbers_is_refused(view: Any, reason: str, tmp_path: Path) -> None:
    assert reason in refusal(with_tensor(tmp_path / "x.pt", view=view)).what


@pytest.mark.parametrize("key", ["../../etc/passwd", "/etc/passwd", "", "0/../0", "٣", "0\n"])
def test_a_storage_is_a_number_and_no_path(key: str, tmp_path: Path) -> None:
    assert "a storage called" in refusal(with_tensor(tmp_path / "x.pt", key=key)).what


def test_a_storage_that_promises_more_than_the_file_has_is_refused_before_memory_is_taken(tmp_path: Path) -> None:
    path = with_tensor(tmp_path / "x.pt", view=(0, (2**20, 2**10), (2**10, 1)), count=2**30)
    file = TorchFile(path)
    with pytest.raises(CheckpointError, match="lies outside of its storage"):
        file.read(file.value["model"]["a"])


def test_a_storage_that_is_not_there_is_named(tmp_path: Path) -> None:
    file = TorchFile(with_tensor(tmp_path / "x.pt", key="7"))
    with pytest.raises(CheckpointError, match="data/7 is not in it"):
        file.read(file.value["model"]["a"])


def test_tensors_that_share_some_of_their_numbers_are_refused(tmp_path: Path) -> None:
    table = torch.zeros(10, 5)
    state = {"token_embedding_table.weight": table[:5], "other.weight": table[4:9]}
    assert "share some numbers" in refusal(saved(tmp_path / "x.pt", state)).what


def test_a_zip_bomb_is_refused_before_it_is_unpacked(tmp_path: Path) -> None:
    path = zipped(tmp_path / "x.pt", {"x/data.pkl": b"\0" * 2**26}, compression=zipfile.ZIP_DEFLATED)
    assert path.stat().st_size < 2**18
    assert "is compressed in it" in refusal(path).what


def test_entries_that_lie_upon_each_other_are_refused(tmp_path: Path) -> None:
    path = zipped(tmp_path / "x.pt", {f"x/data/{n}": bytes(10**4) for n in range(50)} | {"x/data.pkl": b"N."})
    content = path.read_bytes()
    start = content.index(b"PK\x01\x02")
    directory = bytearray(content[start:])
    first = directory[: directory.index(b"PK\x01\x02", 4)]
    at = 0
    while (at := directory.find(b"PK\x01\x02", at)) >= 0:  # every entry begins where the first one does
        directory[at + 42 : at + 46] = first[42:46]
        at += 4
    path.write_bytes(content[: 3 * 10**4] + directory)
    assert refusal(path).todo


def test_a_directory_of_a_hundred_thousand_names_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("homespun.interop.foreign.torch_file.MOST_ENTRIES", 10)
    path = zipped(tmp_path / "x.pt", {f"x/data/{n}": b"" for n in range(20)})
    assert "20 entries" in refusal(path).what


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "is no checkpoint of PyTorch"),
        (b"PK\x03\x04" + b"\0" * 100, "is no checkpoint of PyTorch"),
        (b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19.", "before PyTorch 1.6"),
        (pickle.dumps({"a": 1}), "is a bare pickle"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n", "Git LFS pointer"),
        (b"#!/bin/sh\necho hello\n", "is no checkpoint of PyTorch"),
    ],
)
def test_what_is_no_checkpoint_is_named(content: bytes, reason: str, tmp_path: Path) -> None:
    path = tmp_path / "ckpt.pt"
    path.write_bytes(content)
    assert reason in refusal(path).what


def test_torchscript_and_other_zips_are_named(tmp_path: Path) -> None:
    assert "TorchScript" in refusal(zipped(tmp_path / "a.pt", {"a/constants.pkl": b"N."})).what
    assert "no data.pkl" in refusal(zipped(tmp_path / "b.pt", {"b/readme.txt": b"hi"})).what
    big = zipped(tmp_path / "c.pt", {"c/data.pkl": b"N.", "c/byteorder": b"big"})
    assert "byte order" in refusal(big).what


@pytest.mark.parametrize("size", [0, 10, 400, 2000])
def test_a_checkpoint_that_was_cut_short_is_refused(size: int, tmp_path: Path) -> None:
    path = saved(tmp_path / "ckpt.pt", {"model": {"a": torch.zeros(100, 100)}})
    path.write_bytes(path.read_bytes()[:size])
    refusal(path)


def test_a_folder_a_pipe_and_nothing_are_named(tmp_path: Path) -> None:
    assert "is a folder" in refusal(tmp_path).what
    assert "is not there" in refusal(tmp_path / "nothing.pt").what
    if hasattr(os, "mkfifo"):
        os.mkfifo(tmp_path / "pipe.pt")
        assert "is no file" in refusal(tmp_path / "pipe.pt").what
