"""The compiled library, made once for all tests of this room."""

from __future__ import annotations

import ctypes
from pathlib import Path

import pytest

from homespun.kernels.decoding.native_step import opened
from homespun.kernels.decoding.source import STEP
from homespun.machine import builds as compiling


@pytest.fixture(autouse=True)
def nothing_is_compiled_beside(monkeypatch: pytest.MonkeyPatch) -> None:
    """A compiler that a test leaves behind would outlive it, and slow down all that come after."""
    monkeypatch.setattr(compiling, "leave_to_another", lambda source, path, in_haste: None)


@pytest.fixture(scope="session")
def compiled(tmp_path_factory: pytest.TempPathFactory) -> Path | None:
    """Where it is; None where there is no compiler."""
    path = tmp_path_factory.mktemp("native") / "step.so"
    compiling.make(STEP.main, path)
    return path if path.exists() else None


@pytest.fixture
def native(compiled: Path | None) -> ctypes.CDLL:
    """The library; the test is skipped where it cannot be had."""
    library = None if compiled is None else opened(compiled)
    if library is None:
        pytest.skip("there is no compiler here, or what it made cannot be loaded")
    return library


@pytest.fixture(params=["plain", "native"])
def way(request: pytest.FixtureRequest, compiled: Path | None, monkeypatch: pytest.MonkeyPatch) -> str:
    """The test runs with the step in PyTorch, and with the compiled one."""
    if request.param == "native":
        request.getfixturevalue("native")
    path = compiled if request.param == "native" else None
    monkeypatch.setattr(compiling.Source, "library", lambda source, **how: path)
    return request.param
