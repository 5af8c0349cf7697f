"""The examples in the docstrings are true, and a text file is written without torch."""

from __future__ import annotations

import doctest
import subprocess
import sys
from importlib import import_module

import pytest


@pytest.mark.parametrize("module", ["fields", "hf_names", "layout"])
def test_the_examples_in_the_docstrings_are_true(module: str) -> None:
    result = doctest.testmod(import_module(f"homespun.checkpoint.{module}"))
    assert result.attempted > 0
    assert result.failed == 0


def test_writing_a_text_file_does_not_import_torch() -> None:
    program = "import sys; from homespun.machine.atomic import write_json; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"
