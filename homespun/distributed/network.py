"""Which network interface reaches the other processes.

gloo takes the address that the computer's own name stands for. On Debian and Ubuntu that is 127.0.1.1, where no
other computer can connect, and the processes would wait for each other. So the interface is chosen here: the one
from which packets to the meeting place leave.
"""

from __future__ import annotations

import ipaddress
import os
import socket
from dataclasses import dataclass

from homespun.errors import TrainingError, UsageError

INTERFACE = "GLOO_SOCKET_IFNAME"


@dataclass(frozen=True)
class Interface:
    """name: "eth0"; address: its own, "10.0.0.2"."""

    name: str
    address: str

    @property
    def is_loopback(self) -> bool:
        return ipaddress.ip_address(self.address).is_loopback


def interfaces() -> list[Interface]:
    """The interfaces of this computer that are up and have an address."""
    import psutil

    up = {name for name, status in psutil.net_if_stats().items() if status.isup}
    found = []
    for name, addresses in psutil.net_if_addrs().items():
        for kind, address, *_ in addresses:
            if name in up and kind in (socket.AF_INET, socket.AF_INET6):
                found.append(Interface(name, address.partition("%")[0]))
    return found


def loopback() -> Interface:
    """The interface through which processes of one computer talk."""
    return next((one for one in interfaces() if one.is_loopback), Interface("lo", "127.0.0.1"))


def chosen_interface() -> Interface | None:
    """The one that the user has named in GLOO_SOCKET_IFNAME, or None. UsageError if there is no such one."""
    name = os.environ.get(INTERFACE)
    if not name:
        return None
    for one in interfaces():
        if one.name == name:
            return one
    names = ", ".join(sorted({one.name for one in interfaces()}))
    raise UsageError(
        f"{INTERFACE} is {name}, and {socket.gethostname()} has no such network interface that is up.",
        f"It has: {names}. Name the one that reaches the other computers, or leave the variable out.",
    )


def interface_towards(address: str, port: int = 9) -> Interface:
    """The interface from which packets to that address leave. TrainingError where none does."""
    source = source_towards(address, port)
    for one in interfaces():
        if one.address == source:
            return one
    # 127.0.1.1 is the loopback interface's, which lists only 127.0.0.1.
    if ipaddress.ip_address(source).is_loopback:
        return loopback()
    raise TrainingError(
        f"No network interface of {socket.gethostname()} has the address {source}.",
        f"Name the interface that reaches {address}, such as {INTERFACE}=eth0.",
    )


def source_towards(address: str, port: int) -> str:
    """The own address in packets to that one; nothing is sent to find it out."""
    try:
        family, kind, protocol, _, target = socket.getaddrinfo(address, port, type=socket.SOCK_DGRAM)[0]
        with socket.socket(family, kind, protocol) as probe:
            probe.connect(target)
            return str(probe.getsockname()[0])
    except socket.gaierror as error:
        raise TrainingError(
            f"{socket.gethostname()} does not know the computer {address} where the processes meet: "
            f"{error.strerror}.",
            "Give its address instead of its name: torchrun --rdzv-endpoint=ADDRESS:PORT, and there "
            "--local-addr=ADDRESS.",
        ) from None
    except OSError as error:
        raise TrainingError(
            f"{socket.gethostname()} has no way to {address}, where the processes meet: {error.strerror}.",
            "Check the address, and that both computers are in one network.",
        ) from None
