"""The table of which room may import which, held by reading the imports."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "homespun"

OPEN_TO_ALL = {"errors", "device", "fetch", "native"}
EVERYTHING = {path.name for path in PACKAGE.iterdir() if path.is_dir() and (path / "__init__.py").exists()}
MAY_IMPORT = {
    "errors": set(),
    "device": set(),
    "fetch": set(),
    "native": {"device", "fetch"},
    "lessons": {"text"},
    "text": set(),
    "tokenizer": set(),
    "model": set(),
    "dataset": {"text", "tokenizer"},
    "checkpoint": {"model", "tokenizer"},
    "evaluation": {"dataset", "model", "tokenizer"},
    "training": {"dataset", "model", "checkpoint", "evaluation", "tokenizer"},
    "generation": {"model", "tokenizer"},
    "interop": {"model", "tokenizer", "checkpoint"},
    "finetuning": {"training", "dataset", "model", "tokenizer", "checkpoint", "text", "evaluation"},
    "api": EVERYTHING - {"cli"},
    "__main__": {"cli"},
    "cli": EVERYTHING | {"api"},
}
# What a user's machine may lack, or what takes long to import: never at the top of a file that
# `homespun --help` reads.
SLOW = ("torch", "numpy", "rich", "httpx", "tokenizers", "matplotlib", "transformers")


def room_of(path: Path) -> str:
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def imported_rooms(path: Path) -> set[str]:
    """Rooms of homespun that this file imports, at the top or inside functions, for types or for real."""
    rooms = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        names = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            names = [node.module]
            if node.module == "homespun":
                names = [f"homespun.{alias.name}" for alias in node.names]
        assert not (isinstance(node, ast.ImportFrom) and node.level), f"{path}: relative imports hide the room"
        rooms |= {name.split(".")[1] for name in names if name.startswith("homespun.")}
    return rooms - {"__version__"}


FILES = sorted(path for path in PACKAGE.rglob("*.py") if path != PACKAGE / "__init__.py")


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_a_room_imports_only_what_the_table_allows(path: Path) -> None:
    room = room_of(path)
    allowed = MAY_IMPORT[room] | OPEN_TO_ALL | {room}
    if room in OPEN_TO_ALL:
        allowed = MAY_IMPORT[room] | {"errors", room}
    assert imported_rooms(path) <= allowed, f"{room} may import {sorted(allowed)}"


def test_the_table_knows_every_room_and_no_other() -> None:
    rooms = {room_of(path) for path in FILES}
    assert rooms == set(MAY_IMPORT)


@pytest.mark.parametrize("command", [["-c", "import homespun"], ["-c", "import homespun.cli"]])
def test_nothing_slow_is_imported_before_it_is_used(command: list[str]) -> None:
    script = f"{command[1]}; import sys; print([name for name in {SLOW!r} if name in sys.modules])"
    answer = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=60)
    assert answer.stdout.strip() == "[]"
