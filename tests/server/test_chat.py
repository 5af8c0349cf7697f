"""/v1/chat/completions and /v1/responses, by the `openai` package, held to its own types."""

from __future__ import annotations

import json
from typing import Any

import openai
import pytest
from openai.types.chat import ChatCompletion, ChatCompletionChunk
from openai.types.responses import Response

from tests.server.running import Running
from tests.server.test_completions import strictly

HELLO: list[Any] = [{"role": "user", "content": "hello there"}]
TOOLS: list[Any] = [
    {
        "type": "function",
        "function": {
            "name": name,
            "parameters": {
                "type": "object",
                "properties": {"n": {"type": "integer", "minimum": 0, "maximum": 9}},
                "required": ["n"],
                "additionalProperties": False,
            },
        },
    }
    for name in ("square", "double")
]


def test_a_chat_is_what_openai_says_it_is(client: openai.OpenAI) -> None:
    answer = client.chat.completions.create(
        model="talker", messages=HELLO, max_tokens=20, seed=1, logprobs=True, top_logprobs=3
    )
    strictly(ChatCompletion, answer)
    (choice,) = answer.choices
    assert choice.message.role == "assistant" and choice.finish_reason == "length"
    assert choice.logprobs is not None and choice.logprobs.content is not None
    assert len(choice.logprobs.content) == answer.usage.completion_tokens == 20
    for entry in choice.logprobs.content:
        assert len(entry.top_logprobs) == 3 and entry.bytes is not None
        assert bytes(entry.bytes).decode("utf-8", "replace") == entry.token
    content = b"".join(bytes(entry.bytes or ()) for entry in choice.logprobs.content)
    assert content.decode("utf-8", "replace") == choice.message.content


@pytest.mark.parametrize("parameters", [{}, {"logprobs": True}, {"n": 3}, {"stop": ["e", "th"]}])
def test_a_streamed_chat_says_what_the_whole_one_says(client: openai.OpenAI, parameters: Any) -> None:
    asked = {"model": "talker", "messages": HELLO, "max_tokens": 30, "seed": 5, **parameters}
    whole = client.chat.completions.create(**asked)
    chunks = list(client.chat.completions.create(**asked, stream=True, stream_options={"include_usage": True}))
    for chunk in chunks:
        strictly(ChatCompletionChunk, chunk)
    assert chunks[-1].usage == whole.usage and not chunks[-1].choices
    for choice in whole.choices:
        parts = [part for chunk in chunks for part in chunk.choices if part.index == choice.index]
        assert parts[0].delta.role == "assistant" and parts[0].delta.content == ""
        assert "".join(part.delta.content or "" for part in parts) == choice.message.content
        assert [part.finish_reason for part in parts] == [None] * (len(parts) - 1) + [choice.finish_reason]
        if choice.logprobs is not None:
            entries = [one for part in parts if part.logprobs for one in part.logprobs.content or ()]
            assert entries == choice.logprobs.content


def test_contents_and_roles_in_all_their_forms_mean_the_same(client: openai.OpenAI) -> None:
    asked: dict[str, Any] = {"model": "talker", "max_tokens": 10, "seed": 2}
    system, question = "be brief", "hello there"

    def answer(*messages: Any) -> Any:
        return client.chat.completions.create(messages=messages, **asked).choices[0].message.content

    plain = answer({"role": "system", "content": system}, {"role": "user", "content": question})
    parts = [{"type": "text", "text": "hello "}, {"type": "text", "text": "there"}]
    assert answer({"role": "developer", "content": system}, {"role": "user", "content": parts}) == plain
    assert answer({"role": "user", "content": question}) != plain


def test_a_last_message_of_the_assistant_is_continued(client: openai.OpenAI, served: Running) -> None:
    begun = [*HELLO, {"role": "assistant", "content": "well, "}]
    answer = client.chat.completions.create(model="talker", messages=begun, max_tokens=8, seed=4)
    chat = served.server.models.by_name["talker"].views[0].chat
    ids = [*chat.encode(HELLO, answer=True), *b"well, "]
    same = client.completions.create(model="talker", prompt=ids, max_tokens=8, seed=4)
    assert answer.choices[0].message.content == same.choices[0].text
    with pytest.raises(openai.BadRequestError, match="both the assistant's"):
        client.chat.completions.create(model="talker", messages=[*begun, begun[-1]])


def test_a_model_that_completes_says_where_to_send_text(client: openai.OpenAI) -> None:
    with pytest.raises(openai.BadRequestError, match=r"POST /v1/completions.*homespun finetune") as error:
        client.chat.completions.create(model="tiny", messages=HELLO)
    assert error.value.code == "no_chat_template"


def test_both_names_of_the_length_count(client: openai.OpenAI) -> None:
    asked: dict[str, Any] = {"model": "talker", "messages": HELLO, "seed": 1, "extra_body": {"ignore_eos": True}}
    for limits in ({"max_tokens": 5}, {"max_completion_tokens": 5}, {"max_tokens": 9, "max_completion_tokens": 5}):
        assert client.chat.completions.create(**asked, **limits).usage.completion_tokens == 5
    whole = client.chat.completions.create(**asked).usage
    assert whole.total_tokens == 257  # to the end of the context: the last token is never an input


def test_json_of_a_schema_is_held(client: openai.OpenAI) -> None:
    pytest.importorskip("llguidance")
    schema = {
        "type": "object",
        "properties": {"kind": {"enum": ["cat", "dog"]}, "age": {"type": "integer", "minimum": 0, "maximum": 30}},
        "required": ["kind", "age"],
        "additionalProperties": False,
    }
    format: Any = {"type": "json_schema", "json_schema": {"name": "animal", "strict": True, "schema": schema}}
    answer = client.chat.completions.create(model="talker", messages=HELLO, response_format=format, max_tokens=90)
    animal = json.loads(answer.choices[0].message.content or "")
    assert animal["kind"] in ("cat", "dog") and 0 <= animal["age"] <= 30
    assert answer.choices[0].finish_reason == "stop"


def test_parse_gives_an_object_of_ones_own(client: openai.OpenAI) -> None:
    pytest.importorskip("llguidance")
    from typing import Literal

    from pydantic import BaseModel

    class Animal(BaseModel):
        kind: Literal["cat", "dog"]

    answer = client.chat.completions.parse(model="talker", messages=HELLO, response_format=Animal, max_tokens=90)
    assert answer.choices[0].message.parsed is not None and answer.choices[0].message.parsed.kind in ("cat", "dog")


@pytest.mark.parametrize(
    "format",
    [
        {"type": "sound"},
        {"type": "json_schema", "json_schema": {"schema": 123}},
        {"type": "json_schema", "json_schema": {"schema": {"type": "hiccup"}}},
        {"type": "json_schema"},
        {},
    ],
)
def test_a_schema_that_is_none_is_the_clients_fault(client: openai.OpenAI, format: Any) -> None:
    pytest.importorskip("llguidance")
    with pytest.raises(openai.BadRequestError) as error:
        client.chat.completions.create(model="talker", messages=HELLO, response_format=format)
    assert (error.value.param or "").startswith("response_format")


# ---- tools ----


@pytest.mark.parametrize("choice", ["required", {"type": "function", "function": {"name": "double"}}])
@pytest.mark.parametrize("streams", [False, True])
def test_a_call_that_is_required_is_made(client: openai.OpenAI, choice: Any, streams: bool) -> None:
    pytest.importorskip("llguidance")
    asked: dict[str, Any] = {
        "model": "caller", "messages": HELLO, "tools": TOOLS, "tool_choice": choice, "seed": 3, "max_tokens": 100,
    }  # fmt: skip
    if streams:
        parts = [part for chunk in client.chat.completions.create(**asked, stream=True) for part in chunk.choices]
        (call,) = [call for part in parts for call in part.delta.tool_calls or ()]
        assert parts[-1].finish_reason == "tool_calls" and call.index == 0
        assert not "".join(part.delta.content or "" for part in parts)
    else:
        answer = client.chat.completions.create(**asked)
        strictly(ChatCompletion, answer)
        (call,) = answer.choices[0].message.tool_calls or ()
        assert answer.choices[0].finish_reason == "tool_calls" and answer.choices[0].message.content is None
    assert call.function.name in (("square", "double") if choice == "required" else ("double",))
    assert 0 <= json.loads(call.function.arguments)["n"] <= 9


def test_calls_and_their_results_reach_the_template(client: openai.OpenAI, served: Running) -> None:
    call = {"id": "call_1", "type": "function", "function": {"name": "double", "arguments": '{"n": 4}'}}
    messages = [
        *HELLO,
        {"role": "assistant", "content": None, "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "call_1", "content": "8"},
    ]
    text = (
        '<tools>{"type": "function", "function": {"name": "double"}}\n</tools>[user] hello there[assistant] '
        '<tool_call>{"name": "double", "arguments": {"n": 4}}</tool_call>[tool] 8[assistant] '
    )
    tools: Any = [{"type": "function", "function": {"name": "double"}}]
    asked: dict[str, Any] = {"model": "caller", "max_tokens": 6, "seed": 1}
    answer = client.chat.completions.create(messages=messages, tools=tools, **asked)
    assert answer.usage.prompt_tokens == len(text)
    assert answer.choices[0].message.content == client.completions.create(prompt=text, **asked).choices[0].text


def test_tools_are_refused_where_the_model_would_never_see_them(client: openai.OpenAI) -> None:
    with pytest.raises(openai.BadRequestError, match="no place for tools") as error:
        client.chat.completions.create(model="talker", messages=HELLO, tools=TOOLS)
    assert error.value.param == "tools"
    for nothing in ({"tools": []}, {"tools": TOOLS, "tool_choice": "none"}):
        client.chat.completions.create(model="talker", messages=HELLO, max_tokens=2, **nothing)


@pytest.mark.parametrize(
    ("written", "text", "calls"),
    [
        ('<tool_call>\n{"name": "double", "arguments": {"n": 2}}\n</tool_call>', "", ['double {"n": 2}']),
        (
            'So: <tool_call>{"name": "double", "arguments": {"n": 2}}</tool_call>\n'
            '<tool_call>{"name": "square", "arguments": {}}</tool_call>',
            "So: ",
            ['double {"n": 2}', "square {}"],
        ),
        ('[TOOL_CALLS][{"name": "square", "arguments": {"n": 1}}]', "", ['square {"n": 1}']),
        ('{"name": "square", "parameters": {"n": 1}}', "", ['square {"n": 1}']),
        ('{"name": "else", "parameters": {}}', '{"name": "else", "parameters": {}}', []),
        ("<tool_call>no JSON</tool_call> text", "<tool_call>no JSON</tool_call> text", []),
        ("<tool_call>no end", "<tool_call>no end", []),
        ("a < b and <tool", "a < b and <tool", []),
        ("[1, 2]", "[1, 2]", []),
    ],
)
@pytest.mark.parametrize("size", [1, 7, 1000])
def test_calls_are_recognised_however_the_text_is_cut(
    written: str, text: str, calls: list[str], size: int
) -> None:
    from homespun.server.tools import Calls, Offer

    parser = Calls(Offer(TOOLS))
    shown, found = "", []
    for at in range(0, len(written), size):
        more, new = parser.push(written[at : at + size])
        shown, found = shown + more, found + new
    more, new = parser.flush()
    assert shown + more == text
    assert [f"{call.name} {call.arguments}" for call in found + new] == calls


# ---- /v1/responses ----


def test_a_response_is_what_openai_says_it_is_and_what_the_chat_says(client: openai.OpenAI) -> None:
    answer = client.responses.create(
        model="talker",
        input="hello there",
        max_output_tokens=12,
        temperature=0,
        include=["message.output_text.logprobs"],
    )
    strictly(Response, answer)
    chat = client.chat.completions.create(model="talker", messages=HELLO, max_tokens=12, temperature=0)
    assert answer.output_text == chat.choices[0].message.content
    assert answer.status == "incomplete" and answer.incomplete_details.reason == "max_output_tokens"
    assert answer.usage.input_tokens == chat.usage.prompt_tokens and answer.usage.output_tokens == 12
    assert len(answer.output[0].content[0].logprobs) == 12
    items: Any = [{"role": "user", "content": [{"type": "input_text", "text": "hello there"}]}]
    again = client.responses.create(model="talker", input=items, max_output_tokens=12, temperature=0)
    assert again.output_text == answer.output_text


def test_a_streamed_response_is_numbered_and_whole(client: openai.OpenAI) -> None:
    asked: Any = {"model": "talker", "input": "hello there", "max_output_tokens": 12, "temperature": 0}
    whole = client.responses.create(**asked)
    events = list(client.responses.create(**asked, stream=True))
    for event in events:
        strictly(type(event), event)
    assert [event.sequence_number for event in events] == list(range(len(events)))
    assert events[0].type == "response.created" and events[-1].type == "response.incomplete"
    deltas = [event.delta for event in events if event.type == "response.output_text.delta"]
    assert "".join(deltas) == whole.output_text == events[-1].response.output_text
    ended = {**asked, "input": "hi", "extra_body": {"structured_outputs": {"choice": ["fine", "good"]}}}
    with client.responses.stream(**ended) as stream:
        assert stream.get_final_response().output_text in ("fine", "good")


def test_a_response_calls_functions(client: openai.OpenAI) -> None:
    pytest.importorskip("llguidance")
    tools: Any = [{"type": "function", **tool["function"], "strict": True} for tool in TOOLS]
    asked: Any = {"model": "caller", "input": "hi", "tools": tools, "tool_choice": "required", "temperature": 0}
    answer = client.responses.create(**asked)
    strictly(Response, answer)
    (call,) = answer.output
    assert call.type == "function_call" and 0 <= json.loads(call.arguments)["n"] <= 9
    events = list(client.responses.create(**asked, stream=True))
    assert events[-1].type == "response.completed" and events[-1].response.output[0].arguments == call.arguments
    given: Any = [
        {"role": "user", "content": "hi"},
        {"type": "function_call", "call_id": call.call_id, "name": call.name, "arguments": call.arguments},
        {"type": "function_call_output", "call_id": call.call_id, "output": "16"},
    ]
    assert client.responses.create(model="caller", input=given, max_output_tokens=16).output_text


def test_nothing_is_kept_between_responses(client: openai.OpenAI) -> None:
    with pytest.raises(openai.BadRequestError, match="send the whole conversation") as error:
        client.responses.create(model="talker", input="hi", previous_response_id="resp_1")
    assert error.value.param == "previous_response_id"
