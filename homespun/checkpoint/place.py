"""Is this path a model folder? If not, what is it, and what did the person mean?"""

from __future__ import annotations

import difflib
import shlex
from pathlib import Path

from homespun.errors import CheckpointError

CONFIG = "config.json"
WEIGHTS = "model.safetensors"
INDEX = "model.safetensors.index.json"  # says which of several files holds which tensor
GENERATION = "generation_config.json"
PICKLED = (".bin", ".pt", ".pth", ".ckpt", ".pkl")
EVALUATIONS = f"A model folder holds {CONFIG}, {WEIGHTS} and tokenizer.json, as homespun train writes them."


def model_folder(path: str | Path) -> Path:
    """path, if it is a folder with a config.json. Raises CheckpointError that says what it is instead."""
    path = Path(path).expanduser()
    try:
        if path.is_dir() and (path / CONFIG).exists():
            return path
        raise CheckpointError(*what_it_is(path))
    except OSError as error:
        raise CheckpointError(f"{path} cannot be opened: {error.strerror}.", EVALUATIONS) from error


def what_it_is(path: Path) -> tuple[str, str]:
    if path.is_dir():
        return folder_without_config(path)
    if path.exists():
        return not_a_folder(path)
    if path.is_symlink():
        return dead_link(path)
    near = neighbours(path)
    return f"There is no model folder {path}.", f"Did you mean {' or '.join(near)}?" if near else EVALUATIONS


def dead_link(path: Path) -> tuple[str, str]:
    end = path.resolve()
    return (
        f"{path} is a symbolic link, and what it points to is not there: {path.readlink()} ({end}).",
        "Put that back, or give the folder of the model itself.",
    )


def not_a_folder(path: Path) -> tuple[str, str]:
    if path.suffix in PICKLED:
        return pickled(path)
    inside = path.name in (CONFIG, WEIGHTS, INDEX, "tokenizer.json")
    return (
        f"{path} is a file, and a model is a folder.",
        f"Give the folder that it is in: {path.parent}" if inside else EVALUATIONS,
    )


def folder_without_config(folder: Path) -> tuple[str, str]:
    inner = sorted(config.parent for config in folder.glob(f"[!.]*/{CONFIG}"))
    if inner:
        return (
            f"{folder} has model folders in it and is none itself.",
            f"Give one of them: {', '.join(map(str, inner[:5]))}",
        )
    if (folder / "adapter_config.json").exists():
        return (
            f"{folder} is an adapter (LoRA): changes to a model, without the model.",
            "Here a whole model is wanted: merge it into its base first, and give the folder of that.",
        )
    if (folder / WEIGHTS).exists():
        return (
            f"{folder} has weights and no {CONFIG}: it was not written to its end, or not copied whole.",
            "Copy it again, or train again into that folder.",
        )
    return no_weights(folder)


def no_weights(folder: Path) -> tuple[str, str]:
    files = sorted(folder.glob("[!.]*"))
    pickles = [file for file in files if file.suffix in PICKLED]
    if pickles:
        return pickled(pickles[0])
    has = ", ".join(file.name for file in files[:6]) or "nothing"
    return f"{folder} is no model folder: it has no {WEIGHTS}. It holds: {has}.", EVALUATIONS


def pickled(path: Path) -> tuple[str, str]:
    return (
        f"{path} is a pickle. To open one as usual is to run whatever program is in it, so homespun never does.",
        "A checkpoint of nanoGPT, minGPT, the lecture or llama2.c is read without running it:\n"
        f"homespun import {shlex.quote(str(path))}\n"
        "Get any other model as .safetensors; most are published that way too. If it is your own,\n"
        "load it where it was made and save its weights with safetensors.torch.save_model.",
    )


def neighbours(path: Path) -> list[str]:
    """Folders beside a path that is not there, with names like its own."""
    try:
        names = [folder.name for folder in path.parent.iterdir() if folder.is_dir()]
    except OSError:
        return []
    return [str(path.parent / name) for name in difflib.get_close_matches(path.name, names, n=3, cutoff=0.6)]
