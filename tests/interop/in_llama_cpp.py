"""What llama.cpp expects after a text: asked in a process of its own, for the tests of this room.

It reads one JSON object from its standard input and writes one, as the last line:

    {"file": …, "sequences": [[…], …], "most": 200, "ordinary": 5} -> [{id: log-probability, …}, …]
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

from homespun.interop.llama_cpp import MOST_CANDIDATES, candidates_after, started


def asked(file: Path, sequences: list[list[int]], *, ordinary: int) -> list[dict[int, float]]:
    """The likeliest ids after the last one of each sequence. ordinary: a token that ends no text."""
    question = {
        "file": str(file.resolve()),
        "sequences": sequences,
        "most": MOST_CANDIDATES,
        "ordinary": ordinary,
    }
    done = subprocess.run(
        [sys.executable, "-m", "tests.interop.in_llama_cpp"],
        input=json.dumps(question),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return [{int(id): value for id, value in one.items()} for one in json.loads(done.stdout.splitlines()[-1])]


def main() -> None:
    import xllamacpp

    question = json.load(sys.stdin)
    server = started(xllamacpp, question)
    found = [candidates_after(server, ids, question) for ids in question["sequences"]]
    print("\n" + json.dumps(found), flush=True)
    os._exit(0)  # its threads are none of our concern any more


if __name__ == "__main__":
    main()
