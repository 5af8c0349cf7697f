"""Tokens/s, MFU and memory of a step at 124 million parameters: GPT-2's shape and Qwen3's, by micro-batch.

The text is Python source of the machine that it runs on, as bytes, in models with GPT-2's vocabulary: what the
ids are does not change the time. The step is ours: batches gathered on the device, the loss in chunks, compiled
as the plan would have it.
"""

from __future__ import annotations

import sysconfig
from itertools import count
from pathlib import Path

import numpy as np
import torch

from benchmarks.gpu.result import Asked, Row, asked, finish, seconds_of
from homespun.dataset.batches import Batches
from homespun.dataset.placement import BatchesOnDevice
from homespun.kernels.select import with_eager_kernels
from homespun.machine.accelerator import peak_memory_on, peak_of
from homespun.machine.device import autocast, choose_dtype, is_out_of_memory
from homespun.model.config import GPTConfig
from homespun.model.gpt import GPT
from homespun.planning.cost import utilisation
from homespun.training.compile_options import compiled_form
from homespun.training.optimizer import Optimizers

SHAPE = {"vocab_size": 50257, "context_length": 1024, "n_layer": 12, "n_head": 12, "n_embd": 768}
TINY = {"vocab_size": 5000, "context_length": 32, "n_layer": 1, "n_head": 2, "n_embd": 32}
SWEEP = (8, 16, 32, 64, 128, 192)  # sequences
BYTES = 20_000_000


def source_ids(most: int) -> np.ndarray:
    """Bytes of the Python source that is here: (N,), uint16."""
    found, total = [], 0
    for path in sorted(Path(sysconfig.get_path("stdlib")).rglob("*.py")):
        content = path.read_bytes()
        found.append(np.frombuffer(content, np.uint8))
        total += len(content)
        if total >= most:
            break
    return np.concatenate(found)[:most].astype(np.uint16)


def row_of(family: str, sequences: int, optimizer: str, compiles: bool, ids: np.ndarray, wanted: Asked) -> Row:
    """One shape at one size. A step that does not fit has no numbers."""
    device, dtype = wanted.device, choose_dtype("auto", wanted.device)
    config = GPTConfig.of(family, **wanted.pick(SHAPE, TINY))
    torch.manual_seed(0)
    row: Row = {"family": family, "sequences": sequences, "optimizer": optimizer, "compiled": compiles}
    if device.type == "cuda":
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats(device)
    try:
        model = GPT(config).to(device).train()
        form = with_eager_kernels(model, device, dtype)
        options = {"max_autotune": True} if device.type == "cuda" else {}
        forward = compiled_form(form, options) if compiles else form
        optimizers = Optimizers(model, kind=optimizer, learning_rate=3e-4, weight_decay=0.1, dtype=dtype)
        batches = BatchesOnDevice(Batches(ids, sequences, config.context_length, seed=0), device)
        context, number = autocast(device, dtype), count()

        def step() -> None:
            x, y = batches[next(number)]
            with context():
                _, loss = forward(x, y)
            loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizers.step(1.0)
            optimizers.zero_grad()

        seconds = seconds_of(step, device, wanted.pick(20, 1), warmup=wanted.pick(5, 1))
    except RuntimeError as error:
        if not is_out_of_memory(error):
            raise
        return row | {"tokens/s": None, "MFU": None, "GB": None}
    rate = sequences * config.context_length / seconds
    share = utilisation(config, rate, peak_of(device, str(dtype).removeprefix("torch.")))
    return row | {"tokens/s": rate, "MFU": share or None, "GB": peak_memory_on(device) / 1e9 or None}


def rows_of(wanted: Asked) -> list[Row]:
    ids = source_ids(wanted.pick(BYTES, 20_000))
    rows: list[Row] = []
    for family, optimizer in (("gpt2", "adamw"), ("modern", "muon")):
        for sequences in wanted.pick(SWEEP, (2,)):
            rows.append(row_of(family, sequences, optimizer, not wanted.tiny, ids, wanted))
            if rows[-1]["tokens/s"] is None:
                break  # a larger one fits still less
        rows.append(row_of(family, wanted.pick(SWEEP[0], 2), optimizer, False, ids, wanted))
    return rows


def main(arguments: list[str] | None = None) -> int:
    wanted = asked(__doc__, arguments)
    finish(wanted, "throughput", rows_of(wanted))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
