"""Reading a long text takes no more memory than a short one, with the allocator as the command sets it."""

from __future__ import annotations

import os
import platform
import subprocess
import sys

import pytest

from homespun.machine.allocator import tunables
from tests.patience import PATIENCE

READ = """
import re, sys
import numpy as np, torch
from homespun.dataset.shards import Split
from homespun.evaluation.loss import evaluate
from homespun.model.gpt import GPT; from homespun.model.config import GPTConfig
torch.set_num_threads(1)
ids = (np.arange(int(sys.argv[1])) % 4096).astype(np.uint16)
model = GPT(GPTConfig.of("modern", vocab_size=4096, context_length=128, n_layer=1, n_head=1, n_embd=16))
evaluate(model, Split("val", ids, len(ids), len(ids), 1))
print(re.search(r"VmHWM:\\s+(\\d+) kB", open("/proc/self/status").read())[1])
"""


def megabytes(tokens: int) -> int:
    command = [sys.executable, "-c", READ, str(tokens)]
    environment = {**os.environ, "GLIBC_TUNABLES": tunables()}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True, timeout=PATIENCE)
    return int(done.stdout) // 1000


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="other systems have no such settings")
def test_each_batch_takes_the_memory_of_the_one_before() -> None:
    short, long = megabytes(12_000), megabytes(60_000)
    assert long < short + 200  # the logits of one batch have 64; it was 700 more
