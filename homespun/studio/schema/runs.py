"""Runs: the list, one run in full, what it writes as it goes, a comparison."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field

from homespun.studio.schema.values import Answer

State = Literal["preparing", "planned", "training", "stopped", "finished", "failed", "diverged"]
LogFile = Literal["progress", "metrics", "samples"]


class RunSummary(Answer):
    """A line of the list. What is not known is null.

    run            its folder below the studio's folder; every other request names it by this
    name           the last part of it
    verb           train or finetune
    state          preparing: a process reads the text and plans, and the run has no plan yet. planned: a plan, and
                   no step was made. training: a process trains in it now. stopped: it was interrupted, and can be
                   resumed. finished: it can be extended. failed: it ended with an error. diverged: so it did, as
                   the loss went beyond all bounds twice
    problem        what it ended with, and what to do, where it failed or diverged
    text           what it was trained on, by its last name
    tuned_from     the model that a fine-tuning began with
    step, steps    done, and planned
    loss           validation loss of the last evaluation, nats per token; best_loss at best_step: the lowest
    train_loss     mean over the last steps
    seconds        that it has trained for; seconds_left until its end
    process        the number of the process that trains in it
    changed        when it was last written to, seconds since 1970
    """

    run: str
    name: str
    verb: Literal["train", "finetune"]
    state: State
    problem: str | None = None
    text: str | None = None
    family: str | None = None
    tuned_from: str | None = None
    method: str | None = None
    parameters: int | None = None
    context_length: int | None = None
    step: int | None = None
    steps: int | None = None
    minutes: float | None = None
    tokens: int | None = None
    train_loss: float | None = None
    loss: float | None = None
    best_loss: float | None = None
    best_step: int | None = None
    bits_per_char: float | None = None
    seconds: float | None = None
    seconds_left: float | None = None
    tokens_per_second: float | None = None
    expected_loss: float | None = None
    process: int | None = None
    can_stop: bool = False
    can_resume: bool = False
    can_extend: bool = False
    has_model: bool = False
    changed: float = 0.0


class Runs(Answer):
    """runs: the one that was written to last comes first. notes: folders that could not be read, and why."""

    runs: list[RunSummary]
    notes: list[str]


class PlanValue(Answer):
    """A number of the plan, with its help. settable: a new training can be given another value (`settings`)."""

    name: str
    value: Any
    help: str
    settable: bool


class CurvePoint(Answer):
    """The loss that was expected, before the run, after so many steps: nine runs in ten lie from low to high."""

    step: int
    tokens: int
    loss: float
    low: float
    high: float


class ForecastReport(Answer):
    """What was expected of the plan before the first step.

    loss, low, high   at its end, nats per token; null where there is no basis for it
    curve             on the way there, from step 0; each loss is that of a run that ends at this step, so that the
                      curve of one run, whose learning rate is still high, lies a little above it until the end
    ngrams            losses of unigrams, bigrams, trigrams, … counted on the text: what "guessing by frequency" or
                      "the bigram model" reach
    uniform           the loss of a uniform guess, ln V
    seconds, memory   of the whole run, bytes of the whole program
    """

    loss: float | None
    low: float | None
    high: float | None
    curve: list[CurvePoint]
    ngrams: list[float]
    uniform: float | None
    seconds: float
    memory: int
    epochs: float


class RunDetails(Answer):
    """Everything about a run that is no curve.

    plan       its own plan.toml: what really happens, whatever was asked for
    plan_text  plan.toml itself
    card       README.md, the model card, in Markdown
    files      name and bytes of what lies in the folder
    started_here   whether this studio, or one before it over the same folder, started the process
    """

    summary: RunSummary
    folder: str
    plan: list[PlanValue]
    plan_text: str
    card: str | None
    forecast: ForecastReport | None
    shape: dict[str, Any] | None
    tokenizer: str | None
    vocab_size: int | None
    files: dict[str, int]
    started_here: bool


class ProgressLine(Answer):
    """A line of progress.jsonl.

    type   begin: a process has begun with the run, after `step` steps. step: so far. note: a sentence for people.
           end: how it ended; `how` says how, `text` why where it failed
    loss   mean training loss since the line before
    """

    type: Literal["begin", "step", "note", "end"]
    time: float
    step: int | None = None
    steps: int | None = None
    tokens: int | None = None
    loss: float | None = None
    lr: float | None = None
    tokens_per_second: float | None = None
    seconds: float | None = None
    seconds_left: float | None = None
    text: str | None = None
    how: Literal["finished", "stopped", "failed", "diverged"] | None = None
    process: int | None = None


class MetricsLine(Answer):
    """A line of metrics.jsonl: an evaluation. train_loss: mean since the line before; val_tokens: how many tokens
    of the validation split were used. The line with the most val_tokens is the final evaluation of the best
    weights."""

    step: int
    tokens: int
    seconds: float
    train_loss: float | None
    val_loss: float | None
    bits_per_char: float | None
    bits_per_byte: float | None
    lr: float
    tokens_per_second: float
    val_tokens: int


class SampleLine(Answer):
    """A line of samples.jsonl: what the model wrote at that step."""

    step: int
    tokens: int
    seconds: float
    prompt: str
    text: str


class Lines(Answer):
    """Lines of a file that a run appends to.

    offset   where to go on reading: give it, with `mark`, to the next request
    mark     a checksum of what stands before the offset: so a file that was written anew is noticed
    reset    the file is not the one that the offset belongs to: forget its lines, these are from its beginning
    """

    file: LogFile
    offset: int
    mark: int
    reset: bool
    progress: list[ProgressLine] = Field(default_factory=list)
    metrics: list[MetricsLine] = Field(default_factory=list)
    samples: list[SampleLine] = Field(default_factory=list)


class RunEvent(Answer):
    """The data of an event of /api/run/events. `id:` of each says how far the files have been sent; a browser
    sends it back as Last-Event-ID, and gets what it lacks.

    event: lines   `lines`: of one file; where `reset` is true, forget the lines of that file that came before
    event: state   `summary` has changed
    event: gone    the folder is not there any more; it may come again
    """

    lines: Lines | None = None
    summary: RunSummary | None = None


class Series(Answer):
    """A run in a comparison: its evaluations, one list a column, and what sets it apart.

    differs   values of its plan in which the compared runs differ
    final     the loss on the most tokens of the validation split
    """

    run: str
    name: str
    state: State
    step: list[int]
    tokens: list[int]
    minutes: list[float]
    train_loss: list[float | None]
    val_loss: list[float | None]
    bits_per_char: list[float | None]
    final: float | None
    final_bits_per_char: float | None
    parameters: int | None
    differs: dict[str, Any]


class Comparison(Answer):
    """same_text: whether all were trained on one text; with one tokenizer, losses compare, otherwise only bits per
    character do, and where the texts differ nothing does."""

    runs: list[Series]
    same_text: bool
    same_tokenizer: bool
    notes: list[str]


class Log(Answer):
    """The last lines of what the process has printed, where this studio started it; empty otherwise."""

    lines: list[str]


Compared = Annotated[list[str], Field(min_length=1)]
