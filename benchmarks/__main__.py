"""`python -m benchmarks`: lists them; --all runs them one after the other; render writes docs/speed.md."""

from __future__ import annotations

import argparse
import subprocess
import sys

from benchmarks.page import NAMES, PAGE, benchmarks, render
from benchmarks.pairs import ROOT


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description="How fast, beside the plain way.")
    parser.add_argument("what", nargs="?", choices=["list", "render"], default="list")
    parser.add_argument("--all", action="store_true", help="run all of them, and render the page")
    parser.add_argument("--rounds", type=int, help="with --all: how often both sides of each run")
    parser.add_argument("--smoke", action="store_true", help="with --all: tiny, no results, no page")
    asked = parser.parse_args()
    if asked.what == "render":
        render()
        print(f"{PAGE.relative_to(ROOT)} is written")
        return 0
    if not asked.all:
        for benchmark in benchmarks():
            print(f"python -m benchmarks.{benchmark.name:<21} {benchmark.about}")
        print("python -m benchmarks --all                 all of them, in a few hours, and docs/speed.md")
        return 0
    passed_on = ["--smoke"] if asked.smoke else []
    passed_on += ["--rounds", str(asked.rounds)] if asked.rounds is not None else []
    failures = [name for name in NAMES if not run(name, passed_on)]
    if not asked.smoke:
        render()
    if failures:
        print(f"These did not come to their end: {', '.join(failures)}", file=sys.stderr)
    return 1 if failures else 0


def run(name: str, arguments: list[str]) -> bool:
    """Each in a process of its own: nothing that one has loaded is in the memory of the next."""
    print(f"\n{name}", flush=True)
    return subprocess.run([sys.executable, "-m", f"benchmarks.{name}", *arguments], cwd=ROOT).returncode == 0


if __name__ == "__main__":
    raise SystemExit(main())
