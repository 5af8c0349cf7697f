"""What `train` and `finetune` do before a run that several processes compute: rank 0 decides, all prepare."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, TypeVar

from homespun.distributed.place import FOLDER_FILE, place_here, restarts
from homespun.errors import UsageError

if TYPE_CHECKING:
    from homespun.planning.base_plan import BasePlan
    from homespun.training.world import World


class Ready(Protocol):
    """What has a plan."""

    @property
    def plan(self) -> BasePlan: ...


R = TypeVar("R", bound=Ready)


def check_text(world: World, text: Iterable[str | Path]) -> None:
    """UsageError for standard input, which only one of several processes can read."""
    if world.size > 1 and "-" in map(str, text):
        raise UsageError(
            "Standard input can be read only once, and several processes need the text.",
            "Save it to a file, and give that.",
        )


def is_resumed(world: World, out: Path | None, resume: bool) -> bool:
    """Whether the run in `out` is continued: as asked, or because its processes were started again.

    Rank 0 looks at the folder, which the other computers need not have.
    """
    if restarts() and out is None and FOLDER_FILE not in os.environ:
        raise UsageError(
            "The processes were started again, and no run folder was named: nobody knows which run to continue.",
            "Name it from the beginning:  --out RUN",
        )
    out = out or kept_folder()
    return world.first(lambda: bool(out and (resume or restarts()) and (out / "plan.toml").exists()))


def kept_folder() -> Path | None:
    """The run folder that these processes have chosen before they were started again."""
    file = os.environ.get(FOLDER_FILE)
    name = Path(file).read_text(encoding="utf-8") if file and Path(file).exists() else ""
    return Path(name) if name else None


def agreed_folder(world: World, choose: Callable[[], Path]) -> Path:
    """The run folder that rank 0 chooses, or had chosen before it was started again."""

    def chosen() -> str:
        folder = kept_folder() or choose()
        if file := os.environ.get(FOLDER_FILE):
            Path(file).write_text(str(folder.absolute()), encoding="utf-8")
        return str(folder)

    return Path(world.first(chosen))


def prepared_together(world: World, decide: Callable[[], R], by_plan: Callable[[str], R]) -> R:
    """On rank 0 what `decide` returns; on the others what `by_plan` makes of its plan, a text of TOML.

    On every computer one process prepares the text, and the others find it in the cache.
    """
    if world.size == 1:
        return decide()
    prepared = decide() if world.rank == 0 else None
    plan = world.agree(prepared.plan.toml() if prepared is not None else "")
    place = place_here()
    for turn in (True, False):
        if prepared is None and turn == (place is not None and place.local_rank == 0):
            prepared = by_plan(plan)
        world.any(False)  # all wait here
    assert prepared is not None
    return prepared
