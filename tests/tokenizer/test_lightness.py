"""Importing the room is cheap: the command line lists the kinds without the library behind them."""

from __future__ import annotations

import subprocess
import sys


def test_choosing_needs_neither_the_library_nor_numpy_nor_torch() -> None:
    code = (
        "import sys; from homespun.tokenizer.choose import choose;"
        "choose(characters=9, alphabet={'a': 9}, documents=1);"
        "print([name for name in ('tokenizers', 'numpy', 'torch', 'transformers') if name in sys.modules])"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout.strip() == "[]"
