"""Resume points: everything that a run needs to continue where it was, to the bit.

A point is a folder `resume/step-…` with the state (weights, optimizers, random state), the best
weights so far, and point.json: the plan, the metrics, and the checksums of the other two files. It
is written to a temporary folder, flushed and moved into place, point.json last; the two newest are
kept. The position in the data needs no file: a batch depends only on the seed and the step.
"""

from __future__ import annotations

import os
import shutil
import time
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Generic

from torch import Tensor

from homespun.checkpoint.fields import read_json
from homespun.checkpoint.tensors import read_tensors, write_tensors
from homespun.errors import CheckpointError, HomespunError
from homespun.fetch.cache import sha256_of
from homespun.machine.atomic import flush_folder, replacing_files, write_json
from homespun.planning.base_plan import C
from homespun.training.watcher import Record

FOLDER = "resume"
POINT = "point.json"
STATE = "state.safetensors"
BEST = "best.safetensors"
FORMAT = 3
READABLE = (2, 3)  # format 2 called the random state "dice"
KEPT = 2

# The next point is due after this time, or later if writing one takes long: writing takes at most a
# fortieth of the time, however slow the disk is.
SECONDS_BETWEEN = 30.0
LARGEST_SHARE = 1 / 40


@dataclass(frozen=True)
class Point(Generic[C]):
    """The state of a run after `step` steps.

    seconds     elapsed time of the run so far
    first_loss  loss on the validation split before the first step
    """

    plan: C
    step: int
    seconds: float
    losses: list[float]
    records: list[Record]
    first_loss: float

    @property
    def best(self) -> Record | None:
        return min(self.records, key=lambda record: record.val_loss, default=None)

    def as_object(self) -> dict[str, Any]:
        """The point as JSON."""
        return {
            "step": self.step,
            "seconds": self.seconds,
            "losses": self.losses,
            "first_loss": self.first_loss,
            "records": [record.as_dict() for record in self.records],
            "plan": self.plan.toml(),
        }


def point_of(content: dict[str, Any], kind: type[C], name: str) -> Point[C]:
    """The point that `as_object` describes, by this or an earlier version. name: for errors in its plan."""
    names = {part.name for part in fields(Record)}
    records = [Record(**{n: v for n, v in record.items() if n in names}) for record in content["records"]]
    return Point(
        plan=kind.parse(content["plan"], name),
        step=int(content["step"]),
        seconds=float(content["seconds"]),
        losses=[float(loss) for loss in content["losses"]],
        records=records,
        # Earlier versions did not write first_loss, but the first record has it.
        first_loss=float(content.get("first_loss", records[0].val_loss)),
    )


def write_point(run: Path, point: Point[C], state: dict[str, Tensor], best_weights: Path) -> None:
    """Write a point, whole or not at all, and remove all but the two newest. Raises WriteFailed."""
    folder = run / FOLDER / f"step-{point.step:09d}"
    if (folder / POINT).exists():
        return  # the run stopped right after this point was written
    with replacing_files(folder, seal=POINT) as stage:
        write_tensors(stage / STATE, state)
        link_or_copy(best_weights, stage / BEST)
        hashes = {name: sha256_of(stage / name) for name in (STATE, BEST)}
        write_json(stage / POINT, {"format": FORMAT, **point.as_object(), "sha256": hashes})
    flush_folder(folder.parent)
    for old in folders(run)[KEPT:]:
        (old / POINT).unlink(missing_ok=True)  # first, so that a half-removed folder never counts as a point
        shutil.rmtree(old, ignore_errors=True)


def newest_point(run: Path, kind: type[C]) -> tuple[Point[C], dict[str, Tensor], Path] | None:
    """The newest complete point, its state, and the file of its best weights; None if there is no point at all.

    kind: the class of its plan. Raises CheckpointError if there are points but none is complete.
    """
    damages = []
    for folder in folders(run):
        try:
            return read_point(folder, kind)
        except HomespunError as error:
            damages.append(error.what)
    if damages:
        raise CheckpointError(
            f"No resume point of {run} is whole. {damages[0]}",
            f"The best weights may be: homespun evaluate {run}. To train anew, choose another --out.",
        )
    return None


def read_point(folder: Path, kind: type[C]) -> tuple[Point[C], dict[str, Tensor], Path]:
    content = read_json(folder / POINT)
    try:
        if content["format"] not in READABLE:
            raise CheckpointError(
                f"{folder} was written by another version of homespun (format {content['format']}).",
                "Go on with the version that wrote it.",
            )
        for name, expected in content["sha256"].items():
            if sha256_of(folder / Path(name).name) != expected:
                raise CheckpointError(f"{folder / name} is damaged: its checksum is not what was written.", "")
        point = point_of(content, kind, str(folder / POINT))
    except (LookupError, TypeError, ValueError, AttributeError, OSError) as error:
        raise CheckpointError(f"{folder} is not a whole resume point ({error}).", "") from error
    return point, state_of(folder), folder / BEST


def state_of(folder: Path) -> dict[str, Tensor]:
    """The tensors of a point, under the names that they have now."""
    state = read_tensors(folder / STATE)
    return {name.replace("dice.", "rng.") if name.startswith("dice.") else name: state[name] for name in state}


def folders(run: Path) -> list[Path]:
    """The folders of the points, the newest first. A folder without point.json is incomplete and not listed."""
    return sorted((path.parent for path in (run / FOLDER).glob(f"step-*/{POINT}")), reverse=True)


def link_or_copy(source: Path, target: Path) -> None:
    """Hard-link the file, or copy it where links are not supported. `source` is replaced, never written into."""
    try:
        os.link(source, target)
    except OSError:
        shutil.copyfile(source, target)


class Rhythm:
    """Decides when the next resume point is due: at intervals, long enough that writing costs little."""

    def __init__(self) -> None:
        self.last = time.monotonic()
        self.cost = 0.0

    def is_due(self) -> bool:
        wait = max(seconds_between(), self.cost / LARGEST_SHARE)
        return time.monotonic() - self.last >= wait

    def written(self, began: float) -> None:
        self.last = time.monotonic()
        self.cost = self.last - began


def seconds_between() -> float:
    """Seconds between resume points: 30, or HOMESPUN_RESUME_SECONDS, which is for slow disks and for tests."""
    try:
        return float(os.environ.get("HOMESPUN_RESUME_SECONDS", SECONDS_BETWEEN))
    except ValueError:
        return SECONDS_BETWEEN
