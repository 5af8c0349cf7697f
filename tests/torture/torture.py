"""Kills runs at random moments until they are done, and compares them with a run that nobody disturbed.

    python tests/torture/torture.py --kills 200 [--seed 1]

Not collected by pytest; `make torture` runs it. A process is started, killed at a random moment
(kill -9, SIGTERM, or a disk that is full or read-only for a while), started again with --resume, and
so on to the end. Then everything that a run is must be equal, bit for bit, to the run without
disturbances. The full and the read-only disk need to mount a tmpfs, and so root on Linux; without it
they are left out, and said to be.
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
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

SAME = ("model.safetensors", "plan.toml", "config.json", "tokenizer.json")
STEPS = 600
SHAPE = ["n_layer=2", "n_head=2", "n_embd=32", "context_length=32", "batch_size=4", "compile=no", "dropout=0.1"]
FULL = 40 * 2**20  # bytes of the small disk
UNDISTURBED = 6000.0  # seconds after which a run hangs


def command(text: Path, out: Path, model: str) -> list[str]:
    settings = [part for setting in (*SHAPE, "evaluate_every=150") for part in ("--set", setting)]
    base = [sys.executable, "-m", "homespun", "train", str(text), "--out", str(out), "--resume", "--json"]
    return [*base, "--steps", str(STEPS), "--model", model, *settings]


def book(folder: Path, dice: random.Random) -> Path:
    words = [
        "moon",
        "river",
        "kettle",
        "garden",
        "Tuesday",
        "nobody",
        "forgets",
        "paints",
        "the",
        "a",
        "at",
        "night",
    ]
    text = "\n".join(" ".join(dice.choices(words, k=9)) + "." for _ in range(3000))
    path = folder / "book.txt"
    path.write_text(text, encoding="utf-8")
    return path


def contents(run: Path) -> dict[str, object]:
    """What has to be equal."""
    found: dict[str, object] = {name: (run / name).read_bytes() for name in SAME}
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    found["losses"] = [(line["step"], line["train_loss"], line["val_loss"], line["lr"]) for line in lines]
    return found


@contextmanager
def small_disk(folder: Path) -> Iterator[Path]:
    folder.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={FULL}", "tmpfs", str(folder)], check=True)
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=False)


def can_mount(folder: Path) -> bool:
    try:
        with small_disk(folder / "try"):
            return True
    except (OSError, subprocess.CalledProcessError):
        return False


class Torture:
    def __init__(self, folder: Path, dice: random.Random) -> None:
        self.folder = folder
        self.dice = dice
        self.text = book(folder, dice)
        self.tried: Counter[str] = Counter()
        self.wrong: list[str] = []
        self.whole: dict[str, dict[str, object]] = {}
        self.undisturbed_seconds = 10.0

    def start(self, out: Path, model: str) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            command(self.text, out, model), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, env=os.environ
        )

    def reference(self, model: str) -> None:
        out = self.folder / f"whole-{model}"
        began = time.monotonic()
        process = self.start(out, model)
        _, told = process.communicate(timeout=UNDISTURBED)
        assert process.returncode == 0, told.decode()
        self.undisturbed_seconds = time.monotonic() - began
        self.whole[model] = contents(out)

    def disturb(self, how: str, process: subprocess.Popen[bytes], disk: Path | None) -> None:
        """After a random while, one disturbance; returns when the process has ended."""
        time.sleep(self.dice.uniform(0.5, self.undisturbed_seconds))
        if process.poll() is not None:
            return
        self.tried[how] += 1
        if how == "kill -9":
            process.send_signal(signal.SIGKILL)
        elif how == "SIGTERM":
            process.send_signal(signal.SIGTERM)
        elif how == "SIGTERM twice":
            process.send_signal(signal.SIGTERM)
            time.sleep(self.dice.uniform(0.0, 0.3))
            process.send_signal(signal.SIGTERM)
        elif how == "disk full" and disk is not None:
            filler = disk / "filler"
            with filler.open("wb") as file:
                try:
                    while True:
                        file.write(b"\0" * 2**16)
                        file.flush()
                except OSError:
                    self.wait(process)
            filler.unlink()
        elif how == "read-only" and disk is not None:
            subprocess.run(["mount", "-o", "remount,ro", str(disk)], check=False, capture_output=True)
            self.wait(process, at_most=5.0)
            subprocess.run(["mount", "-o", "remount,rw", str(disk)], check=False, capture_output=True)
        self.wait(process)

    def wait(self, process: subprocess.Popen[bytes], at_most: float = UNDISTURBED) -> None:
        try:
            _, told = process.communicate(timeout=at_most)
        except subprocess.TimeoutExpired:
            if at_most == UNDISTURBED:
                process.kill()
                self.wrong.append("a run hung")
            return
        if b"Traceback" in told:
            self.wrong.append(f"a traceback: {told.decode(errors='replace')[-400:]}")

    def one_run(self, name: str, model: str, ways: list[str], disk: Path | None) -> int:
        """Disturbs one run until it is done; returns how often."""
        out = (disk or self.folder) / name
        before = sum(self.tried.values())
        for attempt in range(60):
            process = self.start(out, model)
            if attempt < 8:
                self.disturb(self.dice.choice(ways), process, disk)
            else:
                self.wait(process)
            if process.returncode == 0:
                break
        else:
            self.wrong.append(f"{name}: not done after 60 attempts")
            return sum(self.tried.values()) - before
        found = contents(out)
        different = [part for part, value in self.whole[model].items() if found[part] != value]
        if different:
            self.wrong.append(f"{name}: other {', '.join(different)} than without disturbances")
        subprocess.run(["rm", "-rf", str(out)], check=True)
        return sum(self.tried.values()) - before


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=200, help="how many disturbances in all")
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    os.environ.setdefault("HOMESPUN_RESUME_SECONDS", "0.2")
    with tempfile.TemporaryDirectory(prefix="torture-") as name:
        folder = Path(name)
        os.environ["HOMESPUN_CACHE"] = str(folder / "cache")
        torture = Torture(folder, random.Random(arguments.seed))
        disks = can_mount(folder)
        models = ["modern", "gpt2"]
        for model in models:
            torture.reference(model)
        runs = told = 0
        while sum(torture.tried.values()) < arguments.kills:
            runs += 1
            model = models[runs % len(models)]
            ways = ["kill -9", "kill -9", "SIGTERM", "SIGTERM twice"]
            if disks and runs % 3 == 0:
                with small_disk(folder / "disk") as disk:
                    torture.one_run("run", model, [*ways, "disk full", "read-only"], disk)
                (folder / "disk").rmdir()
            else:
                torture.one_run(f"run-{runs}", model, ways, None)
            print(
                f"{sum(torture.tried.values())} disturbances, {runs} runs, {len(torture.wrong)} wrong", flush=True
            )
            print("".join(f"  {what}\n" for what in torture.wrong[told:]), end="", flush=True)
            told = len(torture.wrong)
    print(f"\n{runs} runs of {STEPS} steps, disturbed {sum(torture.tried.values())} times:")
    for how, times in torture.tried.most_common():
        print(f"  {how:16}{times:4}")
    if not disks:
        print("  the full and the read-only disk were left out: no tmpfs can be mounted here")
    print("\n".join(["lost or different: " + str(len(torture.wrong)), *torture.wrong]))
    return 1 if torture.wrong else 0


if __name__ == "__main__":
    raise SystemExit(main())
