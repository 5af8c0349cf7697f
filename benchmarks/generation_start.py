"""How long a person waits for the first character of `homespun generate`."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import torch

from benchmarks.generation import ALPHABET
from benchmarks.pairs import ROOT, Benchmark, Outcome, Row, Work, alternate
from benchmarks.rounds import Failed, attempt


def measure(work: Work) -> Outcome:
    folder = small_model(work.folder / "model")
    environment = {**os.environ, "HOMESPUN_CACHE": str(work.folder / "cache")}
    attempt(seconds_to_first_character, folder, environment)  # leaves what later ones find: compiled files
    time.sleep(0 if work.smoke else 10)
    seconds, imports = alternate(
        work.rounds,
        lambda: seconds_to_first_character(folder, environment),
        lambda: seconds_to_import_torch(environment),
    )
    return Outcome(
        values={"start": seconds},
        sides={"homespun generate": seconds, "python -c 'import torch'": imports},
        unit="s",
        notes=["from the start of the process; 4 layers, 256 wide, 65 characters"],
    )


def small_model(folder: Path) -> Path:
    from homespun.checkpoint.folder import save_model
    from homespun.model.config import GPTConfig
    from homespun.model.gpt import GPT
    from homespun.tokenizer.make import build

    torch.manual_seed(0)
    tokenizer = build("char", alphabet=ALPHABET, documents=1, pieces=lambda: iter([""]))
    shape = {"context_length": 256, "n_layer": 4, "n_head": 4, "n_embd": 256}
    save_model(folder, GPT(GPTConfig.of("modern", vocab_size=tokenizer.vocab_size, **shape)), tokenizer)
    return folder


def seconds_to_first_character(folder: Path, environment: dict[str, str]) -> float:
    """Without a prompt, so that what comes first was written by the model."""
    command = [sys.executable, "-m", "homespun", "generate", str(folder), "--max-tokens", "200", "--seed", "1"]
    began = time.perf_counter()
    with subprocess.Popen(command, stdout=subprocess.PIPE, env=environment, cwd=ROOT) as process:
        assert process.stdout is not None
        first = process.stdout.read(1)
        seconds = time.perf_counter() - began
        process.stdout.read()
    if process.returncode:
        raise Failed(f"homespun generate ended with {process.returncode}")
    if not first:
        raise Failed("homespun generate wrote nothing")
    return seconds


def seconds_to_import_torch(environment: dict[str, str]) -> float:
    began = time.perf_counter()
    code = subprocess.run([sys.executable, "-c", "import torch"], env=environment).returncode
    seconds = time.perf_counter() - began
    if code:
        raise Failed(f"import torch ended with {code}")
    return seconds


BENCHMARK = Benchmark(
    "generation_start",
    "seconds from Enter to the first character of homespun generate",
    measure,
    (Row("start", "start of homespun generate to its first character, warm", "s", "less", must=4, aim=1.5),),
    rounds=5,
)

if __name__ == "__main__":
    BENCHMARK.main()
