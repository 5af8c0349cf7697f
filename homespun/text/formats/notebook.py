"""Notebooks (.ipynb): the sources of their cells, a blank line between them; outputs are left out."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping

from homespun.text.blob import Blob
from homespun.text.decode import decoded
from homespun.text.document import Document, text_document
from homespun.text.formats import Request
from homespun.text.notes import Tally

MAX_NOTEBOOK = 2**27  # bytes: pictures among them


def notebook(blob: Blob, request: Request, tally: Tally) -> Iterator[Document]:
    """The cells as one document. What is no notebook is read as it stands. Raises TextUnreadable."""
    content = blob.content(MAX_NOTEBOOK)
    cells = _cells(content) if len(content) <= MAX_NOTEBOOK else None
    if cells is None:
        yield decoded(blob, header=request.header, named=request.encoding)
        return
    tally.say_of("notebooks", blob.origin, " is read as a notebook: its cells, without outputs")
    text = "\n\n".join(cell.strip("\n") for cell in cells if cell.strip())
    yield text_document(blob.origin, f"{request.header}{text}\n" if text else "")


def _cells(content: bytes) -> list[str] | None:
    """The sources of the cells; None where that is no notebook."""
    try:
        value = json.loads(content)
    except (ValueError, RecursionError):
        return None
    if not isinstance(value, Mapping):
        return None
    cells = value.get("cells")
    if cells is None and isinstance(value.get("worksheets"), list):  # as it was until 2015
        cells = [
            cell
            for sheet in value["worksheets"]
            if isinstance(sheet, Mapping)
            for cell in sheet.get("cells") or ()
        ]
    if not isinstance(cells, list):
        return None
    sources = (cell.get("source", cell.get("input", "")) for cell in cells if isinstance(cell, Mapping))
    return ["".join(map(str, source)) if isinstance(source, list) else str(source) for source in sources]
