"""The recipes of examples/ start a run, with stand-ins for Slurm's and SkyPilot's own commands."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from tests.patience import PATIENCE

pytestmark = pytest.mark.processes

ROOT = Path(__file__).parents[2]
SMALL = ["n_layer=1", "n_head=1", "n_embd=8", "context_length=8", "batch_size=4", "compile=no"]
SETTINGS = ["--steps", "4", *(part for setting in SMALL for part in ("--set", setting))]
STAND_INS = {
    "srun": 'exec "$@"',
    "scontrol": 'case "$1" in show) echo 127.0.0.1 ;; *) echo "$@" >> "$STAND_IN_LOG" ;; esac',
    "torchrun": f'exec "{sys.executable}" -m torch.distributed.run "$@"',
}


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    for name, script in STAND_INS.items():
        command = tmp_path / "bin" / name
        command.parent.mkdir(exist_ok=True)
        command.write_text(f"#!/bin/bash\n{script}\n")
        command.chmod(0o755)
    return {
        **os.environ,
        "PATH": f"{tmp_path / 'bin'}:{os.environ['PATH']}",
        "PYTHONPATH": str(ROOT),
        "PROCESSES": "2",
        "STAND_IN_LOG": str(tmp_path / "log"),
    }


def last_step(run: Path) -> int:
    return int(json.loads((run / "metrics.jsonl").read_text().splitlines()[-1])["step"])


def test_the_recipe_for_slurm_trains(environment: dict[str, str], book: Path, tmp_path: Path) -> None:
    slurm = {"SLURM_JOB_NODELIST": "node-[0]", "SLURM_JOB_NUM_NODES": "1", "SLURM_JOB_ID": "7", "PORT": "29431"}
    command = ["bash", str(ROOT / "examples" / "slurm.sh"), str(book), str(tmp_path / "run"), *SETTINGS]
    done = subprocess.run(command, env=environment | slurm, capture_output=True, text=True, timeout=PATIENCE)
    assert done.returncode == 0, done.stdout + done.stderr
    assert last_step(tmp_path / "run") == 4 and "2 processes" in done.stdout + done.stderr


def test_the_recipe_for_skypilot_trains(environment: dict[str, str], book: Path, tmp_path: Path) -> None:
    recipe = (ROOT / "examples" / "sky.yaml").read_text(encoding="utf-8")
    run = textwrap.dedent(recipe.partition("\nrun: |\n")[2])
    sky = {"SKYPILOT_NODE_IPS": "127.0.0.1", "SKYPILOT_NUM_NODES": "1", "RUNS": str(tmp_path), "TEXT": str(book)}
    more = sky | {"SETTINGS": " ".join(SETTINGS)}
    done = subprocess.run(
        ["bash", "-c", run], env=environment | more, capture_output=True, text=True, timeout=PATIENCE
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert last_step(tmp_path / "run") == 4
