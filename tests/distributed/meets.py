"""A process that meets the others as a run does, and prints what it was told: for tests of networks.

    python -m tests.distributed.meets [VERSION]

VERSION: that homespun claims to be.
"""

from __future__ import annotations

import sys
import time

from homespun.distributed import meeting
from homespun.distributed.join import joined
from homespun.errors import HomespunError


def main() -> int:
    if len(sys.argv) > 1:
        meeting.__version__ = sys.argv[1]  # type: ignore[attr-defined]
    began = time.monotonic()
    try:
        with joined(print) as world:
            print("met", world.every(world.rank), flush=True)
    except HomespunError as error:
        print(f"{error.what}\n{error.todo}\nafter {time.monotonic() - began:.0f} seconds", flush=True)
        return error.exit_code
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
