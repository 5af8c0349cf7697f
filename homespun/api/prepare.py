"""Preparing a text as shards in a folder, by one process or by several, on one machine or on many."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from homespun.api.prepared_text import TOKENIZER_FILES, PreparedText, open_prepared
from homespun.errors import TextError, UsageError

if TYPE_CHECKING:
    from homespun.text.survey import Survey
    from homespun.tokenizer.tokenizer import Tokenizer
    from homespun.training.watcher import Watcher


def prepare(
    *text: str | Path,
    out: str | Path,
    tokenizer: str = "auto",
    processes: int = 1,
    part: tuple[int, int] | None = None,
    field: str | None = None,
    encoding: str | None = None,
    watcher: Watcher | None = None,
) -> PreparedText | None:
    """Prepare a text as shards in the folder `out`; `train(out)` trains on it, here or wherever it is copied to.

    The shards are the same whatever divides the work. What was interrupted goes on where it was.
    processes: on this machine. part: (i, N), i from 0: do this part of N alone, while others do the rest, on this
    machine or on others that see the same folder.
    Returns the dataset; None where other parts are still at work.
    """
    from homespun.training.log_lines import LogLines

    watcher = LogLines() if watcher is None else watcher
    if processes < 1:
        raise UsageError(f"--processes {processes} prepares nothing.", "Give at least one process.")
    if part is not None and processes > 1:
        raise UsageError("--part and --processes both divide the work.", "Give one of them.")
    out = Path(out)
    if processes > 1:
        divide(text, out, tokenizer, processes, field, encoding)
    elif not do_part(text, out, tokenizer, part or (0, 1), field, encoding, watcher):
        return None
    return open_prepared(str(out))


def do_part(
    text: Sequence[str | Path],
    out: Path,
    spec: str,
    part: tuple[int, int],
    field: str | None,
    encoding: str | None,
    watcher: Watcher,
) -> bool:
    from homespun.api.train_setup import choose_corpus, tokenizer_for
    from homespun.dataset.division import prepare_part
    from homespun.tokenizer.open import load

    number, parts = part
    if not 0 <= number < parts:
        raise UsageError(f"There is no part {number + 1} of {parts}.", "Parts are numbered from 1: --part 1/4.")
    corpus = choose_corpus(text, field, watcher, encoding)

    def make(survey: Survey) -> Tokenizer:
        corpus.take_survey(survey)
        made = tokenizer_for(corpus, spec, watcher)[1]
        made.save(out)
        return made

    def opened() -> Tokenizer | None:
        return load(out) if all((out / name).exists() for name in TOKENIZER_FILES) else None

    complete = prepare_part(
        corpus,
        out,
        number,
        parts,
        make_tokenizer=make,
        open_tokenizer=opened,
        still_there=end_with_parent(os.getppid()) if os.environ.get(CHILD) else lambda: None,
    )
    if number == 0:
        for line in corpus.notes:
            watcher.note(line)
    return complete


CHILD = "HOMESPUN_PREPARES_PART"  # set for the processes that `divide` starts


def end_with_parent(parent: int) -> Callable[[], None]:
    """A function that raises when the process that started this one is gone: nobody writes what it waits for."""

    def check() -> None:
        if os.getppid() != parent:
            raise TextError("The preparation was ended.", "Run the same command again: it goes on where it was.")

    return check


def divide(
    text: Sequence[str | Path], out: Path, spec: str, processes: int, field: str | None, encoding: str | None
) -> None:
    """Run the parts in processes of their own, each with its share of the cores. Raises TextError if one fails."""
    from homespun.machine.device import usable_cores

    if "-" in map(str, text):
        raise UsageError(
            "Standard input can be read by one process only.", "Write it to a file, and prepare that."
        )
    # The tokenizers library would otherwise start a thread for every core in each of the processes.
    threads = {"RAYON_NUM_THREADS": str(max(1, usable_cores() // processes)), CHILD: "1"}
    # This homespun, and not one that lies in the folder where the command is typed.
    package = os.pathsep.join([str(Path(__file__).parents[2]), os.environ.get("PYTHONPATH", "")]).rstrip(
        os.pathsep
    )
    here = {"PYTHONSAFEPATH": "1", "PYTHONPATH": package}
    options = [f"--out={out}", f"--tokenizer={spec}"]
    options += [f"--field={field}"] if field else []
    options += [f"--encoding={encoding}"] if encoding else []
    command = [sys.executable, "-m", "homespun", "data", "prepare", *options]
    running = [
        subprocess.Popen(
            [*command, f"--part={number + 1}/{processes}", "--", *map(str, text)],
            env={**os.environ, **threads, **here},
            stdout=subprocess.DEVNULL,
            stderr=None if number == 0 else subprocess.PIPE,
        )
        for number in range(processes)
    ]
    try:
        wait_for_all(running)
    finally:
        for process in running:
            if process.poll() is None:
                process.terminate()
            process.wait()
            if process.stderr is not None:
                process.stderr.close()


def wait_for_all(running: Sequence[subprocess.Popen[bytes]]) -> None:
    """Raises TextError as soon as one fails: the others would wait for it."""
    while True:
        codes = [process.poll() for process in running]
        for number, (process, code) in enumerate(zip(running, codes, strict=True)):
            if code:
                said = process.stderr.read().decode(errors="replace").strip() if process.stderr else ""
                raise TextError(
                    f"Process {number + 1} of {len(running)} that prepares the text has failed."
                    + (f"\n{said}" if said else ""),
                    "What is done is kept: mend that, and run the same command again.",
                )
        if all(code == 0 for code in codes):
            return
        time.sleep(0.05)
