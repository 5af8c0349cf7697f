"""The examples in the documentation are true."""

from __future__ import annotations

import doctest
from importlib import import_module
from pathlib import Path

import pytest

import homespun.interop

FILES = sorted(Path(homespun.interop.__file__).parent.glob("*.py"))
MODULES = [f"homespun.interop.{file.stem}" for file in FILES if file.stem != "__init__"]


@pytest.mark.parametrize("module", [*MODULES, "homespun.cli.export", "homespun.api.exporting"])
def test_the_examples_of(module: str) -> None:
    result = doctest.testmod(import_module(module))
    assert result.failed == 0
