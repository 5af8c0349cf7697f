"""The table of which room may import which, held by reading the imports."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

from tests.patience import PATIENCE

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "homespun"

OPEN_TO_ALL = {"errors", "fetch", "machine"}
EVERYTHING = {path.name for path in PACKAGE.iterdir() if path.is_dir() and (path / "__init__.py").exists()}
# In the order in which data flows: a room imports only from rooms above it (a test), and of these only what
# its row names.
MAY_IMPORT = {
    "errors": set(),
    "fetch": set(),
    "machine": {"fetch"},
    "text": set(),
    "tokenizer": set(),
    "dataset": {"text", "tokenizer"},
    "conversations": {"text", "tokenizer", "dataset"},
    "model": set(),
    "kernels": {"model"},
    "checkpoint": {"model", "tokenizer"},
    "evaluation": {"dataset", "model", "tokenizer"},
    "planning": {"model", "kernels", "checkpoint", "evaluation"},
    "training": {"planning", "dataset", "model", "kernels", "checkpoint", "evaluation", "tokenizer"},
    "distributed": {"training", "planning"},
    "finetuning": {
        *("training", "planning", "conversations", "dataset", "model", "kernels", "checkpoint", "evaluation"),
        *("text", "tokenizer"),
    },
    "generation": {"model", "kernels", "tokenizer"},
    "interop": {"model", "tokenizer", "checkpoint"},
    "insight": {"dataset", "model", "checkpoint", "tokenizer", "generation"},
    "server": {"model", "tokenizer", "checkpoint", "generation", "interop"},
    "studio": {
        *(
            "server",
            "insight",
            "training",
            "planning",
            "generation",
            "checkpoint",
            "dataset",
            "tokenizer",
            "model",
        ),
        "text",
    },
    "api": EVERYTHING - {"cli"},
    "lessons": {"text"},
    "cli": EVERYTHING,
    "__main__": {"cli"},
}
# What a user's machine may lack, or what takes long to import: never at the top of a file that
# `homespun --help` reads.
SLOW = ("torch", "numpy", "rich", "httpx", "tokenizers", "matplotlib", "transformers", "fastapi", "uvicorn")


def room_of(path: Path) -> str:
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def imported_rooms(path: Path) -> set[str]:
    """Rooms of homespun that this file imports, at the top or inside functions, for types or for real."""
    rooms = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        names = []
        if isinstance(node, ast.Import):
            # `import homespun` is for the verbs, which are functions of the API.
            names = ["homespun.api" if alias.name == "homespun" else alias.name for alias in node.names]
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


def test_data_flows_down_the_table_and_never_back() -> None:
    order = list(MAY_IMPORT)
    for room in order:
        if room not in ("api", "cli"):
            assert all(order.index(other) < order.index(room) for other in MAY_IMPORT[room]), room


def test_the_table_knows_every_room_and_no_other() -> None:
    rooms = {room_of(path) for path in FILES}
    assert rooms == set(MAY_IMPORT)


@pytest.mark.parametrize("command", [["-c", "import homespun"], ["-c", "import homespun.cli"]])
def test_nothing_slow_is_imported_before_it_is_used(command: list[str]) -> None:
    script = f"{command[1]}; import sys; print([name for name in {SLOW!r} if name in sys.modules])"
    answer = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=PATIENCE
    )
    assert answer.stdout.strip() == "[]"
