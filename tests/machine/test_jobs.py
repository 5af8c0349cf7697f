"""Jobs in the background: one at a time, only while nobody is disturbed, and only while they have a purpose."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import psutil
import pytest
from filelock import FileLock

from homespun.machine import activity, jobs
from homespun.machine.activity import needs_quiet, on_quiet_computer, slot
from homespun.machine.contention import OtherPrograms
from homespun.machine.jobs import GAVE_UP, LOCK, LONGEST_WAIT, LONGEST_WORK, Job, Load, Supervisor, Turns

JOB = Job(("-c", "pass"), kind="training step")


class Work:
    """A process that works for so many looks at it."""

    def __init__(self, looks: int, code: int = 0) -> None:
        self.looks, self.code = looks, code
        self.returncode: int | None = None

    def poll(self) -> int | None:
        self.looks -= 1
        if self.looks < 0:
            self.returncode = self.code
        return self.returncode


class Scene:
    """A computer on which a job waits and works, and what happens on it at each second that passes."""

    def __init__(self, folder: Path, job: Job, looks: int = 3, code: int = 0) -> None:
        self.now = 0.0
        self.trains = False
        self.others = 0.0  # cores
        self.begun: list[Work] = []
        self.stopped: list[Work] = []
        self.happens: dict[int, Callable[[], Any]] = {}
        self.polls = 0
        load = Load(OtherPrograms(lambda: (self.used, 0.0), clock=lambda: self.now), lambda: self.now, lambda: 2)
        self.supervisor = Supervisor(
            job,
            Turns(folder),
            lambda job: self.begin(Work(looks, code)),
            self.stopped.append,
            trains=lambda: self.trains,
            load=load,
            clock=lambda: self.now,
            sleep=self.sleep,
        )

    used = 0.0

    def begin(self, work: Work) -> Work:
        self.begun.append(work)
        return work

    def sleep(self, seconds: float) -> None:
        self.polls += 1
        self.now += 1.0
        self.used += self.others
        self.happens.pop(self.polls, lambda: None)()

    def at(self, poll: int, **changes: Any) -> None:
        self.happens[poll] = lambda: [setattr(self, name, value) for name, value in changes.items()]


def test_a_job_works_when_nothing_is_in_its_way(tmp_path: Path) -> None:
    scene = Scene(tmp_path, JOB, code=3)
    assert scene.supervisor.run() == 3
    assert len(scene.begun) == 1 and scene.stopped == scene.begun


def test_one_works_and_the_next_waits_for_its_turn(tmp_path: Path) -> None:
    first = FileLock(tmp_path / LOCK)
    first.acquire()
    scene = Scene(tmp_path, JOB)
    scene.happens[5] = lambda: (scene.begun and pytest.fail("two at once")) or first.release()
    assert scene.supervisor.run() == 0 and len(scene.begun) == 1


def test_it_waits_while_a_run_trains_and_stops_when_one_begins(tmp_path: Path) -> None:
    scene = Scene(tmp_path, JOB, looks=10)
    scene.trains = True
    scene.at(5, trains=False)
    scene.at(8, trains=True)
    scene.happens[20] = lambda: [setattr(scene, "trains", False), len(scene.begun) == 1 or pytest.fail("worked")]
    assert scene.supervisor.run() == 0
    assert len(scene.begun) == len(scene.stopped) == 2  # stopped once, and begun again


def test_while_a_run_trains_nothing_holds_the_lock(tmp_path: Path) -> None:
    scene = Scene(tmp_path, JOB, looks=10)
    scene.at(3, trains=True)
    free: list[bool] = []
    scene.happens[6] = lambda: [free.append(Turns(tmp_path).take()), setattr(scene, "trains", False)]
    scene.supervisor.run()
    assert free == [True]


def test_a_heavy_job_waits_while_other_programs_are_busy_and_does_not_stop_for_a_moment_of_it(
    tmp_path: Path,
) -> None:
    scene = Scene(tmp_path, replace(JOB, heavy=True), looks=60)
    scene.others = 2.0
    scene.happens[20] = lambda: [setattr(scene, "others", 0.0), scene.begun and pytest.fail("worked")]
    scene.at(25, others=2.0)
    scene.at(30, others=0.0)
    scene.happens[34] = lambda: len(scene.begun) == 1 or pytest.fail("stopped too soon, or not begun")
    scene.at(40, others=2.0)
    scene.at(60, others=0.0)
    assert scene.supervisor.run() == 0 and len(scene.begun) == 2


def test_an_urgent_job_waits_for_its_turn_alone(tmp_path: Path) -> None:
    scene = Scene(tmp_path, replace(JOB, urgent=True, heavy=True))
    scene.trains, scene.others = True, 2.0
    assert scene.supervisor.run() == 0 and scene.polls <= 4


def test_a_newer_one_of_its_kind_replaces_it_while_it_waits_and_others_do_not(tmp_path: Path) -> None:
    for kind, expected in (("training step", GAVE_UP), ("step", 0)):
        scene = Scene(tmp_path, JOB)
        scene.trains = True
        newer = Job(("-c", "pass"), kind=kind)
        scene.happens[4] = lambda newer=newer: Turns(tmp_path).announce(newer)  # type: ignore[misc]
        scene.at(8, trains=False)
        assert scene.supervisor.run() == expected
        assert len(scene.begun) == (expected == 0)


def test_it_ends_with_its_purpose_waiting_or_at_work(tmp_path: Path) -> None:
    for looks, trains in ((3, True), (100, False)):
        purpose = tmp_path / "plan.toml"
        purpose.write_text("plan")
        scene = Scene(tmp_path, replace(JOB, purpose=str(purpose)), looks=looks)
        scene.trains = trains
        scene.happens[6] = purpose.unlink
        assert scene.supervisor.run() == GAVE_UP
        assert scene.polls == 6 and scene.stopped == scene.begun


def test_what_another_has_done_meanwhile_is_not_done_again(tmp_path: Path) -> None:
    done = tmp_path / "done"
    scene = Scene(tmp_path, replace(JOB, done=str(done)))
    scene.trains = True
    scene.happens[3] = lambda: [done.touch(), setattr(scene, "trains", False)]
    assert scene.supervisor.run() == 0 and not scene.begun


def test_nothing_waits_or_works_for_ever(tmp_path: Path) -> None:
    scene = Scene(tmp_path, JOB)
    scene.trains = True
    assert scene.supervisor.run() == GAVE_UP and LONGEST_WAIT < scene.now < LONGEST_WAIT + 3
    scene = Scene(tmp_path, JOB, looks=10**6)
    assert scene.supervisor.run() == GAVE_UP and LONGEST_WORK < scene.now < LONGEST_WORK + 3


def test_who_is_undisturbed_is_seen_by_others_until_it_ends_however_it_ends(own_cache: Path) -> None:
    assert not needs_quiet()
    seen: list[bool] = []
    on_quiet_computer(lambda: seen.append(needs_quiet()))()
    with slot(), slot():
        assert needs_quiet()
    assert seen == [True] and not needs_quiet()
    script = (
        "from homespun.machine.activity import slot\n"
        "with slot():\n print('there', flush=True)\n input()"
    )  # fmt: skip
    process = subprocess.Popen([sys.executable, "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert process.stdout is not None and process.stdout.readline() == b"there\n"
    assert needs_quiet()
    process.kill()
    process.wait()
    assert not needs_quiet()


def test_training_tuning_and_planning_are_undisturbed(monkeypatch: pytest.MonkeyPatch) -> None:
    from homespun.api import finetune as tuning
    from homespun.api import plan as planning
    from homespun.api import train as making

    for function in (making.train, tuning.tune, planning.plan):
        assert function.__wrapped__  # type: ignore[attr-defined]
    monkeypatch.setattr(
        making, "Path", lambda *_: pytest.fail("quiet is not asked for") if not needs_quiet() else 1 / 0
    )
    with pytest.raises(ZeroDivisionError):
        making.train(plan="plan.toml")


def test_without_a_cache_functions_run_all_the_same(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("HOMESPUN_CACHE", str(tmp_path / "file"))
    assert on_quiet_computer(lambda: 5)() == 5 and not needs_quiet()
    jobs.wait_for_quiet()


def waiting(pid_file: Path) -> int:
    while not (pid_file.exists() and pid_file.read_text()):
        time.sleep(0.02)
    return int(pid_file.read_text())


def gone(pid: int) -> None:
    """Returns when that process has ended; the test's own limit of time is the only one."""
    while psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE:
        time.sleep(0.02)


WORK = (
    "import os, pathlib, sys, time; from homespun.machine.jobs import end_with_standard_input; "
    "line = sys.stdin.readline().strip(); end_with_standard_input(); "
    "pathlib.Path(line).write_text(str(os.getpid())); time.sleep(600)"
)


@pytest.mark.skipif(not hasattr(os, "killpg"), reason="signals are those of Unix")
def test_what_works_ends_with_its_supervisor_and_an_urgent_one_with_the_program_that_waits(tmp_path: Path) -> None:
    for case, urgent in (("supervisor killed", False), ("program gone", True)):
        pid_file = tmp_path / case
        process = jobs.start(Job(("-c", WORK), stdin=str(pid_file), urgent=urgent, kind=case))
        worker = waiting(pid_file)
        if urgent:
            assert process.stdin is not None
            process.stdin.close()  # as the system does when the program ends
        else:
            process.send_signal(signal.SIGKILL)
        process.wait()
        gone(worker)


@pytest.mark.skipif(not hasattr(os, "killpg"), reason="signals are those of Unix")
def test_a_run_that_begins_stops_a_job_at_work(tmp_path: Path) -> None:
    pid_file = tmp_path / "pid"
    purpose = tmp_path / "plan.toml"
    purpose.touch()
    process = jobs.start(Job(("-c", WORK), stdin=str(pid_file), purpose=str(purpose)))
    worker = waiting(pid_file)
    with slot():
        gone(worker)
        jobs.wait_for_quiet(seconds=60)
        assert process.poll() is None  # it waits for its next turn
        purpose.unlink()
        assert process.wait() == GAVE_UP


def test_a_computer_has_a_folder_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    here = activity.folder_of_this_computer()
    monkeypatch.setattr(activity.platform, "node", lambda: "an/other")
    assert activity.folder_of_this_computer() != here
