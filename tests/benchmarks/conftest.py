from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from benchmarks import page
from benchmarks.pairs import Benchmark

Ran = Callable[..., tuple[dict[str, Any], str, str]]


@pytest.fixture
def ran(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Ran:
    """Runs a benchmark's command: its JSON, what it printed, and its line and section of the pages."""

    def run(benchmark: Benchmark, *arguments: str) -> tuple[dict[str, Any], str, str]:
        benchmark.main([*arguments, "--results", str(tmp_path)])
        found = page.read(tmp_path)
        return (
            json.loads((tmp_path / f"{benchmark.name}.json").read_text(encoding="utf-8")),
            capsys.readouterr().out,
            page.table(found) + page.behind(found),
        )

    return run
