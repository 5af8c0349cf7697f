"""Processes that compile for later."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

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
