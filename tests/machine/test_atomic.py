"""Files are whole or not there, and what is in the way is said."""

from __future__ import annotations

import errno
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from homespun.errors import WriteFailed
from homespun.machine import atomic
from homespun.machine.atomic import replacing, write_atomically, write_json
from tests.checkpoint.models import names_in


def test_a_file_is_written_and_replaced(tmp_path: Path) -> None:
    path = tmp_path / "notes.txt"
    write_atomically(path, "größer\n")
    assert path.read_bytes() == "größer\n".encode()
    write_atomically(path, b"\x00\xff")
    assert path.read_bytes() == b"\x00\xff"
    assert names_in(tmp_path) == ["notes.txt"]


def test_json_is_written_for_people(tmp_path: Path) -> None:
    write_json(tmp_path / "plan.json", {"name": "größer", "layers": 4})
    text = (tmp_path / "plan.json").read_text(encoding="utf-8")
    assert text == '{\n  "name": "größer",\n  "layers": 4\n}\n'
    with pytest.raises(ValueError):
        write_json(tmp_path / "plan.json", {"loss": float("nan")})  # no JSON: NaN is not in the standard
    assert json.loads((tmp_path / "plan.json").read_text(encoding="utf-8"))["layers"] == 4


def test_a_reader_sees_the_old_file_until_the_new_one_is_whole(tmp_path: Path) -> None:
    path = tmp_path / "notes.txt"
    write_atomically(path, "old")
    with replacing(path) as file:
        file.write(b"new, and ")
        file.flush()
        assert path.read_text() == "old"
        file.write(b"whole")
    assert path.read_text() == "new, and whole"


@pytest.mark.parametrize("mishap", [RuntimeError, KeyboardInterrupt])
def test_where_writing_is_broken_off_the_old_file_stays_and_nothing_beside_it(
    tmp_path: Path, mishap: type[BaseException]
) -> None:
    path = tmp_path / "notes.txt"
    write_atomically(path, "old")
    with pytest.raises(mishap), replacing(path) as file:
        file.write(b"half")
        raise mishap
    assert path.read_text() == "old"
    assert names_in(tmp_path) == ["notes.txt"]


def test_the_data_is_on_the_disk_before_the_name_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "notes.txt"
    seen = []
    sync = os.fsync

    def watched(handle: int) -> None:
        seen.append(("folder" if Path(f"/dev/fd/{handle}").is_dir() else "file", path.exists()))
        sync(handle)

    monkeypatch.setattr(os, "fsync", watched)
    write_atomically(path, "text")
    assert seen == [("file", False), ("folder", True)]


def test_a_new_file_may_be_read_by_whom_the_umask_lets(tmp_path: Path) -> None:
    write_atomically(tmp_path / "ours.txt", "text")
    (tmp_path / "plain.txt").write_text("text")
    assert (tmp_path / "ours.txt").stat().st_mode == (tmp_path / "plain.txt").stat().st_mode


@pytest.mark.parametrize(
    ("number", "what", "todo"),
    [
        (
            errno.ENOSPC,
            r"The disk is full: .*notes.txt could not be written \([\d,.]+ MiB are free\)",
            "Make room",
        ),
        (errno.EDQUOT, "The disk is full", "Make room"),
        (errno.EROFS, "notes.txt lies on a disk that is read-only", "Choose a folder that you can write to"),
        (errno.EACCES, "You have no permission to write .*notes.txt", "Choose a folder of your own"),
        (errno.EIO, "notes.txt could not be written: Input/output error", "Try again"),
    ],
)
def test_what_the_disk_says_is_told_with_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int, what: str, todo: str
) -> None:
    path = tmp_path / "notes.txt"
    write_atomically(path, "old")

    def refuses(handle: int) -> None:
        raise OSError(number, os.strerror(number))

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", refuses)
        with pytest.raises(WriteFailed) as caught:
            write_atomically(path, "new")
    assert re.search(what, caught.value.what)
    assert todo in caught.value.todo
    assert path.read_text() == "old"
    assert names_in(tmp_path) == ["notes.txt"]


def test_a_folder_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(WriteFailed) as caught:
        write_atomically(tmp_path / "gone" / "notes.txt", "text")
    assert str(caught.value) == (
        f"{tmp_path}/gone/notes.txt could not be written: its folder is not there (any more).\n"
        f"Make it again:  mkdir -p '{tmp_path}/gone'"
    )


def test_a_file_where_a_folder_should_be_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(WriteFailed, match="something that should be a folder on the way to it is a file"):
        write_atomically(tmp_path / "file" / "notes.txt", "text")


def test_a_folder_where_the_file_should_be_is_told(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").mkdir()
    with pytest.raises(WriteFailed, match="a folder has that name"):
        write_atomically(tmp_path / "notes.txt", "text")
    assert names_in(tmp_path) == ["notes.txt"]


def test_a_name_that_is_too_long_is_told(tmp_path: Path) -> None:
    with pytest.raises(WriteFailed, match="the name is too long"):
        write_atomically(tmp_path / ("x" * 300), "text")
    assert names_in(tmp_path) == []


def test_a_file_beyond_the_limit_of_the_account_leaves_nothing(tmp_path: Path) -> None:
    """For real, in a process that may write 10,000 bytes a file."""
    program = (
        "import resource, sys; from homespun.machine.atomic import write_atomically; "
        "from homespun.errors import WriteFailed\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, 10_000))\n"
        "try: write_atomically(sys.argv[1], b'x' * 20_000)\n"
        "except WriteFailed as error: print(error.what)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, str(tmp_path / "notes.txt")], capture_output=True, text=True, check=True
    )
    assert "would be larger than this disk or this account allows" in done.stdout
    assert names_in(tmp_path) == []


def test_what_a_killed_process_left_is_swept_when_it_is_old(tmp_path: Path) -> None:
    path = tmp_path / "notes.txt"
    left, recent = tmp_path / ".notes.txt.0a0b0c0d.tmp", tmp_path / ".notes.txt.1a1b1c1d.tmp"
    left.write_text("half")
    recent.write_text("another process is writing this")
    os.utime(left, (0, 0))
    write_atomically(path, "text")
    assert not left.exists()
    assert recent.exists()


def test_files_move_in_together_and_the_seal_last(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "run"
    with atomic.replacing_files(folder, seal="config.json") as stage:
        (stage / "config.json").write_text("1")
        (stage / "tokenizer.json").write_text("1")
        (stage / "model.safetensors").write_text("1")
    assert names_in(folder) == ["config.json", "model.safetensors", "tokenizer.json"]

    states = []
    replace = Path.replace

    def watched(self: Path, target: Path) -> Path:
        moved = replace(self, target)
        files = {file.name: file.read_text() for file in folder.iterdir() if file.is_file()}
        states.append(files)
        return moved

    monkeypatch.setattr(Path, "replace", watched)
    with atomic.replacing_files(folder, seal="config.json") as stage:
        for name in ("config.json", "tokenizer.json", "model.safetensors"):
            (stage / name).write_text("2")
    assert len(states) == 3
    for files in states[:-1]:  # never a config among files that it does not belong to
        assert "config.json" not in files
    assert set(states[-1].values()) == {"2"}


def test_new_weights_alone_move_in_under_a_seal_that_stays(tmp_path: Path) -> None:
    seals = []
    for weights in ("1", "2"):
        with atomic.replacing_files(tmp_path, seal="config.json") as stage:
            (stage / "config.json").write_text("same")
            (stage / "tokenizer.json").write_text("same")
            (stage / "model.safetensors").write_text(weights)
        assert (tmp_path / "model.safetensors").read_text() == weights
        seals.append((tmp_path / "config.json").stat().st_ino)
    assert seals[0] == seals[1]
    assert names_in(tmp_path) == ["config.json", "model.safetensors", "tokenizer.json"]


def test_a_folder_stays_as_it_was_where_its_files_cannot_all_be_written(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("old")
    with (
        pytest.raises(WriteFailed, match="The disk is full"),
        atomic.replacing_files(tmp_path, seal="config.json") as stage,
    ):
        (stage / "config.json").write_text("new")
        raise OSError(errno.ENOSPC, "No space left on device")
    assert (tmp_path / "config.json").read_text() == "old"
    assert names_in(tmp_path) == ["config.json"]


def test_a_folder_that_was_not_there_is_not_there_after_a_failure(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError), atomic.replacing_files(tmp_path / "run", seal="config.json"):
        raise RuntimeError
    assert names_in(tmp_path) == []
