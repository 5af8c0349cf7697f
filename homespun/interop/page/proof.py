"""The proof of a written page: its own code computes its own probes, in Node or in Chromium."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import tempfile
import threading
from pathlib import Path
from typing import Any

from homespun.errors import CheckpointError
from homespun.interop.export import Proof
from homespun.interop.page.write import CHECK

OLDEST_NODE = 18  # the first with all that the page's code asks of it
BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
SAID = "homespun proof "  # what the page writes to the console before its proof (web/page/App.svelte)
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


def browser() -> str | None:
    return next(filter(None, map(shutil.which, BROWSERS)), None)


def proved(page: Path, tried: int) -> Proof | None:
    """None where nothing here runs the page. tried: tokens of the sample in the page.

    Raises CheckpointError where the page does not compute the model.
    """
    if path := node():
        by, found = "Node", run(path, page)[0]
    elif path := browser():
        by, found = "Chromium", run_in_browser(path, page)
    else:
        return None
    if found is None:
        return None
    if not found["holds"]:
        raise CheckpointError(
            f"The page does not compute the model, so nothing was written: {found['problem']}.",
            "That is a bug of homespun: please report it.",
        )
    return Proof(by, found["places"], found["apart"], found["texts"], found["written"], tried)


def run(node: str, page: Path, *arguments: str) -> list[Any]:
    """What check.mjs prints of a page."""
    command = [node, str(CHECK), str(page), *arguments]
    try:
        done = subprocess.run(command, capture_output=True, text=True, encoding="utf-8", timeout=PATIENCE)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise CheckpointError(
            f"Node did not run the page: {error}.", "Leave the check out: --no-prove."
        ) from error
    if done.returncode:
        raise CheckpointError(
            f"The page does not run in Node: {done.stderr.strip()[-300:]}",
            "That is a bug of homespun: please report it.",
        )
    answers: list[Any] = json.loads(done.stdout)
    return answers


def run_in_browser(path: str, page: Path) -> dict[str, Any] | None:
    """What the page finds in a browser without a window; None where the browser does not run it."""
    with tempfile.TemporaryDirectory(prefix="homespun-", ignore_cleanup_errors=True) as profile:
        command = [path, "--headless", "--disable-gpu", "--no-first-run", f"--user-data-dir={profile}"]
        # The console goes to standard error. As root, as in a container, Chromium only starts without its sandbox.
        command += ["--enable-logging=stderr", "--v=0", *(["--no-sandbox"] if os.geteuid() == 0 else [])]
        command.append(page.resolve().as_uri())
        with subprocess.Popen(
            command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, errors="replace",
            start_new_session=True,
        ) as process:  # fmt: skip
            timer = threading.Timer(PATIENCE, end, [process])
            timer.start()
            try:
                assert process.stderr is not None
                return next(filter(None, map(proof_in, process.stderr)), None)
            finally:
                timer.cancel()
                end(process)


def proof_in(line: str) -> dict[str, Any] | None:
    """The proof in a line of the console.

    >>> proof_in('[1:INFO:CONSOLE:1] "homespun proof {"holds": true}", source: file:///page.html (1)')
    {'holds': True}
    """
    _, said, rest = line.partition(SAID)
    if not said:
        return None
    try:
        found: dict[str, Any] = json.JSONDecoder().raw_decode(rest)[0]
    except ValueError:
        return None
    return found


def end(process: subprocess.Popen[str]) -> None:
    """Ends the browser with all of its processes, which are a session of their own."""
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except ProcessLookupError:
        pass
