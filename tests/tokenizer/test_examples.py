"""The examples in the docstrings are true."""

from __future__ import annotations

import doctest
from importlib import import_module
from pkgutil import iter_modules

import pytest

import homespun.tokenizer as room


@pytest.mark.parametrize(
    "name", [room.__name__, *(f"{room.__name__}.{found.name}" for found in iter_modules(room.__path__))]
)
def test_examples(name: str) -> None:
    assert doctest.testmod(import_module(name)).failed == 0
