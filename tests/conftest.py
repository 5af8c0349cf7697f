"""What every test can lean on: a cache of its own, and tiny Shakespeare where it is there."""

from __future__ import annotations

import os
from pathlib import Path

import hypothesis
import pytest

from tests.web import server  # noqa: F401 (a fixture)

# The models of the tests are tiny: a second thread brings nothing, and where something else runs on
# the machine, threads that wait for each other are many times slower than one. Before torch is loaded.
os.environ.setdefault("OMP_NUM_THREADS", "1")


# By itself hypothesis fails a test that takes over 0.2 seconds, as any does on a machine with other work to do.
# The same examples each time: whether a change is right does not hang on dice. `make properties` throws them.
hypothesis.settings.register_profile("the same", deadline=None, derandomize=True)
hypothesis.settings.register_profile("other ones", deadline=None, max_examples=1000)
hypothesis.settings.load_profile("the same")


@pytest.fixture(scope="session")
def operations(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """The libraries of a training step, compiled once for all tests; none where they cannot be."""
    from homespun.kernels.float32.source import FLOAT32
    from homespun.kernels.training.source import TRAINING
    from homespun.machine.builds import make_once

    folder = tmp_path_factory.getbasetemp()
    folder = (folder.parent if "PYTEST_XDIST_WORKER" in os.environ else folder) / "native"  # all workers share it
    folder.mkdir(exist_ok=True)
    libraries = []
    for source in (TRAINING, FLOAT32):
        path = source.place(folder)
        if path is not None:
            make_once(source.main, path)
            libraries += [path] if path.exists() else []
    return libraries


@pytest.fixture(autouse=True)
def own_cache(
    tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch, operations: list[Path]
) -> Path:
    """No test reads or writes the user's cache. The operations of training are in it: compiling takes seconds."""
    folder = tmp_path_factory.mktemp("cache")
    monkeypatch.setenv("HOMESPUN_CACHE", str(folder))
    (folder / "native").mkdir()
    for library in operations:
        (folder / "native" / library.name).symlink_to(library)
    return folder


@pytest.fixture(scope="session")
def shakespeare_path() -> Path:
    """The tutorials' text, from $HOMESPUN_DATA; the tests that need it are skipped where it is not."""
    folder = os.environ.get("HOMESPUN_DATA")
    path = Path(folder) / "tinyshakespeare.txt" if folder else None
    if path is None or not path.is_file():
        pytest.skip("tiny Shakespeare is not here (set HOMESPUN_DATA to the folder that has it)")
    return path


@pytest.fixture(scope="session")
def shakespeare_text(shakespeare_path: Path) -> str:
    return shakespeare_path.read_text(encoding="utf-8")
