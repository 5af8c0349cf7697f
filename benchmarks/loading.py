"""The memory to open a model folder of a billion parameters in bfloat16, over the size of its weights."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from benchmarks.pairs import ROOT, Benchmark, Outcome, Row, Work
from benchmarks.rounds import attempt, each

MIB = 2**20
# The shape of TinyLlama: 1.1 billion parameters, 2.2 GB.
BILLION = {"n_layer": 22, "n_head": 32, "n_kv_head": 4, "n_embd": 2048, "n_inner": 5632, "vocab_size": 32_000}
TINY = {"n_layer": 2, "n_head": 2, "n_kv_head": 1, "n_embd": 64, "n_inner": 128, "vocab_size": 1000}

# The process under test. What it had before counts as well; what it had with torch imported is said beside it.
OPENED = """
import json, sys
import homespun
import homespun.interop.open
from benchmarks.step import memory
before = memory("VmHWM")
model = homespun.load(sys.argv[1])
print(json.dumps({"before": before, "peak": memory("VmHWM")}))
"""


def random_folder(folder: Path, shape: dict[str, int]) -> int:
    """Writes a model of that shape in bfloat16; the size of its weights in bytes."""
    import torch

    from homespun.checkpoint.folder import assemble, save_model
    from homespun.checkpoint.place import WEIGHTS
    from homespun.checkpoint.weights import shapes_of
    from homespun.model.config import GPTConfig
    from homespun.tokenizer.make import build

    config = GPTConfig.of("llama", context_length=2048, tied_head=False, **shape)
    torch.manual_seed(0)
    weights = {
        name: torch.empty(size, dtype=torch.bfloat16).normal_(std=0.02) for name, size in shapes_of(config).items()
    }
    tokenizer = build("byte", alphabet={}, documents=2, pieces=lambda: iter([]))
    save_model(folder, assemble(config, weights, "cpu"), tokenizer, dtype=torch.bfloat16)
    return (folder / WEIGHTS).stat().st_size


def opened(folder: Path) -> dict[str, Any]:
    done = subprocess.run(
        [sys.executable, "-c", OPENED, str(folder)],
        check=True,
        stdout=subprocess.PIPE,
        encoding="utf-8",
        cwd=ROOT,
    )
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def measure(work: Work) -> Outcome:
    folder = work.folder / "billion"
    size = random_folder(folder, TINY if work.smoke else BILLION)
    rounds = [attempt(opened, folder) for _ in range(work.rounds)]
    return Outcome(
        values={
            "loading": each(rounds, lambda found: found["peak"] / size),
            "loading_beyond": each(rounds, lambda found: (found["peak"] - found["before"]) / size),
        },
        sides={"peak": each(rounds, lambda found: found["peak"] / MIB)},
        unit="MiB",
        notes=[f"the weights are {size / MIB:,.0f} MiB in one file; pages of a file that is mapped count"],
    )


BENCHMARK = Benchmark(
    "loading",
    "peak memory of opening a folder of a billion parameters in bfloat16, over the size of its weights",
    measure,
    (
        Row("loading", "memory to open a bfloat16 folder of 1.1 B, whole process", "times", "less", 1.15, 1.05),
        Row("loading_beyond", "the same beyond what Python and torch take", "times", "less", aim=1.05),
    ),
)

if __name__ == "__main__":
    BENCHMARK.main()
