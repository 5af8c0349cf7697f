"""Notebooks run from top to bottom, in a process and a folder of their own.

python -m tests.lessons.executing FOLDER lessons/*.ipynb

runs them and puts each into FOLDER as a notebook with its outputs and as a page, with its
pictures beside it. That is how they are looked at.
"""

from __future__ import annotations

import base64
import sys
import tempfile
import time
from pathlib import Path

import nbformat
from nbclient import NotebookClient
from nbformat import NotebookNode

from tests.lessons.form import read
from tests.patience import PATIENCE

SECONDS = 240  # the most that a lesson may take, by its own promise; a busy machine has longer


def execute(notebook: NotebookNode, patience: float = PATIENCE) -> NotebookNode:
    """Runs it in place, in an empty folder. Raises nbclient's CellExecutionError where a cell fails.

    patience: seconds that one cell may take before it counts as stuck.
    """
    with tempfile.TemporaryDirectory() as folder:
        client = NotebookClient(
            notebook,
            timeout=patience,
            kernel_name="python3",
            coalesce_streams=True,
            resources={"metadata": {"path": folder}},
        )
        client.execute()
    return notebook


def printed(cell: NotebookNode) -> str:
    """What a cell printed."""
    return "".join(output.text for output in cell.get("outputs", []) if output.output_type == "stream")


def pictures(notebook: NotebookNode) -> list[bytes]:
    """The pictures that it shows, as PNG."""
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", [])]
    return [
        base64.b64decode(output.data["image/png"]) for output in outputs if "image/png" in output.get("data", {})
    ]


def main(folder: str, names: list[str]) -> None:
    from nbconvert import HTMLExporter

    out = Path(folder)
    out.mkdir(parents=True, exist_ok=True)
    for path in map(Path, names):
        begin = time.perf_counter()
        notebook = execute(read(path))
        print(f"{path.name}: {time.perf_counter() - begin:.0f} s, {len(pictures(notebook))} pictures", flush=True)
        nbformat.write(notebook, out / path.name)
        page, _ = HTMLExporter().from_notebook_node(notebook)
        (out / f"{path.stem}.html").write_text(page, encoding="utf-8")
        for number, picture in enumerate(pictures(notebook), 1):
            (out / f"{path.stem}-{number}.png").write_bytes(picture)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2:])
