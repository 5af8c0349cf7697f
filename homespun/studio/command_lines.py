"""From what a page asks for to the arguments of `homespun`: a list, in which no value can become an option.

Every value stands behind `=` in the word of its option, and texts and models stand behind `--`.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from homespun.planning.plan import settable
from homespun.studio.schema.acts import ExportRequest, ExtendRequest, FinetuneRequest, PlanRequest, Reading

# What a run with minutes decides as it goes: all else of a plan that was shown is kept.
BY_THE_CLOCK = ("steps",)


def option(name: str, value: Any) -> list[str]:
    """
    >>> option("minutes", 5.0), option("field", None), option("seed", 0)
    (['--minutes=5'], [], ['--seed=0'])
    """
    if value is None:
        return []
    return [f"--{name}={value:.12g}" if isinstance(value, float) else f"--{name}={value}"]


def settings(values: Mapping[str, Any]) -> list[str]:
    """
    >>> settings({"n_layer": 4, "compile": False})
    ['--set=n_layer=4', '--set=compile=False']
    """
    return [f"--set={name}={value}" for name, value in values.items()]


def reading(body: Reading) -> list[str]:
    return [*option("field", body.field), *option("encoding", body.encoding)]


def show(body: Reading, text: str, answers: str | None) -> list[str]:
    return ["data", "show", "--json", *reading(body), *option("as", answers), "--", text]


def doctor(body: Reading, text: str) -> list[str]:
    return ["data", "doctor", "--json", *reading(body), "--", text]


def plan(body: PlanRequest, text: str) -> list[str]:
    return ["plan", "--json", *training(body), *settings(body.settings), "--", text]


def training(body: PlanRequest) -> list[str]:
    """The options that plan and train have in common, but for --set."""
    return [
        *option("minutes", body.minutes),
        *option("steps", body.steps),
        *option("model", body.model),
        *option("size", body.size),
        *option("tokenizer", body.tokenizer),
        *option("context", body.context),
        *option("seed", body.seed),
        *reading(body),
    ]


def train(body: PlanRequest, text: str, shown: Mapping[str, Any], out: Path) -> list[str]:
    """Train by the plan that was shown: every value is named; with minutes the clock decides the steps."""
    fixed = {name: shown[name] for name in settable() if name in shown and name not in BY_THE_CLOCK}
    fixed |= {"steps": shown["steps"]} if not shown["minutes"] else {}
    length = option("minutes", float(shown["minutes"])) if shown["minutes"] else []
    named = [*option("model", shown["model"]), *option("tokenizer", shown["tokenizer"])]
    return ["train", f"--out={out}", *length, *named, *reading(body), *settings(fixed), "--", text]


def finetune(body: FinetuneRequest, text: str, model: Path, out: Path) -> list[str]:
    return [
        "finetune",
        f"--out={out}",
        *([] if body.method is None else [f"--{body.method}"]),
        *option("minutes", body.minutes),
        *option("steps", body.steps),
        *option("as", body.answers),
        *option("pause", body.pause),
        *(["--skip-bad"] if body.skip_bad else []),
        *option("seed", body.seed),
        *reading(body),
        *settings(body.settings),
        "--",
        str(model),
        text,
    ]


def resume(verb: str, run: Path) -> list[str]:
    return [verb, f"--out={run}", "--resume"]


def extend(body: ExtendRequest, run: Path) -> list[str]:
    return ["train", f"--out={run}", "--extend", *option("minutes", body.minutes), *option("steps", body.steps)]


def export(body: ExportRequest, run: Path, out: Path) -> list[str]:
    return [
        "export",
        "--json",
        f"--to={body.to}",
        f"--out={out}",
        *option("quantize", body.quantize),
        *option("dtype", body.dtype),
        *(["--force"] if body.replace else []),
        "--",
        str(run),
    ]
