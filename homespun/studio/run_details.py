"""A run in full, and several side by side."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from homespun.errors import HomespunError
from homespun.planning.base_plan import OF_THE_TEXT, BasePlan
from homespun.studio.run_files import forecast_of_run
from homespun.studio.run_summary import PLAN, metrics_of, plan_of, plan_values, shape_of
from homespun.studio.schema.runs import Comparison, RunDetails, RunSummary, Series
from homespun.studio.state import State

CARD = "README.md"
LARGEST_TEXT = 2**18  # bytes of a card or a plan
# Values that every run has of its own, and that say nothing of what was asked for.
OWN = {"rescheduled", "extended", "text_key", "lr_backoff_from", "compile_from", "eval_tokens"}


def details_of(state: State, run: str) -> RunDetails:
    """Raises ApiError."""
    summary = state.run(run)
    folder = state.folder / run
    try:
        plan: BasePlan | None = plan_of(folder)
    except HomespunError:
        plan = None
    kind, size = tokenizer_of(folder, plan)
    return RunDetails(
        summary=summary,
        folder=str(folder).encode("utf-8", "replace").decode(),
        plan=[] if plan is None else plan_values(plan),
        plan_text=text_in(folder / PLAN) or "",
        card=text_in(folder / CARD),
        forecast=forecast_of_run(folder),
        shape=shape_of(folder),
        tokenizer=kind,
        vocab_size=size,
        files=files_in(folder),
        started_here=state.jobs.of_run(run) is not None,
    )


def tokenizer_of(folder: Path, plan: BasePlan | None) -> tuple[str | None, int | None]:
    """Its kind, and how many tokens it has."""
    shape = shape_of(folder)
    return getattr(plan, "tokenizer", None), None if shape is None else shape.get("vocab_size")


def text_in(path: Path) -> str | None:
    try:
        with path.open("rb") as file:
            return file.read(LARGEST_TEXT).decode("utf-8", "replace")
    except OSError:
        return None


def files_in(folder: Path) -> dict[str, int]:
    """Of the folder itself, not of those in it."""
    try:
        return {path.name: path.stat().st_size for path in sorted(folder.iterdir()) if path.is_file()}
    except OSError:
        return {}


def comparison_of(state: State, runs: list[str]) -> Comparison:
    """Raises ApiError."""
    chosen = list(dict.fromkeys(runs))
    found = [(state.run(run), state.run_list.place(run)) for run in chosen]
    plans: dict[str, dict[str, Any]] = {}
    notes = []
    for summary, folder in found:
        try:
            plans[summary.run] = vars(plan_of(folder))
        except HomespunError as error:
            plans[summary.run] = {}
            notes.append(f"{summary.run}: {error.what}")
    different = [
        name for name in dict.fromkeys(n for plan in plans.values() for n in plan) if differs(plans, name)
    ]
    keys = {plan.get("text_key") for plan in plans.values()}
    tokenizers = {plan.get("tokenizer") for plan in plans.values()}
    same_text, same_tokenizer = len(keys) == 1 and keys != {None}, len(tokenizers) == 1 and tokenizers != {None}
    if not same_text:
        notes.append("These runs were trained on different texts: their losses do not compare.")
    elif not same_tokenizer:
        notes.append("These runs have different tokenizers: compare their bits per character.")
    series = [series_of(summary, folder, plans[summary.run], different) for summary, folder in found]
    return Comparison(runs=series, same_text=same_text, same_tokenizer=same_tokenizer, notes=notes)


def differs(plans: dict[str, dict[str, Any]], name: str) -> bool:
    return name not in OWN and len({repr(plan.get(name)) for plan in plans.values()}) > 1


def series_of(summary: RunSummary, folder: Path, plan: dict[str, Any], different: list[str]) -> Series:
    metrics = metrics_of(folder)
    final = max(metrics, key=lambda line: (line.val_tokens, -(line.val_loss or 0.0)), default=None)
    # The final evaluation is of the best weights, and no point of the curve.
    curve = [line for number, line in enumerate(metrics) if number == 0 or line.step > metrics[number - 1].step]
    shown = {name: plan[name] for name in different if name in plan and name not in OF_THE_TEXT[3:]}
    return Series(
        run=summary.run,
        name=summary.name,
        state=summary.state,
        step=[line.step for line in curve],
        tokens=[line.tokens for line in curve],
        minutes=[round(line.seconds / 60, 4) for line in curve],
        train_loss=[line.train_loss for line in curve],
        val_loss=[line.val_loss for line in curve],
        bits_per_char=[line.bits_per_char for line in curve],
        final=final.val_loss if final else None,
        final_bits_per_char=final.bits_per_char if final else None,
        parameters=summary.parameters,
        differs=shown,
    )
