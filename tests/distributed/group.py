"""Several processes for a test: forks of this one, which has PyTorch loaded already."""

from __future__ import annotations

import json
import multiprocessing
import os
import tempfile
import traceback
from collections.abc import Callable
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from homespun.distributed.join import joined
from homespun.distributed.place import RENDEZVOUS
from homespun.training.world import World
from tests.patience import PATIENCE


def in_processes(size: int, work: Callable[[World], Any]) -> list[Any]:
    """What `work` returns in each of so many processes, in the order of their ranks: values that JSON has.

    An error in one of them is returned as the text of its traceback, under the key "error".
    """
    context = multiprocessing.get_context("fork")
    with tempfile.TemporaryDirectory() as folder:
        pipes = [context.Pipe(duplex=False) for _ in range(size)]
        processes = [
            context.Process(target=one_of, args=(rank, size, Path(folder) / "meeting", work, pipes[rank][1]))
            for rank in range(size)
        ]
        for process in processes:
            process.start()
        found = []
        for reader, _ in pipes:
            assert reader.poll(PATIENCE), "a process hangs"
            found.append(json.loads(reader.recv_bytes()))
        for process in processes:
            process.join(PATIENCE)
    return found


def one_of(rank: int, size: int, meeting: Path, work: Callable[[World], Any], answer: Connection) -> None:
    place = {"RANK": rank, "WORLD_SIZE": size, "LOCAL_RANK": rank, "LOCAL_WORLD_SIZE": size, RENDEZVOUS: meeting}
    os.environ |= {name: str(value) for name, value in place.items()}
    try:
        with joined(lambda line: None) as world:
            found = work(world)
    except BaseException as error:  # noqa: BLE001  the test is told
        found = {
            "error": "".join(traceback.format_exception(error)),
            "kind": type(error).__name__,
            "said": str(error),
        }
    answer.send_bytes(json.dumps(found).encode())
    answer.close()
    os._exit(0)  # what pytest would do at the end is not for this process
