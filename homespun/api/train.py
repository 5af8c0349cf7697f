"""Training a model on a text, as one function."""

from __future__ import annotations

import itertools
import re
import time
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from homespun.api.language_model import TrainedModel
from homespun.api.together import agreed_folder, check_text, is_resumed, kept_folder, prepared_together
from homespun.api.train_setup import (
    Asked,
    Given,
    Prepared,
    prepared_again,
    prepared_anew,
    prepared_by_plan,
    prepared_to_extend,
)
from homespun.distributed.place import restarts
from homespun.errors import UsageError
from homespun.machine.activity import on_quiet_computer

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from homespun.dataset.preparation import Dataset
    from homespun.model.causal_lm import CausalLM
    from homespun.planning.plan import Plan
    from homespun.tokenizer.tokenizer import Tokenizer
    from homespun.training.watcher import Result, Watcher
    from homespun.training.world import World

SAMPLE_CHARACTERS = 240
FEWEST_TO_REMEMBER = 50  # steps: shorter runs predict little about the next one


@on_quiet_computer
def train(
    *text: str | Path,
    out: str | Path | None = None,
    plan: str | Path | None = None,
    resume: bool = False,
    extend: bool = False,
    tensorboard: bool = False,
    watcher: Watcher | None = None,
    started: float | None = None,
    **asked: Unpack[Asked],
) -> TrainedModel:
    """Train a model on a text and return it; its `folder` is the run folder.

    text: paths, addresses, or names from `homespun data list`; none = the first named corpus that is available.
    plan: a plan.toml to replay; text and out may be given with it.
    resume: continue the run in `out`, to the bit; start it if there is none yet.
    extend: continue the finished run in `out` for `minutes` or `steps` more, with a new schedule.
    tensorboard: also write the metrics for TensorBoard.
    watcher: receives progress reports; None prints a line at every evaluation.
    started: time.monotonic() from which the minutes count; None = now.
    asked: minutes, steps, model, size, tokenizer, context, seed, field, device, dtype, settings; see `Asked`.
    """
    from homespun.checkpoint.folder import load_model
    from homespun.distributed.join import joined
    from homespun.machine.device import find_compile_cache
    from homespun.training.log_lines import LogLines

    started = time.monotonic() if started is None else started
    watcher = LogLines() if watcher is None else watcher
    find_compile_cache(watcher.note)
    wishes = Given.of(text, asked)  # before anything that takes time
    for wanted, option in ((resume, "--resume"), (extend, "--extend")):
        if wanted and out is None:
            raise UsageError(
                f"{option} goes on with a run, and no run was named.", f"Name it:  --out RUN {option}"
            )
    with joined(watcher.note) as world:
        folder = None if out is None else Path(out)
        result, decided = train_in(world, folder, plan, resume, extend, tensorboard, watcher, started, wishes)
    best, opened = load_model(result.out, device=decided.device)
    return TrainedModel(best, opened, result.out, result=result)


def train_in(
    world: World,
    out: Path | None,
    plan: str | Path | None,
    resume: bool,
    extend: bool,
    tensorboard: bool,
    watcher: Watcher,
    started: float,
    wishes: Given,
) -> tuple[Result, Plan]:
    """Train in that world, of one process or of several; returns the result, and the plan at its begin."""
    from homespun.planning.forecast import forecast_of
    from homespun.planning.plan import Plan
    from homespun.training.compiled import compile_for_next_time
    from homespun.training.recipe import Pretraining
    from homespun.training.run import Run
    from homespun.training.watcher import Watcher as Silent

    check_text(world, wishes.text)
    watcher = watcher if world.rank == 0 else Silent()
    is_there = is_resumed(world, out, resume or extend)
    out = out or kept_folder()

    def decide() -> Prepared:
        if extend and out is not None and not restarts():
            return prepared_to_extend(out, wishes, watcher)
        if is_there and out is not None:
            given = Given(text=wishes.text, settings={}) if restarts() else wishes
            return prepared_again(Plan.load(out / "plan.toml"), out, given, watcher)
        if plan is not None:
            return prepared_by_plan(Plan.load(Path(plan)), wishes, watcher)
        return prepared_anew(wishes, watcher)

    def by_plan(toml: str) -> Prepared:
        first = Plan.parse(toml, "the plan of rank 0")
        if is_there and out is not None and (out / "tokenizer.json").exists():
            return prepared_again(first, out, Given(text=(), settings={}), watcher)
        prepared = prepared_by_plan(first, Given(text=wishes.text, settings={}), watcher)
        return replace(prepared, plan=first.with_(text_key=prepared.plan.text_key))

    prepared = prepared_together(world, decide, by_plan)
    decided = prepared.plan
    warn_where_it_opens_here_only(decided, prepared.dataset, watcher)
    later = prepared.plan_for_next_time() if world.size == 1 else None
    if later:
        watcher.note("too short to wait for a compiled step: it is compiled after the run, for the next one")
    result = Run(
        decided,
        Pretraining(prepared.dataset, prepared.tokenizer, prepared.title),
        agreed_folder(world, lambda: out or free_folder(prepared.name)),
        watcher=watcher,
        sample=partial(sample, prepared.tokenizer, prepared.dataset.characters_per_token, decided.seed),
        started=started,
        forecast=forecast_of(decided, prepared.facts) if prepared.facts else None,
        tensorboard=tensorboard,
        resume=is_there,
        world=world,
    ).train()
    if world.size == 1:
        remember_speed(decided, result)
    if later and not result.interrupted:
        compile_for_next_time(later, prepared.tokenizer.vocab_size, purpose=result.out / "plan.toml")
    return result, decided


def remember_speed(plan: Plan, result: Result) -> None:
    """Remember the measured step time, which corrects the forecasts of later plans."""
    from homespun.training.measured_speed import Memory, compiled_way, uncompiled_way

    expected = result.forecast.step_seconds if result.forecast else 0.0
    if not expected or result.steps < FEWEST_TO_REMEMBER or result.compiled != plan.compile:
        return
    memory = Memory(plan.device, plan.dtype)
    way = compiled_way(plan.device, plan.dtype, at_most=0.0) if plan.compile else uncompiled_way(plan.kernels)
    memory.remember(way, result.step_seconds / expected * memory.correction(way))


def warn_where_it_opens_here_only(plan: Plan, dataset: Dataset, watcher: Watcher) -> None:
    from homespun.checkpoint.hf_names import only_here

    if reason := only_here(plan.config(dataset.vocab_size)):
        watcher.note(f"{reason}: the folder will open with homespun alone")


def free_folder(name: str) -> Path:
    """runs/name, or runs/name-2, … if that exists."""
    clean = re.sub(r"[^\w.-]+", "-", name).strip("-.")[:60] or "run"
    names = itertools.chain([clean], (f"{clean}-{number}" for number in itertools.count(2)))
    return next(folder for folder in (Path("runs") / name for name in names) if not folder.exists())


def sample(tokenizer: Tokenizer, characters_per_token: float, seed: int, model: CausalLM) -> str:
    """A few lines from the current model, always with the same seed, so that samples of one run compare."""
    from homespun.generation.settings import Sampling
    from homespun.generation.text import generate

    tokens = round(SAMPLE_CHARACTERS / characters_per_token)
    return generate(model, tokenizer, max_tokens=tokens, sampling=Sampling(seed=seed)).strip("\n")
