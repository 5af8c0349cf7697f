"""The base class of all plans: the hyperparameters of a run, its file, and the settings that change it."""

from __future__ import annotations

import difflib
import math
import re
import sys
from collections.abc import Sequence
from dataclasses import MISSING, dataclass, field, fields, replace
from itertools import pairwise
from pathlib import Path
from typing import Any, TypeVar, get_type_hints

import tomli_w

from homespun.errors import CheckpointError, UnknownSetting
from homespun.machine.atomic import write_atomically
from homespun.machine.device import DTYPES
from homespun.planning.schedule import learning_rate_at, progress_at

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

OPTIMIZERS = ("muon", "adamw")
FORMAT = 2  # of plan.toml; a plan without a number is of format 1
# Names of format 1, and what they are called since.
RENAMED = {
    "look_tokens": "eval_tokens",
    "calm_from": "lr_backoff_from",
    "retimed": "rescheduled",
    "learnt": "trainable_parameters",
}
NOT_YET = -1  # compile_from of a run in which no step has been a compiled one so far
OF_THE_TEXT = ("text", "field", "encoding", "text_key")


def setting(about: str, default: Any = MISSING, *, least: float = -math.inf, most: float = math.inf) -> Any:
    """A field of the plan that `--set` can change. Its help text is defined here and nowhere else."""
    metadata = {"help": about, "least": least, "most": most, "settable": True}
    return field(metadata=metadata) if default is MISSING else field(default=default, metadata=metadata)


def fact(about: str, default: Any = MISSING, *, least: float = 0) -> Any:
    """A field of the plan that is set by other command-line options or by the text, not by `--set`."""
    return field(default=default, metadata={"help": about, "least": least, "settable": False})


C = TypeVar("C", bound="BasePlan")


@dataclass(frozen=True, kw_only=True)
class BasePlan:
    """The course of a run: its text, its steps, its schedule. `Plan` adds a model, other plans something else."""

    text: tuple[str, ...] = fact("what it is trained on")
    field: str = fact("the field of a .jsonl, .csv or .parquet text that is read", "")
    encoding: str = fact("the encoding of text files that are not UTF-8; by default it is guessed", "")
    text_key: str = fact("sha256 of the text, so that a replay knows whether it is still the same", "")

    context_length: int = setting("context length: the most tokens that the model attends to", least=1)
    steps: int = setting("updates of the weights; with minutes, as many as are expected to fit", least=1)
    minutes: float = fact("time for the whole run, which moves its end to fit; 0 = the steps are what counts", 0.0)
    rescheduled: tuple[tuple[int, int], ...] = fact(
        "[step, steps]: until that step the run was to end elsewhere", ()
    )
    extended: tuple[int, ...] = fact(
        "steps at which the run had ended, and was carried on with a new schedule", ()
    )
    batch_size: int = setting("sequences a step", least=1)
    micro_batches: int = setting("micro-batches of a step (gradient accumulation), to save memory", 1, least=1)
    optimizer: str = setting("muon (for the blocks' matrices, AdamW for the rest) or adamw", "adamw")
    learning_rate: float = setting("peak learning rate", least=0)
    weight_decay: float = setting("weight decay of the matrices (decoupled, as in AdamW)", 0.1, least=0)
    warmup_steps: int = setting("warmup: steps over which the learning rate rises linearly", least=0)
    decay: float = setting(
        "last share of the run over which the learning rate falls linearly to zero", 1.0, least=0, most=1
    )
    lr_backoff_from: int = fact(
        "step from which the learning rate is 0.3 of the schedule, because training diverged; 0 = never", 0
    )
    clip: float = setting("gradient clipping: largest gradient norm; 0 = none", 1.0, least=0)
    evaluate_every: int = setting("steps between evaluations; 0 = a tenth of the run", 0, least=0)
    eval_tokens: int = setting(
        "tokens of the validation split, spread over it, for an evaluation during the run; 0 = all", 0, least=0
    )
    seed: int = setting("seed of every random number", 1337, least=0, most=2**31 - 1)
    device: str = setting("cpu, cuda, mps", "cpu")
    dtype: str = setting("of matrix products: float32 or bfloat16", "float32")
    compile: bool = setting("whether torch.compile makes the step faster", False)
    deterministic_reduction: bool = setting(
        "whether gradients are summed in one order, on one thread: equal to the bit on 1, 2, 4 processes; slower",
        False,
    )
    gradient_dtype: str = setting(
        "in which several processes exchange gradients: float32, or bfloat16 for slow networks", "float32"
    )
    compile_from: int = fact(
        "step from which the compiled step is used, and until which a core is left to the compiler; -1 = none yet",
        0,
        least=-1,
    )

    def __post_init__(self) -> None:
        self.check_one_of("optimizer", OPTIMIZERS)
        self.check_one_of("gradient_dtype", DTYPES)
        if self.batch_size % self.micro_batches:
            raise UnknownSetting(
                f"{self.batch_size} sequences a step cannot be computed in {self.micro_batches} equal parts.",
                "micro_batches has to divide batch_size.",
            )

    def check_one_of(self, name: str, allowed: Sequence[str]) -> None:
        if getattr(self, name) not in allowed:
            raise UnknownSetting(
                f"{name} = {getattr(self, name)!r} is not known.", f"It is one of: {', '.join(allowed)}."
            )

    def with_(self: C, **changes: Any) -> C:
        return replace(self, **changes)

    @property
    def tokens_per_step(self) -> int:
        return self.batch_size * self.context_length

    def segment(self, step: int) -> tuple[int, int]:
        """Return the (first step, end step) of the segment of the run that contains step number `step`.

        A run has one segment; every extension adds one.
        """
        ends = (0, *self.extended, self.steps)
        return next(
            (segments for segments in pairwise(ends) if segments[0] <= step < segments[1]), (ends[-2], ends[-1])
        )

    def progress(self, step: int) -> float:
        """The share of its segment, from 0 to 1, that is done when step number `step` (from 0) begins."""
        begin, end = self.segment(step)
        rescheduled = [(at - begin, until - begin) for at, until in self.rescheduled if begin < at < end]
        return progress_at(step - begin, end - begin, rescheduled)

    def learning_rate_share(self, step: int) -> float:
        """The share of learning_rate that step number `step` (from 0) uses, before any learning-rate backoff."""
        begin, _ = self.segment(step)
        return learning_rate_at(
            step - begin, self.progress(step), warmup_steps=self.warmup_steps, decay=self.decay
        )

    @classmethod
    def verb(cls) -> str:
        """The command that this plan belongs to."""
        return "train"

    @classmethod
    def example(cls) -> str:
        """An example of a setting, as it is written on the command line."""
        return "batch_size=4"

    def toml(self) -> str:
        """The plan as a TOML text, a line of help above every number."""
        lines = [
            f"# Every number of a run. To repeat it:  homespun {self.verb()} --plan THIS-FILE\n",
            tomli_w.dumps({"format": FORMAT}),
        ]
        for part in in_order(type(self)):
            value = getattr(self, part.name)
            lines.append(f"# {part.metadata['help']}")
            lines.append(tomli_w.dumps({part.name: value}))
        return "\n".join(lines)

    def save(self, path: Path) -> None:
        write_atomically(path, self.toml())

    @classmethod
    def load(cls: type[C], path: Path) -> C:
        """Read a plan file. CheckpointError if it is not a plan; UnknownSetting names a field that is wrong."""
        try:
            return cls.parse(path.read_text(encoding="utf-8"), str(path))
        except FileNotFoundError:
            raise CheckpointError(
                f"There is no plan {path}.", f"Every run has one: homespun {cls.verb()} --plan RUN/plan.toml"
            ) from None
        except (UnicodeDecodeError, OSError) as error:
            raise no_plan(path, error) from error

    @classmethod
    def parse(cls: type[C], text: str, path: str) -> C:
        """Parse a plan from the text of its file; error messages name the file by `path`."""
        try:
            table = tomllib.loads(text)
        except (ValueError, RecursionError) as error:  # not TOML, or TOML that is nested absurdly deep
            raise no_plan(path, error) from error
        if (verb := verb_in(text)) not in ("", cls.verb()):
            raise CheckpointError(
                f"{path} is a plan for another command: homespun {verb}.",
                f"Use it there, or go on with its run:  homespun {verb} --out RUN --resume",
            )
        values = {name: parse(name, value, cls) for name, value in current_names(table, path).items()}
        missing = [part.name for part in in_order(cls) if part.default is MISSING and part.name not in values]
        if missing:
            raise CheckpointError(
                f"{path} is not a whole plan. Missing: {', '.join(missing)}.",
                "Take the plan.toml of a run, and change numbers in it.",
            )
        return cls(**values)


def current_names(table: dict[str, Any], path: str) -> dict[str, Any]:
    """The fields of a plan of any format, under the names that they have now, without the format's number.

    Raises CheckpointError where a newer version has written the plan.

    >>> current_names({"steps": 8, "look_tokens": 0}, "plan.toml")
    {'steps': 8, 'eval_tokens': 0}
    """
    number = table.get("format", 1)
    if not isinstance(number, int) or number > FORMAT:
        raise CheckpointError(
            f"{path} is of format {number!r}; this version of homespun reads formats up to {FORMAT}.",
            "Use the version that wrote it, or a newer one.",
        )
    renamed = RENAMED if number < 2 else {}
    return {renamed.get(name, name): value for name, value in table.items() if name != "format"}


def verb_in(text: str) -> str:
    """The command that a plan belongs to, read from its first line; "" if that line is missing.

    >>> verb_in("# Every number of a run. To repeat it:  homespun finetune --plan THIS-FILE")
    'finetune'
    """
    found = re.match(r"# Every number of a run\. To repeat it:  homespun (\w+) ", text)
    return found[1] if found else ""


def no_plan(path: str | Path, error: Exception) -> CheckpointError:
    return CheckpointError(f"{path} cannot be read as a plan: {error}.", "A plan is a TOML file.")


def in_order(kind: type[BasePlan]) -> list[Any]:
    """The fields as a person reads them: the text, then what is made of it, then how."""
    shared = [part.name for part in fields(BasePlan)]
    return sorted(fields(kind), key=lambda part: (part.name not in OF_THE_TEXT, part.name in shared))


def settable(kind: type[BasePlan]) -> dict[str, str]:
    """The names that `--set` takes, each with its help."""
    return {part.name: part.metadata["help"] for part in in_order(kind) if part.metadata["settable"]}


def parsed_settings(pairs: dict[str, Any] | list[str], kind: type[BasePlan]) -> dict[str, Any]:
    """["steps=4", "learning_rate=1e-3"], or the same as a dict -> checked values for a plan of that kind.

    Raises UnknownSetting with the nearest names.

    >>> parsed_settings(["steps=4", "learning_rate=1e-3", "compile=no"], BasePlan)
    {'steps': 4, 'learning_rate': 0.001, 'compile': False}
    """
    if not isinstance(pairs, dict):
        for pair in pairs:
            if "=" not in pair:
                raise UnknownSetting(
                    f"--set {pair} has no value.", f"It is written KEY=VALUE, such as --set {kind.example()}."
                )
        pairs = dict(pair.split("=", 1) for pair in pairs)
    values = {}
    for name, value in pairs.items():
        known = settable(kind)
        if name not in known:
            near = difflib.get_close_matches(name, known, n=3, cutoff=0.5)
            hint = f"Did you mean {' or '.join(near)}? " if near else ""
            raise UnknownSetting(f"There is no setting {name!r}.", f"{hint}The settings are: {', '.join(known)}.")
        values[name] = parse(name, value, kind)
    return values


def parse_rescheduled(name: str, value: Any) -> tuple[tuple[int, int], ...]:
    """[[20, 900], [400, 850]] -> ((20, 900), (400, 850)): steps in order, each before the end that it moved."""
    pairs = [tuple(pair) for pair in value if isinstance(pair, list)] if isinstance(value, list) else []
    numbers = [number for pair in pairs for number in pair]
    is_whole = isinstance(value, list) and len(pairs) == len(value) and all(type(n) is int for n in numbers)
    if is_whole and all(len(pair) == 2 and 0 < pair[0] < pair[1] for pair in pairs):
        steps = [pair[0] for pair in pairs]
        if steps == sorted(set(steps)):
            return tuple(pairs)
    raise UnknownSetting(
        f"{name} = {value!r} is not a list of pairs of steps.",
        "It is written by the run itself: leave it as it is.",
    )


WORDS = {"true": True, "yes": True, "on": True, "1": True, "false": False, "no": False, "off": False, "0": False}


def parse(name: str, value: Any, plan: type[BasePlan]) -> Any:
    """A value for that field of the plan, from a command line or from TOML, checked."""
    parts = {part.name: part for part in fields(plan)}
    if name not in parts:
        near = difflib.get_close_matches(name, parts, n=1)
        raise UnknownSetting(f"A plan has no {name!r}.", f"Did you mean {near[0]}?" if near else "Leave it out.")
    kind = get_type_hints(plan)[name]
    about = parts[name].metadata
    if kind == tuple[str, ...]:
        if isinstance(value, list) and all(isinstance(item, str) for item in value):
            return tuple(value)
        raise UnknownSetting(f"{name} = {value!r} is not a list of texts.", f"{name}: {about['help']}.")
    if kind == tuple[int, ...]:
        if (
            isinstance(value, list)
            and all(type(n) is int and n > 0 for n in value)
            and value == sorted(set(value))
        ):
            return tuple(value)
        raise UnknownSetting(f"{name} = {value!r} is not a list of steps.", f"{name}: {about['help']}.")
    if kind == tuple[tuple[int, int], ...]:
        return parse_rescheduled(name, value)
    if kind is str:
        return str(value)
    if kind is bool:
        if isinstance(value, bool) or str(value).lower() in WORDS:
            return value if isinstance(value, bool) else WORDS[str(value).lower()]
        raise UnknownSetting(f"{name} = {value!r} is neither yes nor no.", f"{name}: {about['help']}.")
    try:
        number = kind(value) if not (kind is int and isinstance(value, float)) else int(str(value))
    except (TypeError, ValueError):
        wanted = "a whole number" if kind is int else "a number"
        raise UnknownSetting(f"{name} = {value!r} is not {wanted}.", f"{name}: {about['help']}.") from None
    least, most = about.get("least", 0), about.get("most", math.inf)
    if not least <= number <= most:
        between = f"at least {least:g}" if most == math.inf else f"from {least:g} to {most:g}"
        raise UnknownSetting(f"{name} = {value} is out of range: it is {between}.", f"{name}: {about['help']}.")
    return number
