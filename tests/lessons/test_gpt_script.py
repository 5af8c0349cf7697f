"""lessons/scripts/gpt.py: the shortest complete GPT, run as a reader runs it."""

from __future__ import annotations

import ast
import importlib.util
import math
import os
import re
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest
import torch

from homespun.model.config import GPTConfig
from homespun.model.gpt import build
from tests.patience import LONG_PATIENCE

SCRIPT = Path(__file__).parents[2] / "lessons" / "scripts" / "gpt.py"
STEP = re.compile(r"step +(\d+): train loss (\d+\.\d+), val loss (\d+\.\d+)")


def run(*arguments: str | Path, **environment: str) -> subprocess.CompletedProcess[str]:
    kept = {name: value for name, value in os.environ.items() if name != "HOMESPUN_DATA"}
    return subprocess.run(
        [sys.executable, SCRIPT, *map(str, arguments)],
        env=kept | {"PYTHONUTF8": "1"} | environment,
        capture_output=True,
        text=True,
        encoding="utf-8",
        check=False,
    )


def losses(output: str) -> list[tuple[int, float, float]]:
    return [(int(step), float(train), float(val)) for step, train, val in STEP.findall(output)]


@pytest.fixture
def script() -> ModuleType:
    spec = importlib.util.spec_from_file_location("gpt_script", SCRIPT)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def book(tmp_path: Path) -> Path:
    path = tmp_path / "book.txt"
    path.write_text("the quick brown fox jumps over the lazy dog.\n" * 100, encoding="utf-8")
    return path


def test_it_is_short_and_needs_torch_alone() -> None:
    source = SCRIPT.read_text(encoding="utf-8")
    assert len(source.splitlines()) < 220
    imported = {
        (node.module or "") if isinstance(node, ast.ImportFrom) else alias.name
        for node in ast.walk(ast.parse(source))
        if isinstance(node, (ast.Import, ast.ImportFrom))
        for alias in node.names
    }
    foreign = {name.split(".")[0] for name in imported} - set(sys.stdlib_module_names)
    assert foreign == {"torch"}


def test_it_learns_a_text_and_continues_it(book: Path) -> None:
    result = run(book, "--steps", "40", "--tokens", "50")
    assert result.returncode == 0, result.stderr
    text = book.read_text(encoding="utf-8")
    (first, train, val), (last, train_after, val_after) = losses(result.stdout)
    assert (first, last) == (0, 40)
    assert abs(train - math.log(len(set(text)))) < 0.2, "before the first step it should guess evenly"
    assert train_after < train - 0.3 and val_after < val - 0.3
    written = result.stdout.split(f"val loss {val_after:.4f}\n", 1)[1]
    assert len(written) == 1 + 50 + 1, "the id that it starts from, 50 more, and the newline of print"
    assert set(written) <= set(text)


def test_it_has_the_parameters_of_the_lectures_toy(script: ModuleType) -> None:
    assert sum(weight.numel() for weight in script.GPT(65).parameters()) == 209_729


def test_it_computes_what_homespuns_lecture_family_computes(script: ModuleType) -> None:
    ours = script.GPT(65)
    names = {"feed_forward.0": "feed_forward.up", "feed_forward.2": "feed_forward.down"}
    weights = {}
    for name, weight in ours.state_dict().items():
        for here, there in names.items():
            name = name.replace(here, there)
        if not name.endswith("future"):
            weights[name] = 3 * weight  # larger than at the start, so that attention is not even
    config = GPTConfig.of("lecture", vocab_size=65, context_length=32, n_layer=4, n_head=4, n_embd=64)
    theirs = build(config)
    theirs.load_state_dict(weights)
    ours.load_state_dict(
        {name: weight if "future" in name else 3 * weight for name, weight in ours.state_dict().items()}
    )
    ids = torch.randint(65, (2, 32))
    torch.testing.assert_close(ours(ids), theirs(ids)[0], atol=1e-4, rtol=1e-4)


def test_without_a_text_it_asks_for_one() -> None:
    result = run()
    assert result.returncode == 1
    assert "python gpt.py my-book.txt" in result.stderr and "Traceback" not in result.stderr


def test_a_file_that_is_not_there_and_one_that_is_too_short_are_told(tmp_path: Path) -> None:
    missing = run(tmp_path / "nothing.txt")
    assert missing.returncode == 1 and "There is no file" in missing.stderr
    short = tmp_path / "short.txt"
    short.write_text("a few words", encoding="utf-8")
    told = run(short)
    assert told.returncode == 1 and "has 11 characters" in told.stderr and "Traceback" not in told.stderr


@pytest.mark.slow
@pytest.mark.timeout(LONG_PATIENCE)
def test_it_reaches_the_lectures_losses(shakespeare_path: Path) -> None:
    """About 1.66 and 1.82 after 5,000 steps are reported; other dice give a few hundredths more or less."""
    result = run("--tokens", "1", HOMESPUN_DATA=str(shakespeare_path.parent))
    assert result.returncode == 0, result.stderr
    assert "1,115,394 characters, 65 different; 0.209729 M parameters" in result.stdout
    step, train, val = losses(result.stdout)[-1]
    assert step == 5000
    assert abs(train - 1.66) < 0.05 and abs(val - 1.82) < 0.05
