"""One server for most tests of this room, clients of it, and the compiled step, made once."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from homespun.kernels.decoding.source import STEP
from homespun.machine import builds
from tests.server.running import TOOL_TEMPLATE, Running, make_model, running

openai = pytest.importorskip("openai")
pytest.importorskip("fastapi")


@pytest.fixture(autouse=True)
def nothing_is_compiled_beside(monkeypatch: pytest.MonkeyPatch) -> None:
    """A compiler that a test leaves behind would outlive it, and slow down all that come after."""
    monkeypatch.setattr(builds, "leave_to_another", lambda source, path, in_haste: None)


@pytest.fixture(scope="package", autouse=True)
def step(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path | None]:
    """The library of the decoding step, which all servers of this room use; None where there is no compiler."""
    path = STEP.place(tmp_path_factory.mktemp("step"))
    if path is not None:
        builds.make(STEP.main, path)
        path = path if path.exists() else None
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(builds.Source, "library", lambda source, **how: path if source.name == STEP.name else None)
        yield path


@pytest.fixture(scope="package")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """tiny completes text; talker answers; caller can call functions."""
    folder = tmp_path_factory.mktemp("served")
    make_model(folder / "tiny", context=128)
    make_model(folder / "talker", context=256, template="chatml")
    make_model(folder / "caller", context=1024, template=TOOL_TEMPLATE)
    return folder


@pytest.fixture(scope="package")
def served(models: Path, step: Path | None) -> Iterator[Running]:
    from homespun.server.models import entries_of

    entries = sorted(entries_of(str(models), [], {}), key=lambda entry: entry.names[0] != "tiny")
    with running(entries) as server:
        yield server


@pytest.fixture(scope="package")
def client(served: Running) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=f"{served.url}/v1", api_key="none", max_retries=0) as made:
        yield made
