"""Fine-tuning as one function."""

from __future__ import annotations

import shlex
import time
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from homespun.api.finetune_setup import Tuning
from homespun.api.language_model import LanguageModel
from homespun.api.together import agreed_folder, check_text, is_resumed, kept_folder, prepared_together
from homespun.api.train import free_folder
from homespun.api.train_setup import check_same, places
from homespun.distributed.place import restarts
from homespun.errors import UsageError
from homespun.machine.activity import on_quiet_computer

if TYPE_CHECKING:
    from homespun.finetuning.recipe import TuningResult
    from homespun.planning.tuning_plan import TuningPlan
    from homespun.training.watcher import Watcher
    from homespun.training.world import World


@dataclass
class TunedModel(LanguageModel):
    """What `homespun.finetune` returns: the tuned model, and the result of the run."""

    result: TuningResult = field(kw_only=True)

    def __repr__(self) -> str:
        return f"<{self.folder}: loss {self.result.val_loss_before:.4f} before, {self.result.val_loss:.4f} after>"


def finetune(model: str | Path | None = None, *text: str | Path, **asked: Any) -> TunedModel:
    """Fine-tune a model on a text or on conversations, and return it; its `folder` is the run folder.

    model: anything that `homespun.load` opens. text: paths, addresses, or names from `homespun data list`.
    method: "lora" (default, except for models that need "full"), "qlora" or "full". minutes, steps: how long; five
    minutes by default. answers: in an export of a chat, whose messages are the answers; pause: hours without a
    message that begin another conversation there. skip_bad: malformed records are left out, and counted. out,
    seed, field, encoding, plan, resume, settings, device, dtype, watcher, started: as for `train`. Raises
    UsageError, CheckpointError, TextError, TrainingError and others, whose messages say what to do.
    """
    from homespun.interop.open import open_model

    result = tune(model, *text, **asked)
    return TunedModel(*open_model(result.out), result=result)


@on_quiet_computer
def tune(
    model: str | Path | None,
    *text: str | Path,
    method: str | None = None,
    minutes: float | None = None,
    steps: int | None = None,
    out: str | Path | None = None,
    seed: int | None = None,
    field: str | None = None,
    answers: str | None = None,
    pause: float | None = None,
    skip_bad: bool | None = None,
    encoding: str | None = None,
    plan: str | Path | None = None,
    resume: bool = False,
    settings: dict[str, Any] | list[str] | None = None,
    device: str | None = None,
    dtype: str | None = None,
    watcher: Watcher | None = None,
    started: float | None = None,
) -> TuningResult:
    """Fine-tune as `finetune` does, and return the result without opening the model."""
    from homespun.distributed.join import joined
    from homespun.machine.device import find_compile_cache
    from homespun.planning.tuning_plan import parse_settings
    from homespun.training.log_lines import LogLines

    started = time.monotonic() if started is None else started
    watcher = LogLines() if watcher is None else watcher
    find_compile_cache(watcher.note)
    numbers = parse_settings(settings or {})
    given = {
        "method": method,
        "minutes": minutes,
        "steps": steps,
        "seed": seed,
        "field": field,
        "answers": answers,
        "pause": pause,
        "skip_bad": skip_bad,
        "encoding": encoding,
        "device": device,
        "dtype": dtype,
    } | numbers
    given = {name: value for name, value in given.items() if value is not None}
    if resume and out is None:
        raise UsageError("--resume goes on with a run, and no run was named.", "Name it:  --out RUN --resume")
    with joined(watcher.note) as world:
        return tune_in(
            world, model, text, None if out is None else Path(out), plan, resume, given, watcher, started
        )


def tune_in(
    world: World,
    model: str | Path | None,
    text: tuple[str | Path, ...],
    out: Path | None,
    plan: str | Path | None,
    resume: bool,
    given: dict[str, Any],
    watcher: Watcher,
    started: float,
) -> TuningResult:
    """Fine-tune in that world, of one process or of several. given: the plan's fields that were given by name."""
    from homespun.planning.tuning_plan import TuningPlan
    from homespun.training.watcher import Watcher as Silent

    check_text(world, text)
    watcher = watcher if world.rank == 0 else Silent()
    is_there = is_resumed(world, out, resume)
    out = out or kept_folder()

    def decide() -> Tuning:
        if is_there and out is not None:
            known = TuningPlan.load(out / "plan.toml")
            if not restarts():
                check_agreement(known, model, text, given, out)
            return Tuning.by_plan(known, watcher, again=out)
        return new_tuning(model, text, plan, given, watcher)

    def by_plan(toml: str) -> Tuning:
        first = TuningPlan.parse(toml, "the plan of rank 0")
        tuning = Tuning.by_plan(first, watcher)
        keys = {"text_key": tuning.plan.text_key, "base_key": tuning.plan.base_key}
        return replace(tuning, plan=first.with_(**keys))

    tuning = prepared_together(world, decide, by_plan)
    folder = agreed_folder(world, lambda: out or free_folder(f"{tuning.name_of_base}-{tuning.name}"))
    return tuning.run(folder, watcher=watcher, started=started, resume=is_there, world=world).train()


def new_tuning(
    model: str | Path | None,
    text: tuple[str | Path, ...],
    plan: str | Path | None,
    given: dict[str, Any],
    watcher: Watcher,
) -> Tuning:
    """A fine-tuning that begins: by a plan that is there, or by one that is decided now."""
    from homespun.planning.tuning_plan import TuningPlan

    if plan is not None:
        if given:
            raise UsageError(
                f"A plan says everything, and {', '.join(given)} was given beside it.",
                "Change the number in the plan's file, or leave --plan out.",
            )
        known = TuningPlan.load(Path(plan))
        return Tuning.by_plan(replace_named(known, model, text), watcher)
    if model is None:
        raise UsageError("No model was named.", "It is written:  homespun finetune MODEL TEXT")
    if not text:
        raise UsageError("No text was named.", f"It is written:  homespun finetune {shlex.quote(str(model))} TEXT")
    return Tuning.anew(model, text, given, watcher)


def check_agreement(
    plan: TuningPlan, model: str | Path | None, text: tuple[str | Path, ...], given: dict[str, Any], run: Path
) -> None:
    """UsageError that names the differences between the arguments and the existing run."""
    wanted = dict(given)
    if model is not None:
        wanted["base"] = str(Path(model).resolve()) if Path(model).exists() else str(model).partition("@")[0]
    if text:
        wanted["text"] = places(text)
    check_same(plan, wanted, run)


def replace_named(plan: TuningPlan, model: str | Path | None, text: tuple[str | Path, ...]) -> TuningPlan:
    """The plan with another base model or another text, if one is given as an argument."""
    if model is not None:
        plan = plan.with_(base=str(model), base_revision="")
    return plan.with_(text=places(text)) if text else plan
