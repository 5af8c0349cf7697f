"""A model folder from the Hugging Face hub: weights as safetensors, settings and tokenizer, nothing else.

The first time the newest revision is taken, and its number noted; from then on the name means that revision,
so that a run which started from it can be repeated. `org/name@main` asks for the newest again.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from homespun.errors import DownloadFailed, MissingExtra
from homespun.fetch.cache import cache_folder, written_whole

WANTED = [
    "*.safetensors",
    "*.safetensors.index.json",
    "config.json",
    "generation_config.json",
    "tokenizer.json",
    "tokenizer_config.json",
    "tokenizer.model",
    "vocab.json",  # with merges.txt, the tokenizer of the first GPT-2s
    "merges.txt",
    "added_tokens.json",
    "special_tokens_map.json",
    "chat_template.jinja",
    "README.md",
    "LICENSE*",
]
MOST_BYTES = 40 * 2**30  # of the files of one model together
MOST_FILES = 500


def hub_folder(model: str, revision: str = "") -> Path:
    """The folder of that model on this disk, fetched where it is not there yet.

    model: `org/name`. revision: a branch, a tag or a commit; "" is the one of the first time.
    Raises DownloadFailed, MissingExtra.
    """
    try:
        import huggingface_hub
    except ImportError as error:
        raise MissingExtra(f"{model} is no folder here; to get it from the Hugging Face hub", "hub") from error
    note = cache_folder("hub") / f"{model.replace('/', '--')}.json"
    revision = revision or noted(note)
    try:
        kept = complete_copy(huggingface_hub, model, revision) if revision else None
        if kept is None:
            found = huggingface_hub.HfApi().model_info(model, revision=revision or None, files_metadata=True)
            check(model, found)
            kept = Path(huggingface_hub.snapshot_download(model, revision=found.sha, allow_patterns=WANTED))
            with written_whole(note) as file:
                file.write(json.dumps({"model": model, "revision": found.sha}).encode() + b"\n")
    except DownloadFailed:
        raise
    except Exception as error:  # the library's errors have several roots, and it changes them
        raise not_to_be_had(model, revision, error) from error
    return kept


def complete_copy(huggingface_hub: Any, model: str, revision: str) -> Path | None:
    """The copy of that commit in the hub's own cache; None where it is not there, or the name of a branch."""
    if len(revision) != 40:
        return None
    try:
        kept = huggingface_hub.snapshot_download(
            model, revision=revision, allow_patterns=WANTED, local_files_only=True
        )
    except (OSError, ValueError):  # LocalEntryNotFoundError is one
        return None
    return Path(kept)


def noted(note: Path) -> str:
    """The revision of the first time; "" where there was none, or the note is damaged."""
    try:
        revision = json.loads(note.read_bytes()).get("revision", "")
    except (OSError, ValueError, AttributeError):
        return ""
    return revision if isinstance(revision, str) and len(revision) == 40 else ""


def check(model: str, found: Any) -> None:
    """What would be fetched, before anything is. Raises DownloadFailed."""
    from fnmatch import fnmatchcase

    files = [file for file in found.siblings or [] if any(fnmatchcase(file.rfilename, like) for like in WANTED)]
    if not any(file.rfilename.endswith(".safetensors") for file in files):
        raise DownloadFailed(
            f"{model} has no weights as safetensors on the hub, and homespun opens no pickles.",
            "Take another copy of that model; most are published as safetensors too.",
        )
    size = sum(file.size or 0 for file in files)
    if size > MOST_BYTES or len(files) > MOST_FILES:
        raise DownloadFailed(
            f"{model} has {len(files):,} files with {size / 2**30:,.1f} GiB together; "
            f"homespun fetches up to {MOST_BYTES / 2**30:,.0f} GiB.",
            f"Fetch it yourself, and give the folder:  {how_to_fetch(model)}",
        )


def not_to_be_had(model: str, revision: str, error: Exception) -> DownloadFailed:
    lines = str(error).strip().splitlines()
    reason = next((line.strip() for line in lines if line.strip()), type(error).__name__)
    which = f"{model} at {revision}" if revision else model
    return DownloadFailed(
        f"{which} is no folder here, and could not be had from the Hugging Face hub: {reason[:300].rstrip('.')}.",
        "Check the name. Without a network: fetch it where there is one, copy the folder, and give its path:\n"
        f"  {how_to_fetch(model)}",
    )


def how_to_fetch(model: str) -> str:
    return f"hf download {model} --include '*.safetensors' '*.json' --local-dir {model.split('/')[1]}"
