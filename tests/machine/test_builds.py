"""Processes that compile for later."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from homespun.machine import builds

SCRIPT = """
import json, os, pathlib
from homespun.machine.builds import give_way

def group():
    file = pathlib.Path("/proc/self/autogroup")
    return file.read_text() if file.exists() else ""

before = group()
give_way()
print(json.dumps([os.nice(0), before, group()]))
"""


@pytest.mark.skipif(not hasattr(os, "nice"), reason="there is no niceness here")
@pytest.mark.parametrize("leads", [True, False])
def test_who_gives_way_does_so_to_other_sessions_and_leaves_that_of_the_user_alone(leads: bool) -> None:
    command = [sys.executable, "-c", SCRIPT]
    said = subprocess.run(command, capture_output=True, text=True, check=True, start_new_session=leads).stdout
    niceness, before, after = json.loads(said)
    assert niceness == 19
    if leads and before:  # empty where Linux does not group processes by session
        assert before.split("nice")[0] == after.split("nice")[0]
        assert after.endswith("nice 19\n")
    else:
        assert after == before


def test_a_compiler_that_is_slow_today_is_asked_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A source that cannot be compiled is not tried again; a computer that was busy is."""

    def slow(command: list[str]) -> tuple[int, str]:
        raise subprocess.TimeoutExpired(command, builds.LONGEST)

    monkeypatch.setattr(builds, "compiler", lambda: "g++")
    monkeypatch.setattr(builds, "compiled", slow)
    builds.make(tmp_path / "small.cpp", tmp_path / "small.so")
    assert builds.is_to_be_made(tmp_path / "small.so")
    monkeypatch.setattr(builds, "compiled", lambda command: (1, "error: expected ';'"))
    builds.make(tmp_path / "small.cpp", tmp_path / "small.so")
    assert not builds.is_to_be_made(tmp_path / "small.so")
