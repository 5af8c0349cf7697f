"""Two computers: network namespaces with a bridge between. They need root on Linux, and are skipped without."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.patience import PATIENCE

pytestmark = pytest.mark.processes

ROOT = Path(__file__).parents[2]
BRIDGE, COMPUTERS = "hsbridge", ("hsone", "hstwo")
ADDRESSES = ("10.77.0.1", "10.77.0.2")


def ip(*arguments: str) -> None:
    subprocess.run(["ip", *arguments], check=True, capture_output=True)


def remove() -> None:
    for name in COMPUTERS:
        subprocess.run(["ip", "netns", "delete", name], check=False, capture_output=True)
        shutil.rmtree(f"/etc/netns/{name}", ignore_errors=True)
    subprocess.run(["ip", "link", "delete", BRIDGE], check=False, capture_output=True)


@pytest.fixture(scope="module")
def computers() -> Iterator[None]:
    """Two of them, each of which takes its own name for 127.0.1.1, as Debian does, and knows the other's."""
    if sys.platform != "linux" or os.geteuid() != 0 or not shutil.which("ip"):
        pytest.skip("network namespaces need root on Linux, and ip")
    remove()
    try:
        ip("link", "add", BRIDGE, "type", "bridge")
        ip("link", "set", BRIDGE, "up")
        for number, name in enumerate(COMPUTERS):
            ip("netns", "add", name)
            ip("link", "add", f"{name}0", "type", "veth", "peer", "name", "eth0", "netns", name)
            ip("link", "set", f"{name}0", "master", BRIDGE, "up")
            ip("-n", name, "address", "add", f"{ADDRESSES[number]}/24", "dev", "eth0")
            ip("-n", name, "link", "set", "eth0", "up")
            ip("-n", name, "link", "set", "lo", "up")
            hosts = Path(f"/etc/netns/{name}/hosts")
            hosts.parent.mkdir(parents=True)
            own = {"first": ADDRESSES[0], socket.gethostname(): "127.0.1.1", "localhost": "127.0.0.1"}
            if number == 0:
                own["first"] = "127.0.1.1"
            hosts.write_text("".join(f"{address} {host}\n" for host, address in own.items()))
    except (OSError, subprocess.CalledProcessError) as error:
        remove()
        pytest.skip(f"no network namespaces can be made here: {error}")
    yield
    remove()


def start(
    rank: int, master: str = "first", port: int = 29501, version: str = "", **more: str
) -> subprocess.Popen[str]:
    environment = {
        **os.environ,
        **{"RANK": str(rank), "WORLD_SIZE": "2", "LOCAL_RANK": "0", "LOCAL_WORLD_SIZE": "1"},
        **{"MASTER_ADDR": master, "MASTER_PORT": str(port), "PYTHONPATH": str(ROOT)},
        **more,
    }
    command = [sys.executable, "-m", "tests.distributed.meets", *([version] if version else [])]
    return subprocess.Popen(
        ["ip", "netns", "exec", COMPUTERS[rank], *command],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def said(*processes: subprocess.Popen[str]) -> list[str]:
    return [process.communicate(timeout=PATIENCE)[0] for process in processes]


def test_the_interface_that_reaches_the_other_computer_is_found(computers: None) -> None:
    for text in said(start(0), start(1)):
        assert "met [0, 1]" in text
    first = said(start(0, master=ADDRESSES[0]), start(1, master=ADDRESSES[0]))[0]
    assert "2 processes on 2 computers, connected by eth0" in first


def test_a_wrong_interface_is_named_on_both(computers: None) -> None:
    for text in said(start(0), start(1, GLOO_SOCKET_IFNAME="lo")):
        assert "cannot connect to rank 1" in text and "127.0.0.1 (lo)" in text and "GLOO_SOCKET_IFNAME" in text
    text = said(start(1, GLOO_SOCKET_IFNAME="eth9"))[0]
    assert "has no such network interface" in text and "eth0" in text


def test_another_version_is_named_on_both(computers: None) -> None:
    for text in said(start(0), start(1, version="9.9.9")):
        assert "different versions" in text and "rank 1" in text and "9.9.9" in text


def test_an_address_where_nobody_is_and_a_name_that_nobody_knows_are_said(computers: None) -> None:
    nobody, unknown = said(start(1, master="10.77.0.9"), start(1, master="no-such-computer"))
    assert "cannot reach 10.77.0.9:29501" in nobody
    assert "does not know the computer no-such-computer" in unknown


def test_a_port_that_is_taken_is_said(computers: None) -> None:
    server = ["-u", "-m", "http.server", "29502"]
    other = subprocess.Popen(
        ["ip", "netns", "exec", COMPUTERS[0], sys.executable, *server],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    try:
        assert other.stdout is not None and other.stdout.readline()
        began = time.monotonic()
        first, second = said(start(0, port=29502), start(1, port=29502))
        assert "Port 29502" in first and "is taken" in first
        assert "Another program may have that port" in second or "cannot reach" in second, second
        assert time.monotonic() - began < PATIENCE
    finally:
        other.kill()
        other.wait()
