"""Training a model on a text, as one function."""

from __future__ import annotations

import itertools
import re
import time
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from homespun.api.language_model import TrainedModel
from homespun.api.train_setup import (
    Asked,
    Given,
    prepared_again,
    prepared_anew,
    prepared_by_plan,
    prepared_to_extend,
)
from homespun.errors import UsageError
from homespun.machine.activity import on_quiet_computer

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from homespun.dataset.preparation import Dataset
    from homespun.model.causal_lm import CausalLM
    from homespun.planning.plan import Plan
    from homespun.tokenizer.tokenizer import Tokenizer
    from homespun.training.watcher import Result, Watcher

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
    from homespun.machine.device import find_compile_cache
    from homespun.planning.forecast import forecast_of
    from homespun.planning.plan import Plan
    from homespun.training.compiled import compile_for_next_time
    from homespun.training.log_lines import LogLines
    from homespun.training.recipe import Pretraining
    from homespun.training.run import Run

    started = time.monotonic() if started is None else started
    watcher = LogLines() if watcher is None else watcher
    find_compile_cache(watcher.note)
    wishes = Given.of(text, asked)  # before anything that takes time
    for wanted, option in ((resume, "--resume"), (extend, "--extend")):
        if wanted and out is None:
            raise UsageError(
                f"{option} goes on with a run, and no run was named.", f"Name it:  --out RUN {option}"
            )
    is_there = (resume or extend) and out is not None and (Path(out) / "plan.toml").exists()
    if extend and out is not None:
        prepared = prepared_to_extend(Path(out), wishes, watcher)
    elif is_there and out is not None:
        prepared = prepared_again(Plan.load(Path(out) / "plan.toml"), Path(out), wishes, watcher)
    elif plan is not None:
        prepared = prepared_by_plan(Plan.load(Path(plan)), wishes, watcher)
    else:
        prepared = prepared_anew(wishes, watcher)
    decided = prepared.plan
    warn_where_it_opens_here_only(decided, prepared.dataset, watcher)
    later = prepared.plan_for_next_time()
    if later:
        watcher.note("too short to wait for a compiled step: it is compiled after the run, for the next one")
    result = Run(
        decided,
        Pretraining(prepared.dataset, prepared.tokenizer, prepared.title),
        Path(out) if out else free_folder(prepared.name),
        watcher=watcher,
        sample=partial(sample, prepared.tokenizer, prepared.dataset.characters_per_token, decided.seed),
        started=started,
        forecast=forecast_of(decided, prepared.facts) if prepared.facts else None,
        tensorboard=tensorboard,
        resume=is_there,
    ).train()
    remember_speed(decided, result)
    if later and not result.interrupted:
        compile_for_next_time(later, prepared.tokenizer.vocab_size, purpose=result.out / "plan.toml")
    best, opened = load_model(result.out, device=decided.device)
    return TrainedModel(best, opened, result.out, result=result)


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
