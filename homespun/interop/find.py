"""From what a person calls a model to where it lies on this disk. Needs no torch.

What is there under that path always wins. Then come the names of known small models, and last `org/name`,
which is looked for on the Hugging Face hub: a path that was mistyped is not sent there where its folder exists.
"""

from __future__ import annotations

import re
from pathlib import Path

from homespun.checkpoint.place import dead_link
from homespun.errors import CheckpointError
from homespun.interop.packaged import PACKAGED, packaged

HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]{0,95}/[A-Za-z0-9][\w.-]{0,95}(@[\w./-]{1,100})?")
RUNS = "runs"  # where `homespun train` puts what it makes


def find_model(model: str | Path) -> Path:
    """A model folder or a .gguf file. Raises CheckpointError, DownloadFailed, MissingExtra.

    A path where nothing is comes back as it is: whoever opens it says what is wrong with it.
    """
    path = Path(model).expanduser()
    if exists(path):
        return path
    if path.is_symlink():
        raise CheckpointError(*dead_link(path))
    if path.suffix.lower() == ".gguf":
        raise CheckpointError(f"There is no file {path}.", "Check the path of the .gguf file.")
    if isinstance(model, Path):
        return path
    if model in PACKAGED:
        return packaged(model)
    if HUB_ID.fullmatch(model) and model.split("/")[0] != RUNS and not path.parent.is_dir():
        from homespun.interop.hub import hub_folder

        return hub_folder(*model.partition("@")[::2])
    return path


def exists(path: Path) -> bool:
    try:
        return path.exists()
    except OSError:  # a name that is too long, a folder that may not be entered: reported when it is opened
        return True
