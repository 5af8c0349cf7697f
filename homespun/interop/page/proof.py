"""The proof of a written page: its own code computes its own probes, in Node where there is one."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

from homespun.errors import CheckpointError
from homespun.interop.export import Proof
from homespun.interop.page.write import CHECK

OLDEST_NODE = 18  # the first with all that the page's code asks of it
PATIENCE = 600.0  # seconds


def node() -> str | None:
    """The path of Node, where one is installed that is new enough."""
    path = shutil.which("node")
    if path is None:
        return None
    try:
        said = subprocess.run([path, "--version"], capture_output=True, text=True, timeout=60, check=True).stdout
        return path if int(said.strip().removeprefix("v").split(".")[0]) >= OLDEST_NODE else None
    except (OSError, subprocess.SubprocessError, ValueError):
        return None


def proved(page: Path, tried: int) -> Proof | None:
    """None where there is no Node. tried: tokens of the sample in the page. Raises CheckpointError where the page
    does not compute the model."""
    path = node()
    if path is None:
        return None
    found = run(path, page)[0]
    if not found["holds"]:
        raise CheckpointError(
            f"The page does not compute the model, so nothing was written: {found['problem']}.",
            "That is a bug of homespun: please report it.",
        )
    return Proof("Node", found["places"], found["apart"], found["texts"], found["written"] or 0, tried)


def run(node: str, page: Path, *arguments: str) -> list[Any]:
    """What check.mjs prints of a page."""
    command = [node, str(CHECK), str(page), *arguments]
    try:
        done = subprocess.run(command, capture_output=True, text=True, encoding="utf-8", timeout=PATIENCE)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise CheckpointError(f"Node did not run the page: {error}.", "Leave the check out: --no-node.") from error
    if done.returncode:
        raise CheckpointError(
            f"The page does not run in Node: {done.stderr.strip()[-300:]}",
            "That is a bug of homespun: please report it.",
        )
    answers: list[Any] = json.loads(done.stdout)
    return answers
