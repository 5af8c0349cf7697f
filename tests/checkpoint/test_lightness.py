"""To open a model takes no more of torch than to run it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from tests.patience import PATIENCE


def test_opening_a_folder_does_not_make_torch_prepare_for_compiling(folder: Path) -> None:
    """That takes longer than all the rest, and happens unasked where random numbers are made without memory."""
    script = (
        "import sys; from homespun.checkpoint.folder import load_model; load_model(sys.argv[1]);"
        "print([name for name in ('torch._dynamo', 'sympy') if name in sys.modules])"
    )
    command = [sys.executable, "-c", script, str(folder)]
    answer = subprocess.run(command, capture_output=True, text=True, check=True, timeout=PATIENCE)
    assert answer.stdout.strip() == "[]"
