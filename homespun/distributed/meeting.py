"""The processes of a run find each other, and compare what has to be equal, before the first collective.

All of it goes through a store of key-value pairs: torchrun's, that of rank 0, or a file on one computer. A store
may hold what an earlier start has left there. So rank 0 writes a name that nobody has used, and answers each rank
that comes to it.

Who does not come, cannot be reached or does not fit is named on every rank, in a sentence.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import socket
import struct
import time
import uuid
from collections.abc import Callable
from dataclasses import asdict, dataclass
from datetime import timedelta
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from homespun import __version__
from homespun.distributed.network import (
    INTERFACE,
    Interface,
    chosen_interface,
    interface_towards,
    loopback,
)
from homespun.distributed.place import Place
from homespun.errors import TrainingError

if TYPE_CHECKING:
    from torch.distributed import Store

ALL_HERE = 60.0  # seconds until all ranks have come: some load PyTorch from a slow disk
ANSWER = 10.0  # seconds in which somebody who is there answers
CONNECT = 4.0  # seconds in which a connection to another rank is made
CLOCKS = 300.0  # seconds: clocks that differ by more are worth a note
SAME_CLOCK_NOTE = "the clock of {} is {:.0f} minutes off that of {}: times in logs will not agree"
NO_WAY = (errno.EHOSTUNREACH, errno.ENETUNREACH)


@dataclass(frozen=True)
class Hello:
    """What each rank says of itself to all others."""

    rank: int
    host: str
    address: str
    interface: str
    homespun: str
    torch: str
    time: float

    @property
    def name(self) -> str:
        return f"rank {self.rank} on {self.host}"


@dataclass(frozen=True)
class Meeting:
    """store: for this start alone. hellos: of all ranks, in order. interface: of this one."""

    store: Store
    hellos: list[Hello]
    interface: Interface


def meet(place: Place, note: Callable[[str], None]) -> Meeting:
    """Wait for the other ranks and compare notes with them. TrainingError if they do not come or do not fit."""
    import torch
    from torch.distributed import PrefixStore

    own = interface_here(place)
    whole_store = opened_store(place)
    store = PrefixStore(new_name(place, whole_store), whole_store)
    hello = Hello(
        rank=place.rank,
        host=socket.gethostname(),
        address=own.address,
        interface=own.name,
        homespun=f"{__version__}, code {code_hash()}",
        torch=torch.__version__,
        time=time.time(),
    )
    hellos = [Hello(**said) for said in exchanged(store, place, "hello", asdict(hello))]
    check_versions(hellos)
    if place.rank == 0:
        say_what_differs(hellos, note)
    if not place.one_computer:
        own = away_from_loopback(own, hellos)
        check_reach(store, place, own, hellos)
    return Meeting(store, hellos, own)


def interface_here(place: Place) -> Interface:
    if (chosen := chosen_interface()) is not None:
        return chosen
    return loopback() if place.file or place.one_computer else interface_towards(place.address, place.port)


def away_from_loopback(own: Interface, hellos: list[Hello]) -> Interface:
    """On the computer where all meet, its name leads to the loopback interface: take what reaches the others."""
    if not own.is_loopback or os.environ.get(INTERFACE):
        return own
    for other in hellos:
        if not Interface(other.interface, other.address).is_loopback:
            return interface_towards(other.address)
    return own


def opened_store(place: Place) -> Store:
    """Where the ranks meet. TrainingError where that cannot be reached, or another program is there."""
    from torch.distributed import FileStore, TCPStore

    if place.file:
        return FileStore(place.file, place.size)
    is_master = place.rank == 0 and not place.has_store
    if not is_master:
        wait_for_port(place, ANSWER if place.has_store else ALL_HERE)
    seconds = timedelta(seconds=ANSWER)
    try:
        return TCPStore(place.address, place.port, is_master=is_master, timeout=seconds, wait_for_workers=False)
    except RuntimeError as error:
        if "EADDRINUSE" in str(error) or "address already in use" in str(error):
            raise TrainingError(
                f"Port {place.port} of {socket.gethostname()}, where the processes were to meet, is taken.",
                f"Another run or another program has it. Choose another port, such as {place.port + 1}.",
            ) from None
        raise no_store(place) from error


def no_store(place: Place) -> TrainingError:
    return TrainingError(
        f"{place.name} cannot meet the others at {place.address}:{place.port}: there is no store of PyTorch's.",
        "Another program may have that port. Choose another one.",
    )


def is_silent(connection: socket.socket) -> bool:
    """Whether what listens there says nothing. PyTorch's client would wait for a program like that for ever.

    PyTorch's store answers a ping: after a message that checks the protocol, one with a number, which comes back.
    """
    connection.settimeout(ANSWER)
    try:
        connection.sendall(struct.pack("=BIBI", 0, 0x3C85F7CE, 13, 1))
        connection.recv(4)
    except TimeoutError:
        return True
    except OSError:
        return False  # it has closed the connection: PyTorch's client notices that
    return False


def wait_for_port(place: Place, seconds: float) -> None:
    """Return when something listens where the ranks meet. TrainingError if nothing does within that time."""
    began = time.monotonic()
    while True:
        try:
            with socket.create_connection((place.address, place.port), timeout=ANSWER) as connection:
                if not is_silent(connection):
                    return
            raise no_store(place)
        except socket.gaierror as error:
            raise TrainingError(
                f"{socket.gethostname()} does not know the computer {place.address} where the processes meet: "
                f"{error.strerror}.",
                "Give its address instead of its name.",
            ) from None
        except OSError as error:
            waited = time.monotonic() - began
            hopeless = isinstance(error, TimeoutError) or error.errno in NO_WAY
            if waited >= seconds or (hopeless and waited >= ANSWER / 2):
                raise TrainingError(
                    f"{place.name} cannot reach {place.address}:{place.port}, where the processes meet: "
                    f"{error.strerror or 'no answer'}.",
                    "Rank 0 has to run there, and no firewall may be between. Check the address and the port.",
                ) from None
            time.sleep(0.1)


def new_name(place: Place, store: Store) -> str:
    """The name under which the ranks of this start write into the store."""
    mine = uuid.uuid4().hex
    if place.rank == 0:
        store.set("homespun", mine)
        deadline = time.monotonic() + ALL_HERE
        for rank in range(1, place.size):
            ready = f"{mine}/ready/{rank}"
            if not arrives(store, ready, deadline - time.monotonic()):
                raise TrainingError(
                    f"Rank {rank} of {place.size} has not come within {ALL_HERE:.0f} seconds.",
                    "Look at what it says where it was started.",
                )
            store.set(f"{mine}/go/{rank}", store.get(ready).decode())
        return mine
    deadline = time.monotonic() + ALL_HERE
    while time.monotonic() < deadline:
        if not arrives(store, "homespun", deadline - time.monotonic()):
            break
        name = store.get("homespun").decode()
        store.set(f"{name}/ready/{place.rank}", mine)
        if arrives(store, f"{name}/go/{place.rank}", 1.0):
            if store.get(f"{name}/go/{place.rank}").decode() == mine:
                return name
            time.sleep(0.1)  # an answer to an earlier start
    raise TrainingError(
        f"{place.name} has waited {ALL_HERE:.0f} seconds for rank 0.",
        "Look at what that says where it was started.",
    )


def arrives(store: Store, key: str, seconds: float) -> bool:
    """Whether the key is in the store within that time."""
    try:
        store.wait([key], timedelta(seconds=max(0.01, seconds)))
    except RuntimeError as error:
        if "timeout" in str(error).lower() or "timed out" in str(error).lower():
            return False
        raise TrainingError(
            "The place where the processes meet was closed before all had come.",
            "Rank 0, or its torchrun, has ended: look at what it says.",
        ) from error
    return True


def exchanged(store: Store, place: Place, what: str, said: Any, seconds: float = ANSWER) -> list[Any]:
    """What every rank says, in the order of the ranks.

    What was said may be a reason to end, on all ranks. So rank 0, with which the store may end, returns last.
    """
    store.set(f"{what}/{place.rank}", json.dumps(said))
    heard = []
    for rank in range(place.size):
        if not arrives(store, f"{what}/{rank}", seconds):
            raise TrainingError(
                f"Rank {rank} has come, and then has not answered for {seconds:.0f} seconds.",
                "Look at what it says where it was started.",
            )
        heard.append(json.loads(store.get(f"{what}/{rank}")))
    if place.rank > 0:
        store.set(f"{what}/heard/{place.rank}", "")
    else:
        for rank in range(1, place.size):
            arrives(store, f"{what}/heard/{rank}", seconds)  # a rank that ends meanwhile is missed later
    return heard


def check_versions(hellos: list[Hello]) -> None:
    first = hellos[0]
    others = [hello for hello in hellos if hello.homespun != first.homespun]
    if others:
        who = "; ".join(f"{hello.name} has {hello.homespun}" for hello in others[:4])
        raise TrainingError(
            f"The processes have different versions of homespun: {first.name} has {first.homespun}; {who}.",
            "Install the same version on all computers.",
        )


def say_what_differs(hellos: list[Hello], note: Callable[[str], None]) -> None:
    """What may differ, but should be known."""
    first = hellos[0]
    for hello in hellos[1:]:
        if hello.torch != first.torch:
            note(f"{hello.name} has PyTorch {hello.torch}, {first.name} has {first.torch}: they round differently")
        if abs(hello.time - first.time) > CLOCKS:
            note(SAME_CLOCK_NOTE.format(hello.name, abs(hello.time - first.time) / 60, first.name))


def check_reach(store: Store, place: Place, own: Interface, hellos: list[Hello]) -> None:
    """TrainingError, on all ranks, that names two of them that cannot connect to each other."""
    family = socket.AF_INET6 if ":" in own.address else socket.AF_INET
    with socket.socket(family) as listening:
        listening.bind((own.address, 0))
        listening.listen(place.size)
        mine = [own.address, listening.getsockname()[1], own.name]
        doors = exchanged(store, place, "door", mine)
        missed: list[tuple[int, str]] = []
        for rank, (address, port, _) in enumerate(doors):
            if rank != place.rank and not missed:
                try:
                    socket.create_connection(
                        (address, port), timeout=CONNECT, source_address=(own.address, 0)
                    ).close()
                except OSError as error:
                    missed.append((rank, error.strerror or "no answer"))
        found = exchanged(store, place, "missed", missed)
    for rank, ranks in enumerate(found):
        for other, why in ranks:
            address, _, name = doors[other]
            raise TrainingError(
                f"{hellos[rank].name} ({doors[rank][2]}, {doors[rank][0]}) cannot connect to "
                f"{hellos[other].name} at {address} ({name}): {why}.",
                f"If that is the wrong network, name the right interface there, such as {INTERFACE}=eth0. "
                "A firewall has to let the computers connect to each other on all ports.",
            )


@cache
def code_hash() -> str:
    """The beginning of a hash of our own source: two checkouts may have one version and be different."""
    package = Path(__file__).parents[1]
    whole = hashlib.sha256()
    for path in sorted(package.rglob("*.py")):
        whole.update(path.relative_to(package).as_posix().encode())
        whole.update(path.read_bytes().replace(b"\r\n", b"\n"))
    return whole.hexdigest()[:8]
