"""Threads sleep sooner while other programs are busy, and only then."""

from __future__ import annotations

import subprocess
import sys

import pytest

from homespun.machine import contention as room
from homespun.machine.contention import INTERVAL, Contention, Crowd, OtherPrograms, crowd_here, loaded_libgomp


class Machine:
    """Cores, of which `others` are taken by other programs and `own` by us, on a clock of its own."""

    def __init__(self, cores: int) -> None:
        self.cores, self.now, self.total, self.ours = cores, 0.0, 0.0, 0.0
        self.crowds: list[FakeCrowd] = []
        others = OtherPrograms(lambda: (self.total, self.ours), clock=lambda: self.now)
        self.contention = Contention(others, self.crowd, lambda: cores)

    def crowd(self) -> Crowd:
        self.crowds.append(FakeCrowd())
        return self.crowds[-1]

    def go_on(self, others: float, own: float, threads: int, seconds: float = INTERVAL) -> bool:
        self.now += seconds
        self.ours += own * seconds
        self.total += (own + others) * seconds
        return self.contention.check(threads)


class FakeCrowd(Crowd):
    def __init__(self) -> None:
        super().__init__([], 2)
        self.renewed = 0

    def renew(self) -> None:
        super().renew()
        self.renewed = getattr(self, "renewed", 0) + 1


def test_a_computer_of_our_own_has_no_crowd_however_busy_we_are() -> None:
    machine = Machine(2)
    assert not any(machine.go_on(others=0.2, own=1.8, threads=2) for _ in range(5))
    assert not machine.crowds


def test_beside_a_busy_program_there_is_a_crowd_until_it_ends() -> None:
    machine = Machine(2)
    found = [machine.go_on(others=1.0, own=1.0, threads=2) for _ in range(4)]
    assert found == [False, True, True, True]  # at first there is nothing to compare with
    (crowd,) = machine.crowds
    assert crowd.renewed == 2 and not crowd.left.is_set()
    assert not machine.go_on(others=0.0, own=2.0, threads=2) and crowd.left.is_set()
    assert machine.go_on(others=1.0, own=1.0, threads=2) and len(machine.crowds) == 2


def test_cores_that_are_not_used_are_not_fought_over() -> None:
    machine = Machine(16)
    assert [machine.go_on(others=4.0, own=8.0, threads=8) for _ in range(2)] == [False, False]
    assert machine.go_on(others=4.0, own=12.0, threads=16)


def test_one_thread_waits_for_nobody() -> None:
    machine = Machine(2)
    assert not any(machine.go_on(others=2.0, own=0.5, threads=1) for _ in range(3))


def test_it_measures_now_and_then_not_at_every_step() -> None:
    machine = Machine(2)
    for _ in range(100):
        machine.go_on(others=1.0, own=1.0, threads=2, seconds=INTERVAL / 50)
    assert machine.contention.busy and sum(crowd.renewed for crowd in machine.crowds) <= 3


def test_what_the_user_has_set_is_left_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(room, "loaded_libgomp", lambda: pytest.fail("looked for"))
    monkeypatch.setenv("OMP_WAIT_POLICY", "ACTIVE")
    assert crowd_here() is None
    monkeypatch.delenv("OMP_WAIT_POLICY")
    monkeypatch.setenv("GOMP_SPINCOUNT", "7")
    assert crowd_here() is None


def test_a_crowd_of_real_threads_comes_and_goes() -> None:
    import torch

    assert torch.get_num_threads()
    if not loaded_libgomp():
        pytest.skip("PyTorch's threads are not GNU's here")
    script = (
        "import threading, torch; from pathlib import Path; from homespun.machine.contention import *\n"
        "tasks = lambda: len(list(Path('/proc/self/task').iterdir()))\n"
        "before = tasks(); crowd = Crowd(loaded_libgomp(), 4)\n"
        "while tasks() < before + 4: pass\n"
        "x = torch.ones(1000, 1000); assert float((x @ x).sum()) == 1e9\n"
        "crowd.leave()\n"
        "while tasks() > before + 1: pass\n"
        "print('gone')"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=120)
    assert done.stdout == "gone\n", done.stderr
