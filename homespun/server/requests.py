"""What a request may hold: the fields that are done, each with its limits. What else it holds: `fields`.

Types are strict: "5" is no number. Fields that are not declared here are kept in `model_extra`.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

# Limits on what one request may ask for. Each bounds memory or time that a client could make the server spend.
MOST_TEXTS = 128  # n
MOST_STOPS = 32
LONGEST_STOP = 1000  # characters
MOST_IDS = 2**20
MOST_PROMPTS = 2048
MOST_BIASES = 4096
MOST_MESSAGES = 4096
MOST_TOOLS = 128
MOST_TOKENS = 2**24
MOST_ALTERNATIVES = 20

Id = Annotated[int, Field(ge=0, lt=2**31)]
Ids = Annotated[list[Id], Field(max_length=MOST_IDS)]
StopString = Annotated[str, Field(min_length=1, max_length=LONGEST_STOP)]
Tokens = Annotated[int, Field(ge=0, le=MOST_TOKENS)]
Alternatives = Annotated[int, Field(ge=0, le=MOST_ALTERNATIVES)]


class Parameters(BaseModel):
    model_config = ConfigDict(extra="allow", strict=True, allow_inf_nan=False, protected_namespaces=())


class StreamOptions(Parameters):
    include_usage: bool | None = None


class StructuredOutputs(Parameters):
    """Exactly one of them."""

    model_config = ConfigDict(extra="forbid", strict=True)

    regex: Annotated[str, Field(max_length=10_000)] | None = None
    json_: Annotated[dict[str, Any] | str | None, Field(alias="json")] = None
    choice: (
        Annotated[list[Annotated[str, Field(max_length=10_000)]], Field(min_length=1, max_length=1000)] | None
    ) = None


class TextParameters(Parameters):
    """What every request for a text may hold."""

    model: Annotated[str, Field(max_length=500)] | None = None
    temperature: Annotated[float, Field(ge=0, le=100)] | None = None
    top_p: Annotated[float, Field(ge=0, le=1)] | None = None
    top_k: Annotated[int, Field(ge=-1, le=2**31)] | None = None
    min_p: Annotated[float, Field(ge=0, le=1)] | None = None
    repetition_penalty: Annotated[float, Field(gt=0, le=100)] | None = None
    repeat_penalty: Annotated[float, Field(gt=0, le=100)] | None = None
    stop_token_ids: Annotated[list[Id], Field(max_length=1000)] | None = None
    ignore_eos: bool | None = None
    min_tokens: Tokens | None = None
    structured_outputs: StructuredOutputs | None = None
    stream: bool | None = None
    truncation: Literal["auto", "disabled"] | None = None


class Sampled(TextParameters):
    """What completions and chat have in common beyond that."""

    max_tokens: Tokens | None = None
    frequency_penalty: Annotated[float, Field(ge=-2, le=2)] | None = None
    presence_penalty: Annotated[float, Field(ge=-2, le=2)] | None = None
    seed: Annotated[int, Field(ge=-(2**63), lt=2**63)] | None = None
    stop: StopString | Annotated[list[StopString], Field(max_length=MOST_STOPS)] | None = None
    n: Annotated[int, Field(ge=1, le=MOST_TEXTS)] | None = None
    stream_options: StreamOptions | None = None
    logit_bias: (
        Annotated[
            dict[Annotated[str, Field(max_length=10)], Annotated[float, Field(ge=-100, le=100)]],
            Field(max_length=MOST_BIASES),
        ]
        | None
    ) = None
    response_format: dict[str, Any] | None = None


class CompletionRequest(Sampled):
    prompt: (
        str
        | Annotated[list[str], Field(max_length=MOST_PROMPTS)]
        | Ids
        | Annotated[list[Ids], Field(max_length=MOST_PROMPTS)]
        | None
    ) = None
    echo: bool | None = None
    logprobs: Alternatives | None = None


class Part(Parameters):
    """A part of a message's content: text is all that is read."""

    type: Annotated[str, Field(max_length=100)]
    text: str | None = None
    refusal: str | None = None


class FunctionCalled(Parameters):
    name: Annotated[str, Field(max_length=1000)]
    arguments: str = ""


class ToolCall(Parameters):
    id: Annotated[str, Field(max_length=1000)] | None = None
    type: Annotated[str, Field(max_length=100)] = "function"
    function: FunctionCalled


class Message(Parameters):
    role: Literal["system", "developer", "user", "assistant", "tool"]
    content: str | Annotated[list[Part], Field(max_length=MOST_MESSAGES)] | None = None
    name: Annotated[str, Field(max_length=1000)] | None = None
    tool_calls: Annotated[list[ToolCall], Field(max_length=MOST_TOOLS)] | None = None
    tool_call_id: Annotated[str, Field(max_length=1000)] | None = None
    reasoning_content: str | None = None


class Function(Parameters):
    name: Annotated[str, Field(min_length=1, max_length=64, pattern=r"^[a-zA-Z0-9_.-]+$")]
    description: Annotated[str, Field(max_length=100_000)] | None = None
    parameters: dict[str, Any] | None = None
    strict: bool | None = None


class Tool(Parameters):
    type: Literal["function"]
    function: Function


class ChatRequest(Sampled):
    messages: Annotated[list[Message], Field(min_length=1, max_length=MOST_MESSAGES)]
    max_completion_tokens: Tokens | None = None
    logprobs: bool | None = None
    top_logprobs: Alternatives | None = None
    tools: Annotated[list[Tool], Field(max_length=MOST_TOOLS)] | None = None
    tool_choice: Literal["none", "auto", "required"] | dict[str, Any] | None = None
    parallel_tool_calls: bool | None = None


class ResponsesRequest(TextParameters):
    input: str | Annotated[list[dict[str, Any]], Field(max_length=MOST_MESSAGES)]
    instructions: str | None = None
    max_output_tokens: Tokens | None = None
    top_logprobs: Alternatives | None = None
    include: Annotated[list[str], Field(max_length=100)] | None = None
    text: dict[str, Any] | None = None
    tools: Annotated[list[dict[str, Any]], Field(max_length=MOST_TOOLS)] | None = None
    tool_choice: Literal["none", "auto", "required"] | dict[str, Any] | None = None
    parallel_tool_calls: bool | None = None


class EmbeddingRequest(Parameters):
    model: Annotated[str, Field(max_length=500)] | None = None
    input: (
        str
        | Annotated[list[str], Field(min_length=1, max_length=MOST_PROMPTS)]
        | Ids
        | Annotated[list[Ids], Field(min_length=1, max_length=MOST_PROMPTS)]
    )
    dimensions: Annotated[int, Field(ge=1, le=2**20)] | None = None
    encoding_format: Literal["float", "base64"] | None = None


class TokenizeRequest(Parameters):
    """As vLLM's and lm-eval's. add_special_tokens: with what the tokenizer puts before a text."""

    model: Annotated[str, Field(max_length=500)] | None = None
    prompt: str
    add_special_tokens: bool = True
    return_token_strs: bool | None = None


class DetokenizeRequest(Parameters):
    model: Annotated[str, Field(max_length=500)] | None = None
    tokens: Ids
