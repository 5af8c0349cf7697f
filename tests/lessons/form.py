"""The one form in which a lesson is kept, and what a lesson is made of.

python -m tests.lessons.form lessons/*.ipynb        puts notebooks into that form, in place
python -m tests.lessons.form draft.py lesson.ipynb  makes one from cells marked with # %% and # %% [markdown]

A notebook in this form has no outputs and no traces of who ran it, and a cell keeps its id for as
long as it keeps its text, so that a change to a lesson is a change of a few lines in git.
"""

from __future__ import annotations

import hashlib
import json
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nbformat
from nbformat import NotebookNode
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

LESSONS = Path(__file__).parents[2] / "lessons"
# Where the project is on GitHub, as "owner/name"; "" while it is nowhere. This is the only place: when it is
# known, write it here, and `python -m tests.lessons.form lessons/*.ipynb` puts it into all lessons, as the link
# of the badge and as the place that homespun is installed from.
REPOSITORY = ""
COLAB = "https://colab.research.google.com"
METADATA = {
    "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
    "language_info": {"name": "python"},
}


@dataclass(frozen=True)
class Exercise:
    """Two cells: a question with its hint and solution, and the place for the answer with its check."""

    number: int
    question: str
    solution: str
    place: int  # which cell of the notebook the answer is in
    code: str

    @property
    def with_solution(self) -> str:
        """The cell of the answer as it is when the solution has been written into it."""
        before, check, after = re.split(r"(?m)^(check\()", self.code, maxsplit=1)
        return f"{before}\n{self.solution}\n\n{check}{after}"


def lessons() -> list[Path]:
    return sorted(LESSONS.glob("*.ipynb"))


def read(path: Path) -> NotebookNode:
    return nbformat.read(path, as_version=4)


def exercises(notebook: NotebookNode) -> Iterator[Exercise]:
    for place, cell in enumerate(notebook.cells):
        found = re.search(r"^### Exercise (\d+): ", cell.source, re.MULTILINE)
        if cell.cell_type == "markdown" and found:
            _, _, solution = cell.source.partition("<summary>Solution</summary>")
            code = re.search(r"```python\n(.*?)\n```", solution, re.DOTALL)
            yield Exercise(
                int(found[1]),
                cell.source,
                code[1] if code else "",
                place + 1,
                notebook.cells[place + 1].source,
            )


def code_cells(notebook: NotebookNode) -> list[str]:
    return [cell.source for cell in notebook.cells if cell.cell_type == "code"]


def lines_of_code(notebook: NotebookNode) -> int:
    """Lines that do something: no blank lines, no comments, and not the cell that installs homespun."""
    lines = "\n".join(code_cells(notebook)[1:]).splitlines()
    return sum(1 for line in lines if line.strip() and not line.strip().startswith("#"))


def badge(name: str) -> str:
    """What opens the lesson `name` in Colab: a link, or, without an address, how to do it by hand."""
    picture = f"[![Open in Colab]({COLAB}/assets/colab-badge.svg)]"
    if REPOSITORY:
        return f"{picture}({COLAB}/github/{REPOSITORY}/blob/main/lessons/{name})"
    return f"{picture}({COLAB}) Upload this file there."


def requirement() -> str:
    """What pip is asked for where homespun is missing."""
    return "homespun[sentencepiece]" + (f" @ git+https://github.com/{REPOSITORY}" if REPOSITORY else "")


def addressed(source: str, name: str) -> str:
    """A cell of the lesson `name` with the project's address where it belongs."""
    source = re.sub(r"(?m)^\[!\[Open in Colab\]\(.*$", badge(name), source)
    return re.sub(r"(?m)^( *%pip install --quiet ).*$", rf'\1"{requirement()}"', source)


def normal(notebook: NotebookNode, name: str) -> str:
    """The lesson `name`, such as "03-averaging-the-past.ipynb", as it is kept."""
    cells: list[dict[str, Any]] = []
    ids: set[str] = set()
    for cell in notebook.cells:
        source = addressed(cell.source.strip("\n"), name)
        id = digest = hashlib.sha256(source.encode()).hexdigest()[:8]
        while id in ids:  # a cell may be there twice
            id = hashlib.sha256((digest + id).encode()).hexdigest()[:8]
        ids.add(id)
        kept: dict[str, Any] = {"cell_type": cell.cell_type, "id": id, "metadata": {}}
        if cell.cell_type == "code":
            kept |= {"execution_count": None, "outputs": []}
        cells.append(kept | {"source": source.splitlines(keepends=True)})
    content = {"cells": cells, "metadata": METADATA, "nbformat": 4, "nbformat_minor": 5}
    return json.dumps(content, indent=1, ensure_ascii=False) + "\n"


def from_draft(draft: str) -> NotebookNode:
    """Cells from a Python file: after `# %%` code, after `# %% [markdown]` text in lines that begin with #."""
    cells = []
    for part in re.split(r"^# %%", draft, flags=re.MULTILINE)[1:]:
        kind, _, body = part.partition("\n")
        if "[markdown]" in kind:
            lines = [line.removeprefix("#").removeprefix(" ") for line in body.strip("\n").splitlines()]
            cells.append(new_markdown_cell("\n".join(lines)))
        else:  # commands of the notebook are written as comments, to keep the draft a Python file
            code = re.sub(r"^(\s*)# (%pip|%config|%matplotlib)", r"\1\2", body, flags=re.MULTILINE)
            cells.append(new_code_cell(re.sub(r"^(\s*)pass  # notebook\n", "", code, flags=re.MULTILINE)))
    return new_notebook(cells=cells)


def main(arguments: list[str]) -> None:
    if len(arguments) == 2 and arguments[0].endswith(".py"):
        draft, lesson = map(Path, arguments)
        lesson.write_text(normal(from_draft(draft.read_text(encoding="utf-8")), lesson.name), encoding="utf-8")
        return
    for path in map(Path, arguments):
        path.write_text(normal(read(path), path.name), encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])
