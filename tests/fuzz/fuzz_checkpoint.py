"""Fuzzes the reading of checkpoints of other programs: a pickle, the zip of torch.save around it, llama2.c's .bin.

python tests/fuzz/fuzz_checkpoint.py -max_total_time=1200
"""

from __future__ import annotations

import io
import pickle
import random
import struct
import sys
import zipfile
from collections import OrderedDict
from pathlib import Path

import atheris

sys.path.insert(0, str(Path(__file__).parents[2]))

with atheris.instrument_imports(include=["homespun"]):
    from homespun.errors import HomespunError
    from homespun.interop.foreign.checkpoint import open_checkpoint
    from homespun.interop.foreign.names import Wishes
    from homespun.interop.foreign.pickles import STEPS, read_pickle

from tests.fuzz import harness

OPCODES = (
    b"(.0123NR\x88\x89KMJI\x8a\x8b\x8cXq\x94hrjcb)\x85\x86\x87t]ela}ds"
    b"\x8f\x90\x91\x92\x93\x81QiouP\x95\x80\x97\x98"
)
NAMES = (
    b"cos\nsystem\n",
    b"cbuiltins\neval\n",
    b"ccollections\nOrderedDict\n",
    b"ctorch._utils\n_rebuild_tensor_v2\n",
    b"ctorch\nFloatStorage\n",
    b"ctorch\nSize\n",
    b"cargparse\nNamespace\n",
    b"ccopy_reg\n_reconstructor\n",
    b"c__main__\nGPTConfig\n",
    b"c__builtin__\nobject\n",
    b"ctorch.storage\nUntypedStorage\n",
)
NUMBERS = (0, 1, 2, 3, 255, 2**15, 2**31 - 1, 2**31, 2**32 - 1, 2**63 - 1, 2**64 - 1)


def audit(event: str, arguments: tuple[object, ...]) -> None:
    """Nothing that a checkpoint says may start a program, open a connection or import a module of its own."""
    forbidden = ("os.system", "os.exec", "subprocess.Popen", "socket.connect", "pickle.find_class")
    if WATCHING and event in forbidden:
        raise AssertionError(f"a checkpoint made {event} happen: {arguments!r:.200}")


WATCHING = False


def check(folder: Path, data: bytes) -> None:
    """The first byte says as what the rest is read: a pickle, one in a zip, a whole zip, llama2.c's file."""
    kind, rest = data[:1], data[1:]
    wishes = Wishes(heads=2)
    if kind == b"p":
        read_pickle(rest, "x.pkl")
    elif kind == b"z":
        open_checkpoint(zipped(folder / "x.pt", rest), wishes)
    else:
        path = folder / ("x.bin" if kind == b"b" else "x.pt")
        path.write_bytes(rest)
        opened = open_checkpoint(path, wishes)
        assert opened.model() is not None


def zipped(path: Path, pickled: bytes) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("x/data.pkl", pickled)
        for key in range(40):
            archive.writestr(f"x/data/{key}", bytes(4096))
    return path


def mutate(data: bytes, dice: random.Random) -> bytes:
    if not data:
        return atheris.Mutate(data, 65536)
    content = bytearray(data)
    for _ in range(dice.choice((1, 1, 2, 4, 8))):
        at = dice.randint(1, len(content))
        kind = dice.randrange(7)
        if kind == 0:
            content[at:at] = bytes([dice.choice(OPCODES)])
        elif kind == 1:
            content[at:at] = dice.choice(NAMES)
        elif kind == 2 and at < len(content):
            content[at] = dice.choice(OPCODES)
        elif kind == 3:
            content[at : at + 4] = struct.pack("<Q", dice.choice(NUMBERS))[:4]
        elif kind == 4:
            del content[at : at + dice.choice((1, 2, 8, 64))]
        elif kind == 5:
            content[at:at] = content[at : at + dice.choice((4, 16, 200))] * dice.choice((1, 1, 3))
        else:
            content[at : at + 1] = atheris.Mutate(bytes(content[at : at + 8]), 64)
    return bytes(content)


def seeds() -> list[bytes]:
    """Sound files of each kind, small."""
    import torch

    from tests.interop.lecture_models import Lecture, NanoGPT, llama2c_bin, tiny_llama

    plain = {
        "itos": {0: "a", 1: "b"},
        "stoi": {"a": 0},
        "vocab_size": 2,
        "x": (1.5, None, True, [1], OrderedDict()),
    }
    found = [b"p" + pickle.dumps(plain, protocol=protocol) for protocol in range(6)]
    for value in (
        {"model": NanoGPT().state_dict(), "model_args": {"n_head": 2, "bias": False}, "config": {"dataset": "a"}},
        Lecture(8).state_dict(),
    ):
        out = io.BytesIO()
        torch.save(value, out)
        found.append(b"t" + out.getvalue())
        with zipfile.ZipFile(out) as archive:
            name = next(name for name in archive.namelist() if name.endswith("data.pkl"))
            found.append(b"z" + archive.read(name))
    return found + [b"b" + llama2c_bin(tiny_llama(), version) for version in range(3)]


def main() -> None:
    assert STEPS
    sys.addaudithook(audit)
    inputs = [seed for seed in seeds() if len(seed) < 200_000]

    def watched(folder: Path, data: bytes) -> None:
        global WATCHING
        WATCHING = True
        try:
            check(folder, data)
        except HomespunError:
            WATCHING = False
            raise
        finally:
            WATCHING = False

    harness.run(watched, inputs, mutate=mutate)


if __name__ == "__main__":
    main()
