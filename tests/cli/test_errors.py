"""How errors are told: in one screen, with a way out, without a traceback, with the right exit code."""

from __future__ import annotations

import doctest
import errno
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

import homespun
from homespun.cli import data
from homespun.cli import errors as telling
from homespun.cli.screens import plain
from homespun.cli.screens import terminal as screen
from homespun.errors import CheckpointError, HomespunError, NotEnoughText, UsageError
from tests.cli.conftest import Run
from tests.patience import PATIENCE

Spawn = Callable[..., "subprocess.CompletedProcess[bytes]"]


@pytest.fixture
def failing(run: Run, monkeypatch: pytest.MonkeyPatch) -> Callable[[BaseException], tuple[int, str]]:
    """The exit code and what is printed when opening the model raises that."""

    def fail(error: BaseException) -> tuple[int, str]:
        def load(folder: str, **asked: object) -> None:
            raise error

        monkeypatch.setattr(homespun, "load", load)
        outcome = run("generate", "runs/x")
        assert outcome.out == ""
        return outcome.code, outcome.err

    return fail


Failing = Callable[[BaseException], "tuple[int, str]"]


@pytest.mark.parametrize("module", [plain, screen, telling, data], ids=lambda module: module.__name__)
def test_the_worked_examples_are_right(module: object) -> None:
    outcome = doctest.testmod(module)  # type: ignore[arg-type]
    assert outcome.attempted > 0 and outcome.failed == 0


@pytest.mark.parametrize("error, code", [(CheckpointError, 1), (NotEnoughText, 1), (UsageError, 2)])
def test_what_and_todo_are_told_without_a_traceback(
    failing: Failing, error: type[HomespunError], code: int
) -> None:
    assert failing(error("It is so.", "Do this.")) == (code, "error: It is so.\n  Do this.\n")


def test_debug_shows_the_traceback_as_well(failing: Failing, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOMESPUN_DEBUG", "1")
    _, told = failing(CheckpointError("It is so.", "Do this."))
    assert "Traceback" in told and told.endswith("error: It is so.\n  Do this.\n")


def test_a_bug_of_ours_says_so_and_how_to_see_more(failing: Failing) -> None:
    code, told = failing(ZeroDivisionError("division by zero"))
    assert code == 1 and "Traceback" not in told
    assert "ZeroDivisionError: division by zero" in told and "HOMESPUN_DEBUG=1" in told and "bug of ours" in told


@pytest.mark.parametrize("error", [
    MemoryError(),
    RuntimeError("[enforce fail at alloc_cpu.cpp:119] DefaultCPUAllocator: can't allocate memory: you tried …"),
    RuntimeError("CUDA out of memory. Tried to allocate 2.00 GiB"),
], ids=["python", "cpu", "cuda"])  # fmt: skip
def test_too_little_memory_is_no_bug(failing: Failing, error: BaseException) -> None:
    code, told = failing(error)
    assert code == 1 and "not enough memory" in told and "bug" not in told


@pytest.mark.parametrize("number, words", [(errno.ENOSPC, "disk is full"), (errno.EACCES, "no permission")])
def test_what_the_machine_refuses_is_no_bug(failing: Failing, number: int, words: str) -> None:
    code, told = failing(OSError(number, os.strerror(number), "/somewhere/model.safetensors"))
    assert code == 1 and words in told and "/somewhere/model.safetensors" in told and "bug" not in told


def test_an_interruption_is_one_calm_line(failing: Failing) -> None:
    assert failing(KeyboardInterrupt()) == (130, "interrupted\n")


@pytest.mark.parametrize("width", ["20", "80", "400"])
def test_a_long_error_fits_on_a_screen(failing: Failing, monkeypatch: pytest.MonkeyPatch, width: str) -> None:
    monkeypatch.setenv("COLUMNS", width)
    _, told = failing(UsageError("word " * 5000, "line\n" * 500))
    assert len(told.splitlines()) <= 22
    assert max(map(len, told.splitlines())) <= min(int(width), 100)


def test_a_command_in_an_error_is_not_torn(failing: Failing, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "30")
    command = "homespun train a-very-long-name.txt --minutes 5 --out runs/another-long-name"
    _, told = failing(UsageError("What.", f"Try this instead of what you have just tried:\n{command}"))
    assert f"  {command}\n" in told


def test_control_characters_in_an_error_do_not_reach_the_terminal(failing: Failing) -> None:
    _, told = failing(UsageError("\x1b]0;title\x07 \x9b31m", "\x1b[2J"))
    assert not set(told) & {"\x1b", "\x07", "\x9b"}


@pytest.mark.parametrize(
    "wrong, right", [("trian", "train"), ("genrate", "generate"), ("eval", "evaluate"), ("docter", "doctor")]
)
def test_an_unknown_command_names_the_near_one(run: Run, wrong: str, right: str) -> None:
    outcome = run(wrong)
    assert outcome.code == 2 and repr(wrong) in outcome.err and f"Did you mean {right}?" in outcome.err


def test_an_unknown_command_far_from_all_names_them_all(run: Run) -> None:
    outcome = run("xyzzy")
    assert outcome.code == 2 and "train, plan, generate, chat, finetune, show, evaluate" in outcome.err
    assert "doctor, list, prepare, show" in run("data", "xyzzy").err


def test_an_unknown_option_names_the_near_one(run: Run) -> None:
    outcome = run("generate", "runs/x", "--temprature", "1")
    assert outcome.code == 2 and "--temprature" in outcome.err and "Did you mean --temperature?" in outcome.err
    assert "homespun generate --help" in outcome.err


def test_a_prompt_that_looks_like_an_option_is_told_the_way_out(run: Run) -> None:
    outcome = run("generate", "runs/x", "-zzz")
    assert outcome.code == 2 and " -- " in outcome.err


def test_a_missing_argument_shows_how_it_is_written(run: Run) -> None:
    outcome = run("generate")
    assert (
        outcome.code == 2
        and "MODEL" in outcome.err
        and "homespun generate [OPTIONS] MODEL [PROMPT]" in outcome.err
    )


@pytest.mark.parametrize(
    "arguments",
    [
        ["--seed", "x"],
        ["--seed", "-1"],
        ["--top-p", "2"],
        ["--top-k", "0"],
        ["--temperature", "-1"],
        ["--temperature", "nan"],
        ["--max-tokens", "-5"],
        ["--samples", "0"],
        ["--stop", ""],
    ],
    ids=" ".join,
)
def test_a_value_that_makes_no_sense_is_the_command_lines_fault(
    run: Run, parrot: Callable[..., object], arguments: list[str]
) -> None:
    parrot("hello")
    outcome = run("generate", "runs/x", *arguments)
    assert outcome.code == 2 and outcome.out == "" and len(outcome.err.splitlines()) <= 4


def test_a_model_that_is_not_there(run: Run, tmp_path: Path) -> None:
    for verb in ("generate", "evaluate"):
        outcome = run(verb, str(tmp_path / "nothing"))
        assert outcome.code == 1 and "nothing" in outcome.err and "bug" not in outcome.err


@pytest.mark.parametrize("arguments", [["--help"], ["data", "list"], ["data", "list", "--json"]], ids=" ".join)
def test_a_reader_that_has_enough_is_no_error(spawn: Spawn, arguments: list[str]) -> None:
    read, write = os.pipe()
    os.close(read)
    done = spawn(*arguments, stdout=write)
    os.close(write)
    assert (done.returncode, done.stderr) == (0, b"")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_a_full_disk_behind_the_output_is_told_once(spawn: Spawn) -> None:
    with Path("/dev/full").open("wb") as full:
        done = spawn("--help", stdout=full)
    assert done.returncode == 1
    assert done.stderr.startswith(b"error: The disk is full") and b"Exception ignored" not in done.stderr


@pytest.mark.skipif(os.name == "nt", reason="a shell of Unix")
@pytest.mark.parametrize("arguments, code", [("data list", 0), ("--help", 0), ("generate", 2)])
def test_closed_outputs_are_no_reason_to_stop(tmp_path: Path, arguments: str, code: int) -> None:
    program = "import sys; from homespun.cli import main; sys.exit(main())"
    done = subprocess.run(
        ["sh", "-c", f'exec "$0" -c "{program}" {arguments} >&- 2>&-', sys.executable], cwd=tmp_path, check=False
    )
    assert done.returncode == code


def test_no_colours_without_a_terminal_or_against_the_users_wish(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = type("Terminal", (), {"isatty": lambda self: True})()
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm")
    assert plain.colours(terminal) and not plain.colours(sys.stdin)
    monkeypatch.setenv("NO_COLOR", "1")
    assert not plain.colours(terminal)


@pytest.mark.skipif(os.name == "nt", reason="signals of Unix")
def test_ctrl_c_ends_it_with_130(tmp_path: Path) -> None:
    # A process that was started in the background may have been told to ignore Ctrl-C.
    code = (
        "import signal, sys; from homespun.cli import main; "
        "signal.signal(signal.SIGINT, signal.default_int_handler); "
        "print('up', flush=True); sys.exit(main(['generate', 'x', '-']))"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", code],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=tmp_path,
    )  # fmt: skip
    assert process.stdout is not None and process.stdout.readline() == b"up\n"
    time.sleep(0.5)  # it waits for its prompt by then, or is on the way there: both end the same
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=PATIENCE)
    assert process.returncode == 130 and b"Traceback" not in err
