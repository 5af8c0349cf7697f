"""Importing a checkpoint of nanoGPT, minGPT, the lecture or llama2.c as one function."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from homespun.interop.foreign.bring import Imported

RUNS = Path("runs")


def import_model(
    file: str | Path,
    out: str | Path | None = None,
    *,
    tokenizer: str | Path | None = None,
    heads: int | None = None,
    gelu: str = "",
    force: bool = False,
) -> Imported:
    """Write the model folder of a checkpoint that another program made; nothing in the file is executed.

    file: ckpt.pt of nanoGPT, build-nanogpt or llama2.c, model.pt of minGPT, a state dict of the lecture's
    gpt.py or bigram.py, or a .bin of llama2.c. out: the folder; by default one in runs/, named after the file's
    own folder. tokenizer: the meta.pkl of its data, the text that it was trained on, llama2.c's tokenizer.bin,
    a tokenizer.json or .model, or "gpt2"; None to look for it beside the file. heads: the number of heads of
    attention, where the file does not say it. gelu: "exact" or "tanh", if another one is meant than such a file
    usually has. Raises CheckpointError, TokenizerError, UsageError, WriteFailed, DownloadFailed, MissingExtra.
    """
    from homespun.interop.foreign.bring import import_checkpoint
    from homespun.interop.foreign.names import Wishes

    path = Path(file).expanduser()
    chosen = name_for(path) if out is None else Path(out).expanduser()
    named = None if tokenizer is None else str(tokenizer)
    return import_checkpoint(path, chosen, tokenizer=named, wishes=Wishes(heads, gelu), force=force)


def name_for(path: Path) -> Path:
    """
    >>> name_for(Path("nanoGPT/out-shakespeare-char/ckpt.pt")), name_for(Path("stories15M.bin"))
    (PosixPath('runs/out-shakespeare-char'), PosixPath('runs/stories15M'))
    """
    usual = path.stem in ("ckpt", "model", "checkpoint")
    return RUNS / (path.resolve().parent.name if usual and path.resolve().parent.name else path.stem)
