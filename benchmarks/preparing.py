"""How fast a text becomes ids, against `tokenizers` and `tiktoken` with the same merges and as many threads."""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from benchmarks.pairs import ROOT, Benchmark, Outcome, Row, Work, alternate, ratios
from benchmarks.preparing_text import write_text
from benchmarks.rounds import Failed, NotReached, largest

IDS = 8192
SLOW = (
    20.0  # megabytes: `tokenizers` alone gets the beginning of a text, as its speed does not depend on the length
)


def measure(work: Work) -> Outcome:
    threads = int(os.environ.get("OMP_NUM_THREADS") or os.cpu_count() or 1)
    megabytes = 0.02 if work.smoke else work.options.megabytes
    made: dict[str, int] = {}
    text = work.options.text or work.folder / "text.txt"
    if text != work.options.text:
        made = write_text(text, megabytes, smoke=work.smoke)
    beginning = beginning_of(text, work.folder / "beginning.txt", SLOW)
    tokenizer = trained(text, work.folder / "tokenizer", 300 if work.smoke else IDS)
    texts = {"ours": text, "tokenizers": beginning}
    if importlib.util.find_spec("tiktoken"):
        texts["tiktoken"] = text
    ours: dict[Path, dict[str, Any]] = {}  # what ours makes of each text, once: the others have to make the same

    def rate(name: str) -> float:
        here = texts[name]
        answer = encoded(name, here, tokenizer, work.folder, threads)
        if name == "ours":
            ours[here] = answer
        elif here not in ours:
            ours[here] = encoded("ours", here, tokenizer, work.folder, threads)
        check_ids(name, answer, ours[here])
        return here.stat().st_size / 1e6 / float(answer["seconds"])

    rates = alternate(work.rounds, *(lambda name=name: rate(name) for name in texts))
    sides = dict(zip(texts, rates, strict=True))
    faster = [largest(others) for others in zip(*rates[1:], strict=True)]
    if "tiktoken" not in texts and not work.smoke:
        faster = [NotReached("tiktoken is not installed here, and it may be the faster one")] * work.rounds
    outcome = Outcome(
        {"preparing": ratios(sides["ours"], faster)}, sides, "MB/s", "ours / the faster of the others"
    )
    outcome.notes.append(
        f"{text.stat().st_size / 1e6:,.4g} MB, {threads} threads each; ours encodes in one and reads and writes "
        "in another, reads the text twice, counts and checks it; the others only read, encode and write"
    )
    outcome.details = {"text": made}
    if made:
        outcome.notes.append(
            f"the text: plays and Python's library again and again with ever new words in it, "
            f"{made['different words']:,} different ones of {made['words']:,} (preparing_text.py)"
        )
    if beginning != text:
        outcome.notes.append(f"tokenizers encodes the first {SLOW:.0f} MB of it")
    return outcome


def check_ids(name: str, theirs: dict[str, Any], ours: dict[str, Any]) -> None:
    """Raises Failed where two sides have made other ids of one text: then one of them did other work."""
    if theirs["sha256"] != ours["sha256"]:
        raise Failed(f"the ids of {name} are not ours: {theirs['tokens']:,} tokens, ours {ours['tokens']:,}")


def beginning_of(text: Path, path: Path, megabytes: float) -> Path:
    """The text itself where it is not longer, else a file with its first lines."""
    if text.stat().st_size <= megabytes * 1e6:
        return text
    with text.open("rb") as file:
        content = file.read(int(megabytes * 1e6))
    path.write_bytes(content[: content.rindex(b"\n") + 1])
    return path


def encoded(side: str, text: Path, tokenizer: Path, folder: Path, threads: int) -> dict[str, Any]:
    """Runs one side in a fresh process, with an empty cache. Raises Failed where it fails."""
    out = folder / "ids.bin"
    cache = folder / f"cache-{side}-{len(list(folder.glob('cache-*')))}"
    environment = {**os.environ, "HOMESPUN_CACHE": str(cache), "RAYON_NUM_THREADS": str(threads)}
    environment["TOKENIZERS_PARALLELISM"] = "true" if threads > 1 else "false"
    command = [sys.executable, "-m", "benchmarks.encode", side, str(text), str(tokenizer), str(out), str(threads)]
    answer = subprocess.run(command, stdout=subprocess.PIPE, text=True, cwd=ROOT, env=environment)
    if answer.returncode:
        raise Failed(f"{side} ended with {answer.returncode}")
    for file in (out, *cache.rglob("*.npy")):  # a gigabyte of text is a lot of ids
        file.unlink(missing_ok=True)
    found: dict[str, Any] = json.loads(answer.stdout.splitlines()[-1])
    return found


def trained(text: Path, folder: Path, size: int) -> Path:
    """A tokenizer trained on that text, saved."""
    from homespun.text.sources import read
    from homespun.tokenizer.make import build

    corpus = read(text)
    survey = corpus.survey()
    tokenizer = build(
        f"bpe:{size}",
        alphabet=survey.alphabet,
        documents=1,
        pieces=lambda: (piece for document in corpus.documents() for piece in document.pieces()),
    )
    folder.mkdir(exist_ok=True)
    tokenizer.save(folder)
    return folder


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--megabytes", type=float, default=200, help="of text [default: 200]")
    parser.add_argument("--text", type=Path, help="a text of your own instead")


BENCHMARK = Benchmark(
    "preparing",
    f"MB/s of turning a text into a dataset with a trained BPE of {IDS:,} ids, against tokenizers and tiktoken",
    measure,
    (Row("preparing", "preparing a text with a trained BPE, against the faster of `tiktoken` and `tokenizers`",
         "times", must=1, aim=2),),
    add_options=add_options,
)  # fmt: skip

if __name__ == "__main__":
    BENCHMARK.main()
