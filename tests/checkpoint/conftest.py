"""A sound model folder for every test of this room that wants one."""

from __future__ import annotations

from pathlib import Path

import pytest

from homespun.checkpoint.folder import save_model
from tests.checkpoint.models import char_tokenizer, lively, tiny


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A sound folder of a small modern model, for the tests to spoil."""
    save_model(tmp_path / "run", lively(tiny("modern")), char_tokenizer())
    return tmp_path / "run"
