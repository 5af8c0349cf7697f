"""The threads of our kernels: every piece once, nobody waits without need, and a fork is survived."""

from __future__ import annotations

import ctypes
import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from homespun.machine import builds

SOURCE = Path(__file__).with_name("parallel.cpp")
LOOPS = 100


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("parallel") / "parallel.so"
    builds.make(SOURCE, path)
    if not path.exists():
        pytest.skip("there is no compiler here")
    return path


@pytest.fixture(scope="module")
def library(path: Path) -> ctypes.CDLL:
    library = ctypes.CDLL(str(path))
    library.many_loops.restype = ctypes.c_int64
    return library


def sum_of_loops(pieces: int, loops: int) -> int:
    return sum(1 + piece * loops + sum(range(loops)) for piece in range(pieces))


@pytest.mark.parametrize("threads", [1, 2, 5])
@pytest.mark.parametrize("pieces", [0, 1, 2, 7, 4095, 4096, 50_001])
def test_every_piece_is_computed_once(library: ctypes.CDLL, threads: int, pieces: int) -> None:
    times = (ctypes.c_int * max(pieces, 1))()
    assert library.count(threads, pieces, times)
    assert set(times[:pieces]) <= {1}


def test_more_threads_than_a_team_may_have_are_not_started(library: ctypes.CDLL) -> None:
    times = (ctypes.c_int * 600)()
    assert library.count(1_000, 600, times)
    assert set(times) == {1}


@pytest.mark.parametrize("threads", [2, 4])
def test_a_loop_sees_what_the_loop_before_has_left(library: ctypes.CDLL, threads: int) -> None:
    assert library.many_loops(threads, 7, LOOPS) == sum_of_loops(7, LOOPS)


def test_while_a_thread_is_held_up_the_others_do_all_other_pieces(library: ctypes.CDLL) -> None:
    """With work that is divided before it begins, some pieces would wait for that thread, and it for them."""
    assert library.one_is_held_up(2, 64) == 1


@pytest.mark.parametrize("threads", [1, 3])
def test_an_exception_comes_to_the_caller_and_the_next_loop_is_computed(
    library: ctypes.CDLL, threads: int
) -> None:
    others = library.throws(threads, 20, 10)
    assert others == (10 if threads == 1 else 19)
    assert library.many_loops(threads, 7, 5) == sum_of_loops(7, 5)


def test_a_loop_in_a_loop_is_computed(library: ctypes.CDLL) -> None:
    assert library.nested(3, 12) == 144


def test_several_callers_at_once_all_get_their_loops(library: ctypes.CDLL) -> None:
    found: list[int] = []
    callers = [threading.Thread(target=lambda: found.append(library.many_loops(3, 7, LOOPS))) for _ in range(4)]
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join()
    assert found == [sum_of_loops(7, LOOPS)] * 4


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")
def test_a_forked_process_has_threads_of_its_own_and_leaves_those_of_its_parent_alone(path: Path) -> None:
    """In a process of its own: pytest has threads, with which a fork is not safe."""
    script = f"""
import ctypes, os
library = ctypes.CDLL({str(path)!r})
right = library.many_loops(3, 7, 50)
child = os.fork()
if child == 0:
    os._exit(0 if library.many_loops(3, 7, 50) == right and library.one_is_held_up(2, 64) == 1 else 1)
assert os.waitpid(child, 0)[1] == 0
assert library.many_loops(3, 7, 50) == right and library.one_is_held_up(2, 64) == 1
"""
    done = subprocess.run([sys.executable, "-c", script], timeout=60, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.skipif(not Path("/proc/self/task").is_dir(), reason="threads are counted in /proc")
def test_threads_are_started_by_the_first_loop_and_do_not_hold_up_the_end_of_the_process(path: Path) -> None:
    script = f"""
import ctypes, os
def threads():
    return len(os.listdir("/proc/self/task"))
library = ctypes.CDLL({str(path)!r})
before = threads()
library.many_loops(1, 7, 2)
alone = threads()
library.many_loops(3, 7, 2)
print(before, alone, threads())
"""
    done = subprocess.run([sys.executable, "-c", script], timeout=60, capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (0, "1 1 3\n", "")


@pytest.mark.skipif(not Path("/proc/self/task").is_dir(), reason="signals of threads are read in /proc")
def test_the_threads_take_no_signals_of_the_program(path: Path) -> None:
    script = f"""
import ctypes, os, pathlib
ctypes.CDLL({str(path)!r}).many_loops(3, 7, 2)
for task in os.listdir("/proc/self/task"):
    if int(task) != os.getpid():
        lines = pathlib.Path(f"/proc/self/task/{{task}}/status").read_text().splitlines()
        blocked = next(int(line.split()[1], 16) for line in lines if line.startswith("SigBlk"))
        assert blocked >> 1 & 1, "SIGINT would be taken"
        print("blocked")
"""
    done = subprocess.run([sys.executable, "-c", script], timeout=60, capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (0, "blocked\nblocked\n", "")
