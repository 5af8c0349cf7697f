"""The table of parameters: held to the openai package's types, to what is read, and to docs/serve.md."""

from __future__ import annotations

from typing import Any

import pytest
from openai.types import completion_create_params, embedding_create_params
from openai.types.chat import completion_create_params as chat_create_params
from openai.types.responses import response_create_params

from homespun.server import fields, reference
from homespun.server.requests import ChatRequest, CompletionRequest, EmbeddingRequest, ResponsesRequest

ENDPOINTS: list[tuple[str, type, Any]] = [
    (fields.COMPLETIONS, completion_create_params.CompletionCreateParamsBase, CompletionRequest),
    (fields.CHAT, chat_create_params.CompletionCreateParamsBase, ChatRequest),
    (fields.RESPONSES, response_create_params.ResponseCreateParamsBase, ResponsesRequest),
    (fields.EMBEDDINGS, embedding_create_params.EmbeddingCreateParams, EmbeddingRequest),
]


@pytest.mark.parametrize(("endpoint", "theirs", "ours"), ENDPOINTS, ids=lambda value: str(value)[:20])
def test_every_parameter_of_openai_is_in_the_table_and_what_is_done_is_read(
    endpoint: str, theirs: type, ours: Any
) -> None:
    table = fields.of(endpoint)
    streams = set() if endpoint == fields.EMBEDDINGS else {"stream"}
    known = set(theirs.__annotations__) | streams
    assert known <= set(table), "OpenAI has parameters that the table does not name"
    done = {name for name, field in table.items() if field.status == fields.DONE}
    read = {field.alias or name for name, field in ours.model_fields.items()}
    assert done == read, "what the table calls done is what a request model declares"


def test_no_parameter_is_in_the_table_twice_for_an_endpoint() -> None:
    pairs = [(field.name, endpoint) for field in fields.FIELDS for endpoint in field.where]
    assert len(pairs) == len(set(pairs))


def test_the_page_of_the_docs_has_the_table() -> None:
    page = reference.PAGE.read_text(encoding="utf-8")
    assert page == reference.with_tables(page), "run:  python -m homespun.server.reference"
