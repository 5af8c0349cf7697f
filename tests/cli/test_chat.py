"""homespun chat, through a pipe and through a pseudo terminal."""

from __future__ import annotations

import doctest
import json
import os
import select
import signal
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from homespun.cli import chat
from tests.cli.conftest import Run
from tests.generation.fakes import Parrot
from tests.generation.test_chat import END, ByteChat
from tests.patience import PATIENCE

MakeParrot = Callable[..., Parrot]


@pytest.fixture
def answering(parrot: MakeParrot, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Parrot]:
    """answering("Hello|") makes every MODEL one that answers so; | ends an answer."""

    def answer(lines: str, context_length: int = 200) -> Parrot:
        model = parrot(lines, context_length)
        model.lines = [END if id == ord("|") else id for id in model.lines]
        monkeypatch.setattr("homespun.tokenizer.chat_template.chat_tokenizer", lambda _: ByteChat())
        return model

    return answer


def test_through_a_pipe_only_the_answers_are_on_standard_output(run: Run, answering: MakeParrot) -> None:
    model = answering("Hello|You|")
    outcome = run("chat", "m", stdin="Hi\n\nWho?\n")
    assert (outcome.code, outcome.out, outcome.err) == (0, "Hello\nYou\n", "")
    assert b"UHi.AHello.UWho?.A" in [bytes(ids) for ids in model.seen]


def test_a_model_that_completes_says_so_and_goes_on(run: Run, parrot: MakeParrot) -> None:
    model = parrot("xyz")
    outcome = run("chat", "m", "--max-tokens", "3", stdin="Once\nTwice\n upon\n\n/undo\n")
    assert outcome.out == "xyz\n" * 4
    assert outcome.err.startswith("This model completes text") and "Taken back" in outcome.err
    read = [bytes(ids) for ids in model.seen]
    assert {b"Once", b"Oncexyz\nTwice", b"Oncexyz\nTwicexyz upon", b"Oncexyz\nTwicexyz uponxyz"} <= set(read)


def test_a_line_that_ends_with_a_backslash_goes_on(run: Run, answering: MakeParrot) -> None:
    model = answering("a|")
    run("chat", "m", stdin="one\\\ntwo\n//three\n")
    read = [bytes(ids) for ids in model.seen]
    assert b"Uone\ntwo.A" in read and b"Uone\ntwo.Aa.U/three.A" in read


def test_the_commands_do_what_they_say(run: Run, answering: MakeParrot, tmp_path: Path) -> None:
    model = answering("a|b|c|")
    file = tmp_path / "talk.json"
    lines = [
        "/system Be brief",
        "1",
        "/temperature 0.3",
        f"/save {file}",
        "2",
        f"/save {file}",
        "/undo",
        "3",
        "/quit",
        "4",
    ]
    outcome = run("chat", "m", stdin="\n".join(lines))
    assert outcome.code == 0 and outcome.out == "a\nb\nc\n"
    assert "Be brief" in outcome.err and "temperature is 0.3" in outcome.err and "Taken back" in outcome.err
    saved = json.loads(file.read_text())
    assert [message["content"] for message in saved["messages"]] == ["Be brief", "1", "a", "2", "b"]
    assert bytes(model.seen[-2]) == b"SBe brief.U1.Aa.U3.A"

    model = answering("d|")
    outcome = run("chat", "m", stdin=f"/load '{file}'\n5\n/system -\n6")
    assert "2 questions" in outcome.err
    assert b"SBe brief.U1.Aa.U2.Ab.U5.A" in [bytes(ids) for ids in model.seen]
    assert b"U1.Aa.U2.Ab.U5.Ad.U6.A" in [bytes(ids) for ids in model.seen]


def test_a_text_is_saved_as_a_text_and_loaded(run: Run, parrot: MakeParrot, tmp_path: Path) -> None:
    file = tmp_path / "book.txt"
    model = parrot("x")
    run("chat", "m", "--max-tokens", "1", stdin=f"Once\n/save {file}\n")
    assert file.read_text() == "Oncex"
    outcome = run(
        "chat", "m", "--max-tokens", "1", stdin=f"/load {file}\n upon\n/undo\n/save {file}\n/load {file}\n"
    )
    assert outcome.code == 0 and bytes(model.seen[-1]) == b"Oncex upon"
    assert file.read_text() == "Oncex"


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("/undoo", "Did you mean /undo"),
        ("/system x", "only completes"),
        ("/temperature warm", "no number"),
        ("/temperature -1", "0 or more"),
        ("/save", "/save talk.json"),
        ("/save there", "already"),
        ("/load none", "no file"),
        ("/load photo", "UTF-8"),
        ("/load folder", "no file"),
    ],
)
def test_what_cannot_be_done_is_told(
    run: Run, parrot: MakeParrot, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, line: str, told: str
) -> None:
    parrot("x")
    monkeypatch.chdir(tmp_path)
    Path("there").write_text("precious")
    Path("photo").write_bytes(b"\xff\xd8\xff")
    Path("folder").mkdir()
    outcome = run("chat", "m", stdin=f"{line}\n")
    assert outcome.code in (1, 2) and told in outcome.err
    assert Path("there").read_text() == "precious"


def test_a_file_that_is_no_conversation_is_told(run: Run, answering: MakeParrot, tmp_path: Path) -> None:
    answering("a|")
    for content in ("no json", "[" * 100_000, '{"messages": 3}'):
        (tmp_path / "talk.json").write_text(content)
        outcome = run("chat", "m", stdin=f"/load {tmp_path / 'talk.json'}\n")
        assert outcome.code == 1 and ("JSON" in outcome.err or "no saved conversation" in outcome.err)


def test_options_that_make_no_sense_are_told_before_a_model_is_opened(run: Run) -> None:
    for options in (["--max-tokens", "0"], ["--temperature", "-1"]):
        assert run("chat", "nowhere", *options).code == 2


def test_a_system_text_for_a_model_that_completes_is_refused(run: Run, parrot: MakeParrot) -> None:
    parrot("x")
    outcome = run("chat", "m", "--system", "Be brief")
    assert outcome.code == 2 and "only completes" in outcome.err


def test_standard_input_that_is_no_text_is_told(run: Run, parrot: MakeParrot) -> None:
    parrot("x")
    outcome = run("chat", "m", stdin=b"\xff\xfe\n")
    assert outcome.code == 1 and "UTF-8" in outcome.err


@pytest.mark.parametrize("kind", ["answers", "completes"])
def test_that_the_window_is_full_is_said_once(
    run: Run, parrot: MakeParrot, answering: MakeParrot, kind: str
) -> None:
    (answering if kind == "answers" else parrot)("ab|", context_length=24)
    options = ["--system", "S"] if kind == "answers" else []
    outcome = run("chat", "m", "--max-tokens", "3", *options, stdin="12\n" * 12)
    assert outcome.code == 0
    assert outcome.err.count("out of its sight") == 1
    assert ("system text is not" in outcome.err) == (kind == "answers")


def test_the_same_seed_gives_the_same_conversation(run: Run, parrot: MakeParrot, monkeypatch: Any) -> None:
    parrot("x")
    seeds: list[int] = []
    write = chat.Session.answer_to

    def noted(self: chat.Session, line: str) -> Any:
        answer = write(self, line)
        seeds.append(answer.pieces.stream.sequence.request.sampling.seed)
        return answer

    monkeypatch.setattr(chat.Session, "answer_to", noted)
    run("chat", "m", "--seed", "7", "--max-tokens", "1", stdin="a\nb\n/undo\nc\n")
    assert seeds == [7, 8, 9]


PROGRAM = """
import sys, time
from pathlib import Path
import pytest
import homespun
from homespun.cli import main
from tests.generation.fakes import ByteTokenizer, Parrot

class Slow(Parrot):
    def forward(self, ids):
        time.sleep(SLEEP)
        return super().forward(ids)

model = Slow(TEXT, 200)
opened = homespun.LanguageModel(model, ByteTokenizer(), Path("runs/parrot"))
homespun.load = lambda folder, **_: opened
sys.exit(main(["chat", "m", *ARGUMENTS]))
"""


@pytest.fixture
def terminal() -> Callable[..., tuple[str, int]]:
    """terminal(text, [(wait for this, then type this), …], …): what a person sees, and the exit code."""
    pty = pytest.importorskip("pty")

    def drive(
        text: bytes,
        script: Sequence[tuple[bytes, bytes]],
        *arguments: str,
        sleep: float = 0.0,
        colour: bool = False,
    ) -> tuple[str, int]:
        program = PROGRAM.replace("TEXT", repr(list(text))).replace("SLEEP", repr(sleep))
        program = program.replace("ARGUMENTS", repr(list(arguments)))
        pid, fd = pty.fork()
        if pid == 0:
            signal.signal(signal.SIGINT, signal.SIG_DFL)  # ignored where the tests run in a shell's background
            environment = {**os.environ, "TERM": "xterm-256color" if colour else "dumb", "INPUTRC": "/dev/null"}
            environment |= {"PYTHONPATH": str(Path(__file__).parents[2]), "PYTHONIOENCODING": "utf-8"}
            os.execve(sys.executable, [sys.executable, "-c", program], environment)
        shown, mark, rest, end = b"", 0, list(script), time.monotonic() + PATIENCE
        typed, quiet_since = b"", time.monotonic()
        while time.monotonic() < end:
            if select.select([fd], [], [], 0.1)[0]:
                try:
                    content = os.read(fd, 4096)
                except OSError:  # how Linux says that the other side is gone
                    break
                if not content:
                    break
                shown += content
            if rest and (found := shown.find(rest[0][0], mark)) >= 0:
                mark = found + len(rest[0][0])
                typed, quiet_since = rest.pop(0)[1], time.monotonic()
                os.write(fd, typed)
            elif typed == b"\x03" and time.monotonic() - quiet_since > 3:
                # Between its prompt and its waiting Python may miss a signal. A person presses again.
                quiet_since = time.monotonic()
                os.write(fd, typed)
        os.close(fd)
        assert not rest, (rest, shown)
        return shown.decode(errors="replace"), os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])

    return drive


def test_in_a_terminal_lines_are_edited_and_remembered(terminal: Callable[..., tuple[str, int]]) -> None:
    up, left = b"\x1b[A", b"\x1b[D"
    script = [
        (b"> ", b"Onc" + left + b"X\n"),
        (b"xyz", b""),
        (b"> ", up + b"\n"),
        (b"> ", b"/undo\n"),
        (b"> ", b"\x04"),
    ]
    shown, code = terminal(b"xyz", script, "--max-tokens", "3")
    assert code == 0
    assert "completes text" in shown and "goes on in the same line" in shown
    assert shown.count("… xyz\r\n") == 2 and "it ends now with: OnXcxyz" in shown
    assert "\x1b[3" not in shown


def test_ctrl_c_stops_the_answer_and_keeps_the_talk(
    terminal: Callable[..., tuple[str, int]], tmp_path: Path
) -> None:
    file = tmp_path / "kept.txt"
    script = [
        (b"> ", b"Once\n"),
        (b"xxx", b"\x03"),
        (b"stopped", b""),
        (b"> ", f"/save {file}\n".encode()),
        (b"Saved as", b""),
        (b"> ", b"\x03"),
        (b"again leaves", b"\x03"),
    ]
    _, code = terminal(b"x", script, "--max-tokens", "100000", sleep=0.05)
    assert code == 0
    assert file.read_text().startswith("Oncexxx")


def test_what_is_typed_in_another_encoding_is_told_and_lines_that_are_pasted_stay_together(
    terminal: Callable[..., tuple[str, int]], tmp_path: Path
) -> None:
    file = tmp_path / "kept.txt"
    script = [
        (b"> ", b"\xff\xfe\n"),
        (b"no text in UTF-8", b""),
        (b"> ", b"\x1b[200~two\nlines\x1b[201~\n"),
        (b"xyz", b""),
        (b"> ", f"/save {file}\n".encode()),
        (b"> ", b"/quit\n"),
    ]
    _, code = terminal(b"xyz", script, "--max-tokens", "3", colour=True)
    assert code == 0 and file.read_text() == "two\nlinesxyz"


def test_an_error_is_told_and_the_talk_goes_on(terminal: Callable[..., tuple[str, int]]) -> None:
    script = [
        (b"> ", b"/nothing\n"),
        (b"no command /nothing", b""),
        (b"> ", b"Once\n"),
        (b"xyz", b""),
        (b"> ", b"/quit\n"),
    ]
    _, code = terminal(b"xyz", script, "--max-tokens", "3")
    assert code == 0


def test_what_the_model_says_does_not_steer_the_terminal(terminal: Callable[..., tuple[str, int]]) -> None:
    shown, _ = terminal(
        b"\x1b]0;title\x07\x1b[2J.", [(b"> ", b"a\n"), (b"2J", b""), (b"> ", b"\x04")], "--max-tokens", "15"
    )
    assert "␛]0;title␇␛[2J" in shown and "\x1b]0" not in shown and "\x1b[2J" not in shown


def test_in_colours_the_prompt_and_the_notes_stand_out(terminal: Callable[..., tuple[str, int]]) -> None:
    shown, _ = terminal(b"x", [(b"> ", b"a\n"), (b"x", b""), (b"> ", b"\x04")], "--max-tokens", "1", colour=True)
    assert "\x1b[2m" in shown and "\x01" not in shown


def test_the_examples_in_the_docstrings_are_true() -> None:
    result = doctest.testmod(chat)
    assert result.attempted > 0 and result.failed == 0
