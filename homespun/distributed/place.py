"""Which of the processes of a run this one is: the environment that torchrun, or our own launcher, gives it."""

from __future__ import annotations

import os
import socket
from collections.abc import Mapping
from dataclasses import dataclass

from homespun.errors import UsageError

RENDEZVOUS = "HOMESPUN_RENDEZVOUS"  # a file through which the processes of one computer meet
FOLDER_FILE = "HOMESPUN_FOLDER_FILE"  # where rank 0 writes which run folder it has chosen
RESTARTS = "TORCHELASTIC_RESTART_COUNT"


@dataclass(frozen=True)
class Place:
    """
    rank, size              of this process among all, and how many there are
    local_rank, local_size  the same among those on this computer
    address, port           where they meet
    file                    where they meet instead, if all are on this computer
    has_store               whether somebody else, such as torchrun's agent, keeps the meeting place open
    restarts                how often the processes were started again
    """

    rank: int
    size: int
    local_rank: int
    local_size: int
    address: str = ""
    port: int = 0
    file: str = ""
    has_store: bool = False
    restarts: int = 0

    @property
    def one_computer(self) -> bool:
        return self.local_size == self.size

    @property
    def name(self) -> str:
        """The process, for people: "rank 3 on node-1"."""
        return f"rank {self.rank} on {socket.gethostname()}"


def place_here(environment: Mapping[str, str] = os.environ) -> Place | None:
    """The place of this process; None where it was not started as one of several. UsageError if it makes no sense.

    >>> place_here({"RANK": "1", "WORLD_SIZE": "4", "MASTER_ADDR": "node-0", "MASTER_PORT": "29500"})
    ... # doctest: +NORMALIZE_WHITESPACE
    Place(rank=1, size=4, local_rank=1, local_size=4, address='node-0', port=29500, file='', has_store=False,
          restarts=0)
    """
    file = environment.get(RENDEZVOUS, "")
    if not {"RANK", "WORLD_SIZE"} <= environment.keys() or not (file or "MASTER_ADDR" in environment):
        return None
    try:
        rank, size = int(environment["RANK"]), int(environment["WORLD_SIZE"])
        place = Place(
            rank=rank,
            size=size,
            local_rank=int(environment.get("LOCAL_RANK", rank)),
            local_size=int(environment.get("LOCAL_WORLD_SIZE", size)),
            address=environment.get("MASTER_ADDR", ""),
            port=int(environment.get("MASTER_PORT", "29500")),
            file=file,
            has_store=environment.get("TORCHELASTIC_USE_AGENT_STORE") == "True",
            restarts=restarts(environment),
        )
    except ValueError as error:
        raise UsageError(
            f"The environment says that this is one of several processes, but not which one: {error}.",
            "torchrun sets RANK, WORLD_SIZE, MASTER_ADDR and MASTER_PORT. For one process, unset RANK.",
        ) from None
    if not 0 <= place.rank < place.size:
        raise UsageError(
            f"RANK is {place.rank} and WORLD_SIZE {place.size}: ranks are 0 to WORLD_SIZE - 1.",
            "torchrun sets them. For one process, unset RANK.",
        )
    return place


def restarts(environment: Mapping[str, str] = os.environ) -> int:
    """How often a launcher has started the processes of this run again."""
    count = environment.get(RESTARTS, "0")
    return int(count) if count.isdigit() else 0


def is_first(environment: Mapping[str, str] = os.environ) -> bool:
    """Whether this process prints and writes: rank 0, or the only one."""
    place = place_here(environment)
    return place is None or place.rank == 0
