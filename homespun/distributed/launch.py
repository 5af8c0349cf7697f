"""`--processes N`: starts so many processes of the same command on this computer, and again when one is lost.

Rank 0 prints. What another rank says is shown if it ended first, and so is the cause. A process that was killed
is no mistake of the user's: all are started again, and go on from the last resume point, as long as the run gets
on. Ctrl-C and SIGTERM are passed on, and all processes save and end together.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import IO, Any

from homespun.distributed.place import FOLDER_FILE, RENDEZVOUS, RESTARTS, place_here
from homespun.errors import ProcessLost, UsageError

RESTARTS_WITHOUT_PROGRESS = 3
TO_END = 10.0  # seconds that the others have to end by themselves after one has
TO_STOP = 10.0  # seconds that they have after SIGTERM
INTERRUPTED = 130


def launch(arguments: Sequence[str], processes: int) -> int:
    """Run `homespun ARGUMENTS` in so many processes; returns the exit code. arguments: without --processes."""
    if place_here() is not None:
        raise UsageError(
            "torchrun has started this process as one of several already.", "Leave --processes out, or torchrun."
        )
    attempt, in_vain = 0, 0
    with tempfile.TemporaryDirectory(prefix="homespun-processes-") as folder:
        before = None
        while True:
            group = Group(arguments, processes, Path(folder), attempt)
            code = group.run()
            if code is not None:
                return code
            now = progress(group.folder_file)
            in_vain = 0 if now != before else in_vain + 1
            before = now
            if in_vain >= RESTARTS_WITHOUT_PROGRESS:
                say(f"error: {group.why}; it was started again {in_vain} times, and the run did not get on")
                return 1
            say(f"{group.why}; all go on from the last resume point")
            attempt += 1


class Group:
    """One start of the processes.

    why    after `run`: what ended them, if they are to be started again
    """

    def __init__(self, arguments: Sequence[str], size: int, folder: Path, attempt: int) -> None:
        self.arguments = arguments
        self.size = size
        self.folder = folder
        self.attempt = attempt
        self.folder_file = folder / "run-folder"
        self.asked_to_stop = False
        self.why = ""
        self.ended: list[int] = []  # ranks, in the order in which they ended
        self.said: list[IO[bytes]] = []
        self.processes: list[subprocess.Popen[bytes]] = []

    def run(self) -> int | None:
        """Start all and wait for them. Returns the exit code, or None if they are to be started again."""
        with self.signals_passed_on():
            try:
                for rank in range(self.size):
                    self.start(rank)
                self.wait()
            finally:
                self.end_all()
        return self.judged()

    def start(self, rank: int) -> None:
        said = tempfile.TemporaryFile(dir=self.folder)  # noqa: SIM115  read after the process has ended
        environment = {
            **os.environ,
            "RANK": str(rank),
            "WORLD_SIZE": str(self.size),
            "LOCAL_RANK": str(rank),
            "LOCAL_WORLD_SIZE": str(self.size),
            RESTARTS: str(self.attempt),
            RENDEZVOUS: str(self.folder / f"meeting-{self.attempt}"),
            FOLDER_FILE: str(self.folder_file),
        }
        self.said.append(said)
        self.processes.append(
            subprocess.Popen(
                [sys.executable, "-m", "homespun", *self.arguments],
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=None if rank == 0 else subprocess.DEVNULL,
                stderr=None if rank == 0 else said,
                start_new_session=True,  # Ctrl-C reaches only this process, which passes it on once
            )
        )

    def wait(self) -> None:
        """Until all have ended, or one has and the others were given time to notice."""
        deadline = None
        while len(self.ended) < self.size:
            for rank, process in enumerate(self.processes):
                if rank not in self.ended and process.poll() is not None:
                    self.ended.append(rank)
                    if process.returncode and deadline is None:
                        deadline = time.monotonic() + TO_END
            if deadline is not None and time.monotonic() > deadline:
                return
            time.sleep(0.05)

    def end_all(self) -> None:
        """End those that have not ended: first kindly."""
        for send in (subprocess.Popen.terminate, subprocess.Popen.kill):
            running = [process for process in self.processes if process.poll() is None]
            for process in running:
                send(process)
            deadline = time.monotonic() + TO_STOP
            while time.monotonic() < deadline and any(process.poll() is None for process in running):
                time.sleep(0.05)
        for process in self.processes:
            process.wait()

    def judged(self) -> int | None:
        """The exit code of the command; None if all are to be started again, and `why` says why."""
        codes = [process.returncode for process in self.processes]
        if not any(codes):
            return 0
        if self.asked_to_stop and all(code in (INTERRUPTED, ProcessLost.exit_code) or code < 0 for code in codes):
            return INTERRUPTED
        causes = [rank for rank in self.ended if codes[rank] not in (0, ProcessLost.exit_code)]
        killed = next((rank for rank in causes if codes[rank] < 0), None)
        if killed is not None and killed == causes[0]:
            self.why = f"rank {killed} was ended by {name_of(-codes[killed])}"
            return None
        if not causes:
            silent = [rank for rank in range(self.size) if rank not in self.ended]
            self.why = f"rank {silent[0]} did not answer" if silent else "a connection between the processes broke"
            return None
        if causes[0] != 0 and codes[0] in (None, ProcessLost.exit_code):
            self.show(causes[0])
        code = codes[causes[0]]
        return int(code) if code > 0 else 1

    def show(self, rank: int) -> None:
        """What that rank has printed as an error."""
        self.said[rank].seek(0)
        for line in self.said[rank].read().decode("utf-8", "replace").splitlines():
            say(f"rank {rank}: {line}")

    @contextmanager
    def signals_passed_on(self) -> Iterator[None]:
        def pass_on(number: int, frame: FrameType | None) -> None:
            self.asked_to_stop = True
            for process in self.processes:
                if process.poll() is None:
                    process.send_signal(number)

        before: dict[signal.Signals, Any] = {
            number: signal.signal(number, pass_on) for number in (signal.SIGINT, signal.SIGTERM)
        }
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)


def progress(folder_file: Path) -> str:
    """The newest resume point of the run that was chosen; "" if there is none."""
    if not folder_file.exists():
        return ""
    run = Path(folder_file.read_text(encoding="utf-8"))
    return max((path.parent.name for path in run.glob("resume/step-*/point.json")), default="")


def name_of(number: int) -> str:
    """A signal by its name; SIGKILL also says what sends it on a full machine."""
    try:
        name = signal.Signals(number).name
    except ValueError:
        name = f"signal {number}"
    return f"{name} (which the system also sends where memory runs out)" if name == "SIGKILL" else name


def say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)
