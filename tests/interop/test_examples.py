"""The examples in the documentation are true."""

from __future__ import annotations

import doctest
from importlib import import_module
from pathlib import Path

import pytest

import homespun.interop

ROOM = Path(homespun.interop.__file__).parent
FILES = sorted(path.relative_to(ROOM).with_suffix("") for path in ROOM.rglob("*.py"))
MODULES = [".".join(("homespun", "interop", *file.parts)) for file in FILES if file.name != "__init__"]


@pytest.mark.parametrize("module", [*MODULES, "homespun.cli.export", "homespun.api.export"])
def test_the_examples_of(module: str) -> None:
    result = doctest.testmod(import_module(module))
    assert result.failed == 0
