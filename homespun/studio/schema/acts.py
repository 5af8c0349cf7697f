"""What is done: requests that start, stop or write something, and the jobs that do it."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from homespun.studio.schema.runs import ForecastReport, PlanValue, RunSummary
from homespun.studio.schema.texts import FoundInText, TextChoice, TextReport
from homespun.studio.schema.values import Answer, Request, RunPath

Minutes = Annotated[float, Field(gt=0, le=60 * 24 * 30)]
Steps = Annotated[int, Field(ge=1, le=10**9)]
Word = Annotated[str, Field(min_length=1, max_length=100, pattern=r"^[^\x00-\x1f]+$")]
Name = Annotated[
    str,
    Field(
        min_length=1,
        max_length=60,
        pattern=r"^[\w][\w .-]*$",
        description="The name of the new folder in runs/: letters, digits, space, dot and hyphen.",
    ),
]
JobId = Annotated[str, Field(pattern="^[0-9a-f]{16}$")]
Kind = Literal["look", "plan", "train", "finetune", "export"]


class Reading(Request):
    """How a text is read, where homespun cannot know it: as --field and --encoding."""

    text: TextChoice
    field: Word | None = None
    encoding: Word | None = None


class LookRequest(Reading):
    """How the text is read, and what the data doctor finds. answers: who answers in an export of a chat."""

    answers: Word | None = None


class PlanRequest(Reading):
    """A training that is planned: one of minutes and steps, or neither for five minutes. settings: as --set."""

    minutes: Minutes | None = None
    steps: Steps | None = None
    model: Word | None = None
    size: Word | None = None
    tokenizer: Word | None = None
    context: Annotated[int, Field(ge=1, le=2**20)] | None = None
    seed: Annotated[int, Field(ge=0, lt=2**31)] | None = None
    settings: Annotated[dict[Word, bool | int | float | Word], Field(max_length=60)] = Field(default_factory=dict)

    @model_validator(mode="after")
    def one_length(self) -> PlanRequest:
        if self.minutes is not None and self.steps is not None:
            raise ValueError("minutes and steps both say how long to train: give one of them")
        return self


class TrainRequest(Request):
    """Train by a plan that was shown. plan: its job. name: of the run's folder; null takes the text's."""

    plan: JobId
    name: Name | None = None


class FinetuneRequest(Reading):
    """Fine-tune a model of this folder on a text or on conversations.

    answers: in an export of a chat, whose messages are the answers; pause: hours of silence between conversations
    there. skip_bad: leave malformed records out.
    """

    run: RunPath
    method: Literal["lora", "qlora", "full"] | None = None
    minutes: Minutes | None = None
    steps: Steps | None = None
    answers: Word | None = None
    pause: Annotated[float, Field(gt=0, le=10_000)] | None = None
    skip_bad: bool = False
    seed: Annotated[int, Field(ge=0, lt=2**31)] | None = None
    settings: Annotated[dict[Word, bool | int | float | Word], Field(max_length=60)] = Field(default_factory=dict)
    name: Name | None = None

    @model_validator(mode="after")
    def one_length(self) -> FinetuneRequest:
        if self.minutes is not None and self.steps is not None:
            raise ValueError("minutes and steps both say how long to train: give one of them")
        return self


class RunRequest(Request):
    run: RunPath


class ExtendRequest(RunRequest):
    """Carry a finished run on for so many minutes, or steps, more."""

    minutes: Minutes | None = None
    steps: Steps | None = None

    @model_validator(mode="after")
    def one_length(self) -> ExtendRequest:
        if (self.minutes is None) == (self.steps is None):
            raise ValueError("give minutes or steps: how much longer the run is carried on")
        return self


class ExportRequest(RunRequest):
    """As `homespun export`. quantize: of a GGUF file or a page; dtype: of a folder."""

    to: Literal["gguf", "merged", "page"]
    quantize: Literal["f32", "f16", "bf16", "q8_0", "q5_1", "q5_0", "q4_1", "q4_0", "int8"] | None = None
    dtype: Literal["float32", "bfloat16", "float16"] | None = None
    replace: bool = False


class JobRequest(Request):
    job: JobId


class OtherSize(Answer):
    """The best model of another size in the same time."""

    parameters: int
    loss: float


class PlanReport(Answer):
    """A plan, before anything is trained.

    why            what was decided and why, a sentence each
    next_name      the name that the run's folder would get
    disturbed      a training went on while the computer was measured: the speed, and what follows from it, is too
                   low; null where it was not
    memory         bytes of the whole program; memory_free: now
    """

    title: str
    train_tokens: int
    val_tokens: int
    vocab_size: int | None
    parameters: int
    plan: list[PlanValue]
    forecast: ForecastReport
    memory: int
    memory_free: int
    smaller: OtherSize | None
    larger: OtherSize | None
    why: list[str]
    notes: list[str]
    findings: list[FoundInText]
    next_name: str
    disturbed: str | None


class ExportCheck(Answer):
    """What an export was compared by. same_choice: of `positions` next tokens; largest: difference of
    log-probabilities; divergence: mean Kullback-Leibler divergence, nats."""

    by: str
    texts_with_the_same_ids: int
    positions: int
    same_choice: int
    largest: float
    divergence: float


class ExportReport(Answer):
    """What was written, and the numbers of its check (`homespun export --json`).

    files     names, to be fetched from /api/export; a folder's files are listed, and lie in `out`
    loss      on the texts of the check, as exported; loss_before: of the original
    proof     what the page's own code found, where it could be run
    """

    out: str
    to: str
    precision: str
    files: list[str]
    bytes: int
    checks: list[ExportCheck]
    loss_before: float
    loss: float
    notes: list[str]
    proof: dict[str, Any] | None = None


class StudioJob(Answer):
    """A process that was started here.

    state     waiting: another one has its turn. running. done: `result` has what it found. failed: `problem` says
              why. cancelled
    run       that it works on
    lines     what it has said so far
    """

    job: str
    kind: Kind
    state: Literal["waiting", "running", "done", "failed", "cancelled"]
    run: str | None = None
    begun: float
    ended: float | None = None
    lines: list[str] = Field(default_factory=list)
    problem: str | None = None
    look: TextReport | None = None
    plan: PlanReport | None = None
    export: ExportReport | None = None


class Jobs(Answer):
    """The newest first."""

    jobs: list[StudioJob]


class StudioEvent(Answer):
    """The data of an event of /api/events, which tells what changes in the folder.

    event: runs   `runs`: the whole list
    event: job    `job` is new or has changed
    """

    runs: list[RunSummary] | None = None
    job: StudioJob | None = None


class Started(Answer):
    """A training was started, or carried on: the run appears under that name."""

    run: str
    job: str
