"""`homespun`, told to say when the first step is done:  python -m benchmarks.watched train TEXT …

The same command line in the same process; one line more on standard error.
"""

from __future__ import annotations

import sys
from typing import Any


def main() -> int:
    from homespun.cli.app import before_anything_is_loaded

    before_anything_is_loaded(sys.argv[1:])  # as the command does
    from benchmarks.commands import FIRST_STEP
    from homespun.cli import main as homespun
    from homespun.training.log_lines import LogLines

    plain = LogLines.stepped

    def stepped(self: LogLines, progress: Any) -> None:
        LogLines.stepped = plain  # type: ignore[method-assign]
        print(FIRST_STEP, file=sys.stderr, flush=True)
        plain(self, progress)

    LogLines.stepped = stepped  # type: ignore[method-assign]
    return homespun()


if __name__ == "__main__":
    raise SystemExit(main())
