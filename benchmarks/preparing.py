"""How fast a text becomes ids, against `tokenizers` and `tiktoken` with the same merges and as many threads."""

from __future__ import annotations

import argparse
import importlib.util
import itertools
import json
import os
import random
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from benchmarks.commands import small_text
from benchmarks.pairs import ROOT, Benchmark, Outcome, Row, Work, alternate, ratios

IDS = 8192
WORD = re.compile(r"[a-z]{4,}")
NEW_WORDS = 0.03  # of the longer words of a text that is read again: long texts go on having new words


def measure(work: Work) -> Outcome:
    threads = int(os.environ.get("OMP_NUM_THREADS") or os.cpu_count() or 1)
    megabytes = 0.02 if work.smoke else work.options.megabytes
    text = work.options.text or long_text(work.folder / "text.txt", megabytes, smoke=work.smoke)
    size = text.stat().st_size / 1e6
    tokenizer = trained(text, work.folder / "tokenizer", 300 if work.smoke else IDS)
    names = ["ours", "tokenizers", *(["tiktoken"] if importlib.util.find_spec("tiktoken") else [])]
    found: dict[str, list[dict[str, Any]]] = {name: [] for name in names}

    def rate(name: str) -> float:
        answer = encoded(name, text, tokenizer, work.folder, threads)
        found[name].append(answer)
        return size / float(answer["seconds"])

    rates = alternate(work.rounds, *(lambda name=name: rate(name) for name in names))
    sides = dict(zip(names, rates, strict=True))
    faster = [max(others) for others in zip(*rates[1:], strict=True)]
    outcome = Outcome(
        {"preparing": ratios(sides["ours"], faster)}, sides, "MB/s", "ours / the faster of the others"
    )
    outcome.notes.append(
        f"{size:,.4g} MB, {threads} threads each; ours encodes in one and reads and writes in another, reads the "
        "text twice, counts and checks it; the others only encode it"
    )
    if "tiktoken" not in names:
        outcome.notes.append("tiktoken is not installed here, and was left out")
    for name in names[1:]:
        if found[name][0]["sha256"] != found["ours"][0]["sha256"]:
            counts = f"{found[name][0]['tokens']:,} tokens, ours {found['ours'][0]['tokens']:,}"
            outcome.notes.append(f"the ids of {name} are not quite ours: {counts}")
    return outcome


def encoded(side: str, text: Path, tokenizer: Path, folder: Path, threads: int) -> dict[str, Any]:
    """Runs one side in a fresh process, with an empty cache."""
    out = folder / "ids.bin"
    cache = folder / f"cache-{side}-{len(list(folder.glob('cache-*')))}"
    environment = {**os.environ, "HOMESPUN_CACHE": str(cache), "RAYON_NUM_THREADS": str(threads)}
    environment["TOKENIZERS_PARALLELISM"] = "true" if threads > 1 else "false"
    command = [sys.executable, "-m", "benchmarks.encode", side, str(text), str(tokenizer), str(out), str(threads)]
    answer = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True, cwd=ROOT, env=environment)
    for file in (out, *cache.rglob("*.npy")):  # a gigabyte of text is a lot of ids
        file.unlink(missing_ok=True)
    found: dict[str, Any] = json.loads(answer.stdout.splitlines()[-1])
    return found


def trained(text: Path, folder: Path, size: int) -> Path:
    """A tokenizer trained on that text, saved."""
    from homespun.text import read
    from homespun.tokenizer import build

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


def long_text(path: Path, megabytes: float, *, smoke: bool) -> Path:
    """A text of that size from the named texts that are here; what is read again is read with new words in it."""
    documents = [small_text()] if smoke else list(named_documents())
    left, dice = int(megabytes * 1e6), random.Random(0)
    with path.open("wb") as file:
        for turn in itertools.count():
            for document in documents:
                text = with_new_words(document, dice) if turn else document
                content = text.encode(errors="replace")[:left]
                file.write(content.decode(errors="ignore").encode())
                left -= len(content)
                if left <= 0:
                    return path
    raise AssertionError("documents without end have an end")


def named_documents() -> Iterator[str]:
    from homespun.errors import DownloadFailed
    from homespun.text import read

    for name in ("shakespeare-plays", "python"):
        try:
            for document in read(name).documents():
                yield document.read()
        except DownloadFailed as error:
            print(f"{name} is left out: {error.what}", file=sys.stderr)


def with_new_words(text: str, dice: random.Random) -> str:
    """
    >>> with_new_words("to whom it may concern " * 20, random.Random(0)).count("concern")
    19
    """

    def mixed(word: re.Match[str]) -> str:
        letters = list(word[0])
        if dice.random() < NEW_WORDS:
            dice.shuffle(letters)
        return "".join(letters)

    return WORD.sub(mixed, text)


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--megabytes", type=float, default=50, help="of text [default: 50]")
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
