"""Processes that compile for later."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

GROUP = Path("/proc/self/autogroup")
SCRIPT = f"""
import os, pathlib
from homespun.native import give_way

give_way()
group = pathlib.Path("{GROUP}")
print(os.nice(0), group.read_text() if group.exists() else "")
"""


@pytest.mark.skipif(not hasattr(os, "nice"), reason="there is no niceness here")
@pytest.mark.parametrize("leads", [True, False])
def test_who_gives_way_does_so_to_other_sessions_and_leaves_that_of_the_user_alone(leads: bool) -> None:
    before = GROUP.read_text() if GROUP.exists() else ""
    command = [sys.executable, "-c", SCRIPT]
    said = subprocess.run(command, capture_output=True, text=True, check=True, start_new_session=leads).stdout
    niceness, *group = said.split(maxsplit=1)
    assert niceness == "19"
    if leads and before:
        assert group[0].strip().endswith("nice 19")
    else:
        assert "".join(group).strip() == before.strip()
