"""Fuzzes the reading of a GGUF file: its header, its settings, its tokenizer, its numbers.

python tests/fuzz/fuzz_gguf.py -max_total_time=1200
"""

from __future__ import annotations

import random
import struct
import sys
import tempfile
from pathlib import Path
from typing import Any

import atheris

sys.path.insert(0, str(Path(__file__).parents[2]))

with atheris.instrument_imports(include=["homespun"]):
    import torch

    from homespun.interop.gguf.file import LIST, NUMBERS, STRING, read_gguf
    from homespun.interop.gguf.load import load_gguf
    from homespun.interop.gguf.write import write_gguf
    from homespun.interop.gguf.write_tokenizer import tokenizer_settings
    from homespun.model.config import GPTConfig
    from homespun.model.gpt import build
    from homespun.tokenizer.make import build as build_tokenizer

from tests.fuzz import harness

HEAD = struct.Struct("<4sIQQ")  # magic, version, tensors, settings
WORDS: list[Any] = ["llama", "qwen3", "gpt2", "smollm", "llama-bpe", "qwen2", "À Á", "a b", "#version x",
                    "Ġ" * 2000,
                    [""] * 300, ["a"] * 300, ["À Á"], [1.5] * 9, [3] * 300]  # fmt: skip


def check(folder: Path, data: bytes) -> None:
    path = folder / "model.gguf"
    path.write_bytes(data)
    read_gguf(path)
    model, tokenizer = load_gguf(path)
    tokenizer.decode(tokenizer.encode("ab"))
    tokenizer.decode([0])
    model(torch.zeros(1, 1, dtype=torch.long))


def mutate(data: bytes, dice: random.Random) -> bytes:
    """Changes settings as values, and says them anew; or counts and offsets; or bytes of the header."""
    kind = dice.randrange(6)
    if kind < 3:
        return with_other_settings(data, dice)
    end = min(len(data), 6000)
    if kind == 3 and end > 16:  # a count, a length, an offset
        at = dice.randrange(end - 8)
        value = dice.choice((0, 1, 2, 31, 32, 33, 255, 2**16, 2**31, 2**32, 2**40, 2**62, 2**63, 2**64 - 1))
        return data[:at] + struct.pack("<Q", value) + data[at + 8 :]
    if kind == 4:
        return data[: dice.randint(0, len(data))]
    return bytes(atheris.Mutate(data[:end], end)) + data[end:]


def with_other_settings(data: bytes, dice: random.Random) -> bytes:
    """The file with some of its settings changed. A file that is none any more is changed byte by byte."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.gguf"
        path.write_bytes(data)
        try:
            file = read_gguf(path)
        except Exception:  # noqa: BLE001  whatever the last change has done to it
            return bytes(atheris.Mutate(data, len(data) + 64))
    settings = harness.mutated(file.settings, dice, harness.HOSTILE + WORDS)
    if not isinstance(settings, dict):
        return data
    tensors = tensor_infos(data, len(file.settings))
    magic, version, number, _ = HEAD.unpack_from(data)
    packed = b"".join(setting(str(name), value) for name, value in settings.items())
    head = HEAD.pack(magic, version, number, len(settings)) + packed + tensors
    head += b"\0" * (-len(head) % 32)
    first = min((tensor.start for tensor in file.tensors.values()), default=len(data))
    return head + data[first:]


def tensor_infos(data: bytes, settings: int) -> bytes:
    """The part of the header that speaks of tensors, as it is."""
    at = HEAD.size
    for _ in range(settings):
        at += 8 + int.from_bytes(data[at : at + 8], "little")
        at = behind_value(data, at + 4, int.from_bytes(data[at : at + 4], "little"))
    start, number = at, HEAD.unpack_from(data)[2]
    for _ in range(number):
        at += 8 + int.from_bytes(data[at : at + 8], "little")
        at += 4 + 8 * int.from_bytes(data[at : at + 4], "little") + 4 + 8
    return data[start:at]


def behind_value(data: bytes, at: int, kind: int) -> int:
    if kind == STRING:
        return at + 8 + int.from_bytes(data[at : at + 8], "little")
    if kind == LIST:
        inner, length = struct.unpack_from("<IQ", data, at)
        at += 12
        for _ in range(length):
            at = behind_value(data, at, inner)
        return at
    return at + struct.calcsize("<" + NUMBERS[kind])


def setting(name: str, value: Any) -> bytes:
    kind, content = packed(value)
    return text(name) + struct.pack("<I", kind) + content


def packed(value: Any) -> tuple[int, bytes]:
    """A value with its type; what the format has no type for becomes a text."""
    if isinstance(value, bool):
        return 7, struct.pack("<?", value)
    if isinstance(value, int):
        return (11, struct.pack("<q", value)) if -(2**63) <= value < 2**63 else (8, text(str(value)))
    if isinstance(value, float):
        return 12, struct.pack("<d", value)
    if isinstance(value, list):
        items = [packed(one) for one in value]
        kinds = {kind for kind, _ in items}
        if len(kinds) == 1 and kinds.isdisjoint({LIST}):
            return LIST, struct.pack("<IQ", kinds.pop(), len(items)) + b"".join(content for _, content in items)
        return LIST, struct.pack("<IQ", STRING, len(value)) + b"".join(text(str(one)[:50]) for one in value)
    return STRING, text(str(value))


def text(value: str) -> bytes:
    content = value.encode("utf-8", "surrogatepass")
    return struct.pack("<Q", len(content)) + content


def seeds() -> list[bytes]:
    """A sound file of each family, with tokenizers of characters, bytes and pairs."""
    found = []
    kinds = (("modern", "char", "f32"), ("llama", "byte", "q8_0"), ("gpt2", "bpe:260", "f16"))
    with tempfile.TemporaryDirectory() as folder:
        for family, kind, quantize in kinds:
            alphabet = dict.fromkeys("abя", 1)
            tokenizer = build_tokenizer(kind, alphabet=alphabet, documents=2, pieces=lambda: iter(["abя ab aba"]))
            config = GPTConfig.of(
                family,
                vocab_size=tokenizer.vocab_size,
                context_length=4,
                n_layer=1,
                n_head=1,
                n_embd=32,
                n_inner=32,
            )
            words = tokenizer_settings(tokenizer, rows=tokenizer.vocab_size, rarest=0)
            path = Path(folder) / f"{family}.gguf"
            write_gguf(path, build(config), words, {"general.name": "a"}, quantize)
            found.append(path.read_bytes())
    return found


if __name__ == "__main__":
    harness.run(check, seeds(), mutate=mutate)
