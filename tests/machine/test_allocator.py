"""Training starts itself anew with an allocator that keeps memory, once, and only where that works."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from typing import Any

import pytest

from homespun.machine import allocator
from tests.patience import PATIENCE

glibc_only = pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="the settings are glibc's")
SHOW = (
    "import os, sys; from homespun.machine import allocator; allocator.keep_memory_between_steps(); "
    "print(sys.argv[1:], os.environ['GLIBC_TUNABLES'])"
)


@glibc_only
def test_the_same_command_goes_on_with_the_settings() -> None:
    environment = {name: value for name, value in os.environ.items() if name != "GLIBC_TUNABLES"}
    command = [sys.executable, "-c", SHOW, "a text.txt", "--steps", "1"]
    told = subprocess.run(
        command, env=environment, capture_output=True, text=True, timeout=PATIENCE, check=True
    ).stdout
    assert told.startswith("['a text.txt', '--steps', '1'] glibc.malloc.hugetlb=1:")


def test_what_the_user_has_set_is_left_as_it_is() -> None:
    environment = {**os.environ, "GLIBC_TUNABLES": "glibc.malloc.perturb=0"}
    command = [sys.executable, "-c", SHOW]
    told = subprocess.run(
        command, env=environment, capture_output=True, text=True, timeout=PATIENCE, check=True
    ).stdout
    assert told.split() == ["[]", "glibc.malloc.perturb=0"]


def test_another_c_library_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    def never(*arguments: Any) -> None:
        raise AssertionError("the process must not be replaced")

    monkeypatch.delenv("GLIBC_TUNABLES", raising=False)
    monkeypatch.setattr(platform, "libc_ver", lambda: ("", ""))
    monkeypatch.setattr(os, "execve", never)
    allocator.keep_memory_between_steps()
