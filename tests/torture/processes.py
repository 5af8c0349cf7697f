"""Kills processes of runs that several compute, at random moments, and looks at what was lost.

    python tests/torture/processes.py --kills 200 [--seed 1]

Not collected by pytest; `make torture-processes` runs it. Each run has 2 to 4 processes, started by `--processes`
or by torchrun. At random moments one of them, or whoever started them, is killed with kill -9, or a rank gets
SIGTERM. Then the run has to go on from its last resume point at least, by itself or when the command is given
again, and within a minute. In the end its losses are those of a run by one process, to the
bit, which deterministic_reduction promises.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

import psutil

STEPS = 150
SHAPE = ["n_layer=1", "n_head=2", "n_embd=16", "context_length=16", "batch_size=6", "compile=no", "kernels=no"]
SETTINGS = [*SHAPE, "dropout=0.1", "evaluate_every=50", "deterministic_reduction=yes"]
HANG = 60.0  # seconds
BETWEEN = 0.2  # seconds between two checks of the run
STARTERS = ("--processes", "torchrun")
WAYS = ("kill -9 a rank", "kill -9 a rank", "kill -9 rank 0", "kill -9 the starter", "SIGTERM to a rank")


def command(text: Path, out: Path, starter: str, size: int) -> list[str]:
    settings = [part for setting in SETTINGS for part in ("--set", setting)]
    verb = ["train", str(text), "--out", str(out), "--resume", "--steps", str(STEPS), *settings]
    if starter == "torchrun":
        agent = ["-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={size}", "--max-restarts=1000"]
        return [sys.executable, *agent, "-m", "homespun", *verb]
    several = ["--processes", str(size)] if size > 1 else []
    return [sys.executable, "-m", "homespun", *verb, *several]


def lines_of(run: Path, name: str) -> list[dict[str, object]]:
    path = run / name
    if not path.exists():
        return []
    found = []
    for line in path.read_text(errors="replace").splitlines():
        try:
            found.append(json.loads(line))
        except ValueError:
            continue  # the line that was being written at the kill
    return found


def newest_point(run: Path) -> int:
    return max((int(path.parent.name[5:]) for path in run.glob("resume/step-*/point.json")), default=0)


class Torture:
    def __init__(self, folder: Path, rng: random.Random, kills: int) -> None:
        self.folder = folder
        self.rng = rng
        self.kills = kills
        self.text = folder / "book.txt"
        words = ["moon", "river", "kettle", "garden", "nobody", "forgets", "paints", "the", "night", "at"]
        self.text.write_text("\n".join(" ".join(rng.choices(words, k=9)) + "." for _ in range(3000)))
        self.tried: Counter[str] = Counter()
        self.wrong: list[str] = []
        self.slowest = 0.0

    def start(self, out: Path, starter: str, size: int) -> subprocess.Popen[bytes]:
        log = (self.folder / "log").open("ab")
        return subprocess.Popen(
            command(self.text, out, starter, size), stdout=log, stderr=log, stdin=subprocess.DEVNULL
        )

    def reference(self) -> list[tuple[object, object]]:
        out = self.folder / "whole"
        assert self.start(out, "--processes", 1).wait() == 0, (self.folder / "log").read_text()
        return [(line["step"], line["val_loss"]) for line in lines_of(out, "metrics.jsonl")]

    def ranks(self, starter: psutil.Process) -> list[psutil.Process]:
        """The processes of the run, in the order of their ranks, as far as they are there."""
        found = {}
        for child in starter.children(recursive=True):
            try:
                environment = child.environ()
                if "RANK" in environment and "homespun" in " ".join(child.cmdline()):
                    found.setdefault(int(environment["RANK"]), child)
            except psutil.Error:
                continue
        return [found[rank] for rank in sorted(found)]

    def disturb(self, process: subprocess.Popen[bytes], out: Path) -> tuple[str, int] | None:
        """One disturbance; returns what it was, and the newest resume point; None if there was no run."""
        try:
            starter = psutil.Process(process.pid)
            ranks = self.ranks(starter)
            if not ranks:
                return None
            way, point = self.rng.choice(WAYS), newest_point(out)
            if way == "kill -9 the starter":
                starter.kill()
            elif way == "kill -9 rank 0":
                ranks[0].kill()
            else:
                self.rng.choice(ranks).send_signal(
                    signal.SIGTERM if way == "SIGTERM to a rank" else signal.SIGKILL
                )
        except psutil.Error:
            return None
        self.tried[way] += 1
        return way, point

    def goes_on(self, process: subprocess.Popen[bytes], out: Path, since: float, way: str, point: int) -> bool:
        """Wait until the run begins again or its starter ends; whether it still runs. What is wrong is noted."""
        for _ in range(int(HANG / BETWEEN)):  # counted, not timed: the whole computer may stand still meanwhile
            for line in reversed(lines_of(out, "progress.jsonl")):
                if line["type"] == "begin" and float(str(line["time"])) > since:
                    if int(str(line["step"])) < point:
                        self.wrong.append(f"{way}: went on at step {line['step']}, and point {point} was there")
                    self.slowest = max(self.slowest, time.time() - since)
                    return True
            if process.poll() is not None:
                return False
            time.sleep(BETWEEN)
        self.wrong.append(f"{way}: nothing for {HANG:.0f} s")
        for one in self.ranks(psutil.Process(process.pid)):
            one.kill()
        process.kill()
        return False

    def one_run(self, number: int, expected: list[tuple[object, object]]) -> None:
        out = self.folder / f"run-{number}"
        for _ in range(200):
            starter, size = self.rng.choice(STARTERS), self.rng.randint(2, 4)
            process = self.start(out, starter, size)
            while process.poll() is None:
                time.sleep(self.rng.uniform(0.0, 10.0))
                if sum(self.tried.values()) >= self.kills:
                    break
                began, done = time.time(), self.disturb(process, out)
                if done is not None:
                    way, point = done
                    if not self.goes_on(process, out, began, f"{size} by {starter}: {way}", point):
                        break
            try:
                process.wait(HANG * 5)
            except subprocess.TimeoutExpired:
                self.wrong.append(f"{starter} {size}: hangs")
                process.kill()
            self.all_gone(out)
            if process.returncode == 0:
                break
        found = [(line["step"], line["val_loss"]) for line in lines_of(out, "metrics.jsonl")]
        if found != expected:
            self.wrong.append(f"run {number}: {found} instead of {expected}")

    def all_gone(self, out: Path) -> None:
        """Wait until no process of the run is left: those whose starter was killed save and end."""
        for _ in range(int(HANG / BETWEEN)):
            if not [one for one in psutil.process_iter(["cmdline"]) if str(out) in (one.info["cmdline"] or [])]:
                return
            time.sleep(BETWEEN)
        self.wrong.append("processes were left behind")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    os.environ.setdefault("HOMESPUN_RESUME_SECONDS", "0.5")
    with tempfile.TemporaryDirectory(prefix="torture-") as name:
        os.environ["HOMESPUN_CACHE"] = str(Path(name) / "cache")
        torture = Torture(Path(name), random.Random(arguments.seed), arguments.kills)
        expected = torture.reference()
        runs = 0
        while sum(torture.tried.values()) < arguments.kills:
            runs += 1
            torture.one_run(runs, expected)
            done, wrong = sum(torture.tried.values()), len(torture.wrong)
            print(f"{done} disturbances, {runs} runs, {wrong} wrong", flush=True)
    for way, times in torture.tried.most_common():
        print(f"  {way:24}{times:4}")
    print(f"the longest until the run went on: {torture.slowest:.0f} s")
    print("\n".join([f"lost, different or hanging: {len(torture.wrong)}", *torture.wrong]))
    return 1 if torture.wrong else 0


if __name__ == "__main__":
    raise SystemExit(main())
