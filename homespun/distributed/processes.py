"""The world of a run that several processes compute, by torch.distributed: gloo on CPUs, NCCL between GPUs."""

from __future__ import annotations

import hashlib
import json
import math
import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import lru_cache
from typing import Any, TypeVar, cast

import torch
import torch.distributed as dist
from torch import Tensor

from homespun.distributed.heartbeat import LONGEST, Heartbeat
from homespun.distributed.meeting import Hello, meet
from homespun.distributed.network import INTERFACE
from homespun.distributed.place import Place
from homespun.errors import ProcessLost
from homespun.machine.device import usable_cores
from homespun.planning.base_plan import BasePlan
from homespun.training.grains import GRAINS, Node, add, nodes_of, pack, unpack
from homespun.training.world import rows_of_rank

T = TypeVar("T")

HEADER = 512  # bytes of a message that are sent at once
GRACE = 5.0  # seconds in which a blocked collective may end by itself after a rank was lost
PLAN = "plan "  # begins the message of a plan, before its hash


class Processes:
    """The processes of a run, all of which have joined. Its methods are those of `World`."""

    def __init__(self, place: Place, note: Callable[[str], None]) -> None:
        self.place = place
        self.rank, self.size = place.rank, place.size
        self.lost_one: bool | None = None  # whether it is silent, once a process was lost
        self.waiting_since = math.inf  # time.monotonic() when the collective began that goes on now
        self.ended = threading.Event()
        torch.set_num_threads(threads_of(1))  # while rank 0 measures what this computer can do, the others wait
        meeting = meet(place, note)
        self.hellos: list[Hello] = meeting.hellos
        os.environ[INTERFACE] = meeting.interface.name
        with self.together():
            dist.init_process_group(
                backend_here(place), store=meeting.store, rank=self.rank, world_size=self.size, timeout=LONGEST
            )
        self.plans: dict[str, BasePlan] = {}  # those that rank 0 has sent, or this rank received, by their hash
        with self.together():
            self.heartbeat = Heartbeat(self.lost)
            dist.all_reduce(torch.zeros(1))  # a group connects at its first collective
        end_with_parent()
        if torch.cuda.is_available():
            torch.cuda.set_device(place.local_rank % torch.cuda.device_count())
        if self.rank == 0:
            computers = len({hello.host for hello in self.hellos})
            on = "this computer" if place.one_computer else f"{max(2, computers)} computers"
            note(f"{self.size} processes on {on}, connected by {meeting.interface.name}")

    def share_cores(self) -> None:
        torch.set_num_threads(threads_of(self.place.local_size))

    # ---- what a run decides ----

    def agree(self, value: T) -> T:
        with self.together():
            if isinstance(value, BasePlan):
                return cast(T, self.agree_on_plan(value))
            return cast(T, json.loads(self.said(json.dumps(value))))

    def agree_on_plan(self, plan: BasePlan) -> BasePlan:
        """The plan of rank 0. Plans are sent once, and named by their hash from then on."""
        key = PLAN + hash_of(plan)
        if self.rank == 0:
            self.said(key if key in self.plans else key + "\n" + plan.toml())
            self.plans[key] = plan
            return plan
        name, _, toml = self.said("").partition("\n")
        if toml:
            self.plans[name] = type(plan).parse(toml, "the plan of rank 0")
        return plan if name == key else self.plans[name]

    def first(self, compute: Callable[[], T]) -> T:
        return self.agree(compute() if self.rank == 0 else cast(T, None))

    def any(self, flag: bool) -> bool:
        with self.together():
            raised = torch.tensor([float(flag)])
            dist.all_reduce(raised, op=dist.ReduceOp.MAX)
            return bool(raised.item())

    def every(self, value: Any) -> list[Any]:
        """What each rank gives, in the order of the ranks: values that JSON has."""
        with self.together():
            mine = json.dumps(value).encode()
            length = torch.tensor([len(mine)])
            dist.all_reduce(length, op=dist.ReduceOp.MAX)
            own = torch.tensor(list(mine.ljust(int(length))), dtype=torch.uint8)
            heard = [torch.empty_like(own) for _ in range(self.size)]
            dist.all_gather(heard, own)
            return [json.loads(bytes(one.tolist())) for one in heard]

    def said(self, text: str) -> str:
        """The text of rank 0. Short ones go in one message."""
        header = torch.zeros(HEADER + 4, dtype=torch.uint8)
        data = text.encode()
        if self.rank == 0:
            begin = len(data).to_bytes(4, "big") + data[:HEADER]
            header[: len(begin)] = torch.frombuffer(bytearray(begin), dtype=torch.uint8)
        dist.broadcast(header, 0)
        start = bytes(header.tolist())
        length = int.from_bytes(start[:4], "big")
        if length <= HEADER:
            return start[4 : 4 + length].decode()
        rest = torch.zeros(length - HEADER, dtype=torch.uint8)
        if self.rank == 0:
            rest = torch.frombuffer(bytearray(data[HEADER:]), dtype=torch.uint8)
        dist.broadcast(rest, 0)
        return (start[4:] + bytes(rest.tolist())).decode()

    # ---- what a step computes ----

    def rows(self, number: int) -> slice:
        return rows_of_rank(number, self.rank, self.size)

    def sum_gradients(
        self, weights: Sequence[Tensor], losses: list[Tensor] | None, dtype: torch.dtype = torch.float32
    ) -> list[Tensor] | None:
        """One sum of one flat vector in float32: the gradients, the loss, and on how many ranks memory ran out.

        In bfloat16, where the sum itself is rounded as well, loss and count go separately.
        """
        flat = torch.zeros(sum(weight.numel() for weight in weights) + 2, device=weights[0].device)
        if losses is None:
            flat[-1] = 1.0
        else:
            pack(flat, weights, losses)
        with self.together():
            if dtype == flat.dtype:
                dist.all_reduce(flat)
            else:
                rounded = flat[:-2].to(dtype)
                dist.all_reduce(flat[-2:])
                dist.all_reduce(rounded)
                flat[:-2] = rounded
        if losses is None or flat[-1].item():
            return None
        unpack(flat, weights, {weight for weight in weights if weight.grad is not None})
        return [flat[-2]]

    def sum_tree(self, nodes: dict[Node, Tensor], length: int) -> Tensor:
        """All ranks hear of all nodes, and add them up in the order of the tree."""
        of_rank = [nodes_of(range(GRAINS)[rows_of_rank(GRAINS, rank, self.size)]) for rank in range(self.size)]
        most = max(map(len, of_rank))
        own = torch.zeros(most, length)
        for number, node in enumerate(of_rank[self.rank]):
            own[number] = nodes[node]
        heard = torch.empty(self.size * most, length)
        with self.together():
            all_gather(heard, own)
        tree: dict[Node, Tensor] = {}
        for rank, names in enumerate(of_rank):
            for number, node in enumerate(names):
                add(tree, node, heard[rank * most + number])
        (root,) = tree.values()
        return root

    def sum_tensor(self, tensor: Tensor) -> Tensor:
        with self.together():
            dist.all_reduce(tensor)
        return tensor

    @torch.no_grad()
    def hand_round(self, moved: list[list[Tensor]]) -> None:
        """One all-gather of what each rank has changed."""
        longest = max(sum(tensor.numel() for tensor in tensors) for tensors in moved)
        if not longest:
            return
        some = next(tensor for tensors in moved for tensor in tensors)
        mine = torch.zeros(longest, device=some.device)
        if moved[self.rank]:
            packed = torch.cat([tensor.flatten() for tensor in moved[self.rank]])
            mine[: len(packed)] = packed
        heard = torch.empty(self.size * longest, device=some.device)
        with self.together():
            all_gather(heard, mine)
        for rank, tensors in enumerate(moved):
            if rank != self.rank and tensors:
                sizes = [tensor.numel() for tensor in tensors]
                parts = heard[rank * longest :][: sum(sizes)].split(sizes)
                views = [part.view_as(tensor) for part, tensor in zip(parts, tensors, strict=True)]
                torch._foreach_copy_(tensors, views)

    def agree_on_tensor(self, tensor: Tensor) -> Tensor:
        with self.together():
            dist.broadcast(tensor, 0)
        return tensor

    def agree_on_tensors(self, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
        agreed: dict[str, Any] = self.agree(
            {name: [list(t.shape), str(t.dtype).removeprefix("torch.")] for name, t in tensors.items()}
        )
        found = {}
        with self.together():
            for name, (shape, dtype) in agreed.items():
                if self.rank == 0:
                    tensor = tensors[name].detach().contiguous()
                else:
                    tensor = torch.empty(shape, dtype=getattr(torch, dtype))
                dist.broadcast(tensor, 0)
                found[name] = tensor
        return found

    # ---- when one is lost ----

    @contextmanager
    def together(self) -> Iterator[None]:
        """What the block does needs all ranks. Raises ProcessLost where one of them has ended."""
        if self.lost_one is not None:
            raise process_lost(silent=self.lost_one)
        self.waiting_since = time.monotonic()
        try:
            yield
        except RuntimeError as error:
            raise process_lost(silent="timed out" in str(error).lower()) from error
        finally:
            self.waiting_since = math.inf

    def lost(self, silent: bool) -> None:
        """Called by the heartbeat. A collective that is blocked is ended, and with it this process."""
        self.lost_one = silent
        while not self.ended.wait(1.0):
            if time.monotonic() - self.waiting_since > GRACE:
                print(f"error: {process_lost(silent).what}", file=sys.stderr, flush=True)
                os._exit(ProcessLost.exit_code)

    def leave(self) -> None:
        """At the end of a run: all ranks leave together."""
        with self.together():
            dist.all_reduce(torch.zeros(1))
        self.heartbeat.close()
        self.ended.set()
        dist.destroy_process_group()


def end_with_parent() -> None:
    """If the launcher is killed, this process saves and ends, as after SIGTERM: nobody else would end it."""
    parent = os.getppid()

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(1.0)
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=watch, name="homespun-parent", daemon=True).start()


def threads_of(processes: int) -> int:
    """Threads of each of so many processes on this computer. OMP_NUM_THREADS=1 is torchrun's, not the user's."""
    asked = os.environ.get("OMP_NUM_THREADS", "1")
    return int(asked) if asked.isdigit() and int(asked) > 1 else max(1, usable_cores() // processes)


def all_gather(into: Tensor, own: Tensor) -> None:
    """Every rank's tensor, one behind the other. PyTorch has renamed the function."""
    gather = getattr(dist, "all_gather_single", None) or dist.all_gather_into_tensor
    gather(into, own)


def backend_here(place: Place) -> str:
    """NCCL needs a GPU for each process; where several share one, gloo copies between them."""
    enough = torch.cuda.is_available() and torch.cuda.device_count() >= place.local_size
    return "cpu:gloo,cuda:nccl" if enough and dist.is_nccl_available() else "gloo"


def process_lost(silent: bool) -> ProcessLost:
    what = "no longer answers" if silent else "has ended"
    return ProcessLost(
        f"Another process of this run {what}, as {socket.gethostname()} sees it.",
        "Look at what that one says. With --max-restarts, torchrun goes on from the last resume point by itself; "
        "by hand, give the same command with --resume.",
    )


@lru_cache(maxsize=64)
def hash_of(plan: BasePlan) -> str:
    return hashlib.sha256(plan.toml().encode()).hexdigest()
