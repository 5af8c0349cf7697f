"""The README's tree is the tree on disk, and its tables are those of the code."""

from __future__ import annotations

import re
from pathlib import Path

from homespun.planning.search import SIZES

ROOT = Path(__file__).parents[2]
NOT_SHOWN = {"__init__.py", "__main__.py", "py.typed", "__pycache__"}


def tree() -> set[str]:
    """The paths in the README's tree: "homespun/", "homespun/errors.py", …"""
    section = (ROOT / "README.md").read_text(encoding="utf-8").split("## What is where")[1]
    block = section.split("```")[1]
    paths, parent = set(), ""
    for line in block.strip("\n").splitlines():
        name, _, about = line.strip().partition(" ")
        assert about or name == "homespun/", f"{name} is not explained"
        if not line.startswith(" "):
            parent = name
            paths.add(name)
        else:
            paths.add(parent + name)
    return paths


def test_the_tree_in_the_readme_is_the_tree_on_disk() -> None:
    rooms = (path for path in (ROOT / "homespun").iterdir() if path.name not in NOT_SHOWN)
    on_disk = {f"homespun/{path.name}{'/' if path.is_dir() else ''}" for path in rooms}
    shown = tree()
    assert {path for path in shown if path.startswith("homespun/") and path != "homespun/"} == on_disk
    assert all((ROOT / path).exists() for path in shown)


def test_every_room_is_tested_in_a_folder_of_its_name() -> None:
    rooms = {path.name for path in (ROOT / "homespun").iterdir() if path.is_dir()} - NOT_SHOWN
    assert rooms <= {path.name for path in (ROOT / "tests").iterdir()}


def test_the_files_that_the_readme_links_to_are_there() -> None:
    for page in (ROOT / "README.md", ROOT / "CONTRIBUTING.md", *(ROOT / "docs").glob("*.md")):
        for target in re.findall(r"\]\(([^)#:]+)\)", page.read_text(encoding="utf-8")):
            assert (page.parent / target).exists(), f"{page.name} links to {target}"


def test_the_table_of_sizes_in_the_docs_is_that_of_the_code() -> None:
    page = (ROOT / "docs" / "reading-a-run.md").read_text(encoding="utf-8")
    for name, size in SIZES.items():
        numbers = (size.n_layer, size.n_head, size.n_embd, size.context_length, size.batch_size)
        assert " | ".join([f"| {name}", *map(str, numbers)]) + " |" in page


def test_no_file_is_longer_than_a_sitting() -> None:
    for path in (ROOT / "homespun").rglob("*.py"):
        assert len(path.read_text(encoding="utf-8").splitlines()) <= 400, f"{path.name} wants to be two files"
        assert path.stem not in {"utils", "common", "helpers", "misc"}
