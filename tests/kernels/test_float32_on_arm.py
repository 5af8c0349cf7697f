"""The block's source, compiled for 64-bit Arm (NEON) and emulated, computes the model."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
import torch

from homespun.kernels.float32.operations import GROUPS, WEIGHTS, BlockShape
from homespun.machine.builds import ALWAYS
from homespun.model.block import Block
from homespun.model.config import GPTConfig
from homespun.model.context import Causal
from homespun.model.rotary import rope
from tests.patience import PATIENCE
from tests.training.passes import error

COMPILER, EMULATOR = "aarch64-linux-gnu-g++", "qemu-aarch64"


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    for tool in (COMPILER, EMULATOR):
        if shutil.which(tool) is None:
            pytest.skip(f"{tool} is not installed (Debian: g++-aarch64-linux-gnu, qemu-user)")
    path = tmp_path_factory.mktemp("arm") / "emulated"
    flags = [flag for flag in ALWAYS if flag not in ("-shared", "-fPIC", "-O3")] + ["-O2"]
    source = Path(__file__).with_name("emulated.cpp")
    subprocess.run([COMPILER, *flags, "-static", "-o", str(path), str(source)], check=True, timeout=PATIENCE)
    return path


@pytest.mark.parametrize(
    ("tokens", "heads", "key_heads", "width", "channels", "inner"),
    [(33, 4, 2, 12, 40, 52), (130, 2, 2, 16, 32, 96)],  # nothing fills a panel, and everything does
)
def test_neon_computes_the_block(
    program: Path, tokens: int, heads: int, key_heads: int, width: int, channels: int, inner: int
) -> None:
    torch.manual_seed(0)
    config = GPTConfig.of(
        "modern",
        vocab_size=5,
        context_length=tokens,
        n_layer=1,
        n_head=heads,
        n_kv_head=key_heads,
        head_width=width,
        n_embd=channels,
        n_inner=inner,
    )
    block = Block(config, 0)
    weights = dict(block.named_parameters())
    with torch.no_grad():
        for weight in weights.values():
            weight.copy_(torch.randn_like(weight) / (4 if weight.ndim > 1 else 1))
    x, gradient = torch.randn(2, tokens, channels, requires_grad=True), torch.randn(2, tokens, channels)
    context = Causal()
    cosines, sines = rope(tokens, width, config.rotary_base)
    context.ropes = {block.attention.kind: (cosines.unsqueeze(-2), sines.unsqueeze(-2))}
    y = block(x, context)
    y.backward(gradient)
    ordered = [next(weight for name, weight in weights.items() if matches(name, of)) for of in WEIGHTS]
    shape = BlockShape(
        *(2, tokens, channels, heads, key_heads, width, inner, GROUPS, 1),
        *(config.norm_eps, config.norm_eps, config.scale),
    )
    given = [part.detach().numpy() for part in (*ordered, cosines, sines, x, gradient)]
    answer = subprocess.run(
        [EMULATOR, str(program)],
        input=bytes(shape) + b"".join(part.tobytes() for part in given),
        capture_output=True,
        check=True,
        timeout=PATIENCE,
    )
    found = torch.from_numpy(np.frombuffer(answer.stdout, dtype=np.float32).copy())
    for right in (y, x.grad, *(weight.grad for weight in ordered)):
        assert right is not None
        mine, found = found[: right.numel()], found[right.numel() :]
        assert error(mine, right.flatten()) < 1e-5
    assert not len(found)


def matches(name: str, wanted: str) -> bool:
    """Whether the parameter of that name is that weight of a block.

    >>> matches("attention.query.weight", "query"), matches("attention.query_norm.weight", "query")
    (True, False)
    """
    return name.removesuffix(".weight").split(".")[-1] == wanted
