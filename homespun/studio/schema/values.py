"""Values that many requests and answers have in common."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

MOST_TEXT = 200_000  # characters of a text that is looked into
MOST_IDS = 100_000


class Answer(BaseModel):
    """What the page gets. A field without a value is null, never absent."""

    model_config = ConfigDict(json_schema_serialization_defaults_required=True)


class Request(BaseModel):
    """What the page sends. An unknown field is an error, so that no setting is ignored in silence."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)


class ErrorBody(Answer):
    """message: what is wrong, and what to do next. param: the field that is wrong. code: for programs."""

    message: str
    type: str
    param: str | None = None
    code: str | None = None


class Problem(Answer):
    """The one form of everything that goes wrong, whatever the status."""

    error: ErrorBody


class Numbers(Answer):
    """An array. data: its numbers, row by row, little-endian, in base64; null in them is not a number (NaN)."""

    dtype: Literal["float16", "float32", "int32"]
    shape: list[int]
    data: str


class Done(Answer):
    """It was done."""

    done: Literal[True] = True


RunPath = Annotated[
    str,
    Field(
        min_length=1,
        max_length=1000,
        description="The folder of a run, below the studio's folder, as /api/runs lists it: runs/shakespeare",
    ),
]
Ids = Annotated[list[Annotated[int, Field(ge=0, lt=2**31)]], Field(min_length=1, max_length=MOST_IDS)]
Text = Annotated[str, Field(max_length=MOST_TEXT)]
