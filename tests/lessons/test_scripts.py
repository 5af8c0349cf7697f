"""The programs beside the lessons: each a single file that needs PyTorch and a text, and no more."""

from __future__ import annotations

import ast
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.lessons.form import LESSONS
from tests.patience import LONG_PATIENCE

SCRIPTS = LESSONS / "scripts"


def run(script: str, *arguments: object, **env: str) -> subprocess.CompletedProcess[str]:
    surroundings = {name: value for name, value in os.environ.items() if name != "HOMESPUN_DATA"}
    return subprocess.run(
        [sys.executable, SCRIPTS / script, *map(str, arguments)],
        env={**surroundings, "PYTHONIOENCODING": "utf-8", **env},
        capture_output=True,
        encoding="utf-8",
        timeout=LONG_PATIENCE,
        check=False,
    )


def test_the_bigram_needs_torch_alone_and_is_short() -> None:
    source = (SCRIPTS / "bigram.py").read_text(encoding="utf-8")
    assert len(source.splitlines()) < 120
    nodes = ast.walk(ast.parse(source))
    imported = {alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names}
    assert imported - sys.stdlib_module_names == {"torch"}


def test_the_bigram_learns_tiny_shakespeare_as_the_tutorials_say(shakespeare_path: Path) -> None:
    ended = run("bigram.py", HOMESPUN_DATA=str(shakespeare_path.parent))
    assert ended.returncode == 0, ended.stderr
    assert "1,115,394 characters, 65 different ones: a uniform guess costs 4.1744" in ended.stdout
    losses = [
        tuple(map(float, found)) for found in re.findall(r"loss ([\d.]+), validation ([\d.]+)", ended.stdout)
    ]
    assert len(losses) == 6
    assert 4.6 < losses[0][0] < 4.9, "a table filled by chance is worse than a uniform guess, by about a half"
    assert all(2.45 < loss < 2.65 for loss in losses[-1])


def test_the_bigram_takes_the_text_that_it_is_given(tmp_path: Path) -> None:
    (tmp_path / "sound.txt").write_text("ba" * 500, encoding="utf-8")
    ended = run("bigram.py", tmp_path / "sound.txt", "--steps", 3000)
    assert "1,000 characters, 2 different ones" in ended.stdout
    assert float(ended.stdout.split("validation ")[-1].split()[0]) < 0.2, "what follows is always the same here"
    assert set(ended.stdout.splitlines()[-1]) == {"a", "b"}


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "Which text?  python bigram.py book.txt"),
        (["no-such-book.txt"], "no-such-book.txt cannot be read as text"),
        ([os.devnull], "0 characters are too few"),
    ],
)
def test_the_bigram_says_what_it_needs(arguments: list[str], said: str) -> None:
    ended = run("bigram.py", *arguments)
    assert ended.returncode == 1
    assert said in ended.stderr
    assert "Traceback" not in ended.stderr
