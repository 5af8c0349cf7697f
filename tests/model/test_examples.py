"""The examples in the docstrings are true."""

from __future__ import annotations

import doctest
from importlib import import_module

import pytest


@pytest.mark.parametrize("module", ["dot_product", "context", "config", "rotary", "layers", "family"])
def test_the_examples_in_the_docstrings_are_true(module: str) -> None:
    result = doctest.testmod(import_module(f"homespun.model.{module}"), extraglobs=None)
    assert result.attempted > 0
    assert result.failed == 0
