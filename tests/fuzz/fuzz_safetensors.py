"""Fuzzes the reading of weights: `read_header`, `read_tensors`, and a model folder with that file in it.

python tests/fuzz/fuzz_safetensors.py -max_total_time=1200
"""

from __future__ import annotations

import json
import random
import struct
import sys
from pathlib import Path
from typing import Any

import atheris

sys.path.insert(0, str(Path(__file__).parents[2]))

with atheris.instrument_imports(include=["homespun"]):
    from homespun.checkpoint.folder import load_weights, save_model
    from homespun.checkpoint.tensors import CODES, read_header, read_tensors
    from homespun.errors import HomespunError
    from homespun.model.config import GPTConfig
    from homespun.model.gpt import build
    from homespun.tokenizer.make import build as build_tokenizer

from tests.fuzz import harness

WORDS: list[Any] = [*CODES.values(), "F8_E4M3", "F99", "__metadata__", "model.norm.weight", "lm_head.weight",
                    [2**40], [2**62, 2**62], [0, 2**60], [16, 0], [-4], [0] * 70, [1] * 5000]  # fmt: skip


def check(folder: Path, data: bytes) -> None:
    weights = folder / "model.safetensors"
    weights.write_bytes(data)
    try:
        header = read_header(weights)
        tensors = read_tensors(weights)
    except HomespunError:
        pass
    else:
        assert {name: tuple(tensor.shape) for name, tensor in tensors.items()} == {
            name: tensor.shape for name, tensor in header.items()
        }
    load_weights(folder)


def mutate(data: bytes, dice: random.Random) -> bytes:
    """Changes the header and says its new length; sometimes a wrong one, sometimes other numbers behind it."""
    length = int.from_bytes(data[:8], "little")
    try:
        header = json.loads(data[8 : 8 + length])
    except (ValueError, RecursionError):
        return atheris.Mutate(data, 65536)
    numbers = data[8 + length :]
    kind = dice.randrange(8)
    if kind == 0:
        numbers = numbers[: dice.randint(0, len(numbers))]
    elif kind == 1:
        numbers = bytes(dice.choices((0, 127, 128, 255), k=min(len(numbers), 4096))) + numbers[4096:]
    text = harness.json_bytes(harness.mutated(header, dice, harness.HOSTILE + WORDS))
    said = len(text) if dice.random() < 0.95 else dice.choice((0, 1, len(text) + 1, 2**31, 2**63, 2**64 - 1))
    return struct.pack("<Q", said) + text + numbers


def seeds() -> tuple[bytes, bytes, bytes]:
    """A sound model's config, its weights, and a small file of many dtypes."""
    import tempfile

    import torch

    from homespun.checkpoint.tensors import write_tensors

    with tempfile.TemporaryDirectory() as folder:
        alphabet = dict.fromkeys("ab", 1)
        tokenizer = build_tokenizer("char", alphabet=alphabet, documents=1, pieces=lambda: iter(["ab"]))
        config = GPTConfig.of("modern", vocab_size=2, context_length=4, n_layer=1, n_head=1, n_embd=4, n_inner=4)
        save_model(folder, build(config), tokenizer)
        write_tensors(Path(folder) / "many", {code: torch.ones(2).to(dtype) for dtype, code in CODES.items()})
        names = ("config.json", "model.safetensors", "many")
        config_json, weights, many = ((Path(folder) / name).read_bytes() for name in names)
    return config_json, weights, many


def main() -> None:
    config_json, weights, many = seeds()

    def check_beside_the_config(folder: Path, data: bytes) -> None:
        if not (folder / "config.json").exists():
            (folder / "config.json").write_bytes(config_json)
        check(folder, data)

    harness.run(check_beside_the_config, [weights, many], mutate=mutate)


if __name__ == "__main__":
    main()
