"""Notices a process that no longer answers: its computer lost power or its network, or it was stopped.

A process that ends closes its connections, and the others' next collective fails at once. A computer that is gone
closes nothing. While rank 0 evaluates or compiles, the others may wait for minutes; so the time limit of a
collective says nothing. A thread of each rank meets those of the others every few seconds in a group of their own.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import timedelta

import torch
import torch.distributed as dist

BETWEEN = 5.0  # seconds between two meetings
SILENCE = 40  # seconds after which a process that does not come counts as lost
LONGEST = timedelta(hours=4)  # of a collective


class Heartbeat:
    """Two threads: one meets those of the other ranks, one watches it. All ranks make one at the same place.

    lost    called once in a thread, if a rank ends or does not answer; is given whether it is silent
    """

    def __init__(self, lost: Callable[[bool], None]) -> None:
        self.group = dist.new_group(backend="gloo", timeout=LONGEST)
        self.lost = lost
        self.closing = threading.Event()
        self.over = threading.Event()
        self.silent_for = 0  # seconds in which this process itself was at work
        self.thread = threading.Thread(target=self.beat, name="homespun-heartbeat", daemon=True)
        self.thread.start()
        threading.Thread(target=self.watch, name="homespun-heartbeat-watch", daemon=True).start()

    def beat(self) -> None:
        try:
            while True:
                leaving = torch.tensor([float(self.closing.is_set())])
                dist.all_reduce(leaving, group=self.group)
                if leaving.item() == dist.get_world_size():
                    self.over.set()
                    return
                self.silent_for = 0
                self.closing.wait(BETWEEN)
        except RuntimeError:
            if not self.over.is_set():
                self.over.set()
                self.lost(False)

    def watch(self) -> None:
        """Counts seconds by sleeping: not those in which the computer slept, or all processes stood still."""
        while not self.over.wait(1.0):
            self.silent_for += 1
            if self.silent_for > SILENCE:
                self.over.set()
                self.lost(True)

    def close(self) -> None:
        """Wait until all ranks close theirs, so that nobody is missed who has only come to the end earlier."""
        self.closing.set()
        self.thread.join(timeout=SILENCE)
        self.over.set()
