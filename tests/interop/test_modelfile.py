"""The Modelfile for Ollama: a conversation is written as the chat template writes it, or nothing is said of it."""

from __future__ import annotations

import pytest

from homespun.interop.modelfile import conversation, form_of, modelfile
from homespun.tokenizer.chat_template import ChatTemplate
from homespun.tokenizer.tokenizer import Tokenizer
from tests.interop.test_export import tokenizer_of

pytest.importorskip("jinja2")

CHATML = (
    "{% for m in messages %}{{ '<|im_start|>' + m['role'] + '\n' + m['content'] + '<|im_end|>\n' }}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
WITH_A_DEFAULT = (
    "{% if messages[0]['role'] != 'system' %}{{ '<|im_start|>system\nBe kind.<|im_end|>\n' }}{% endif %}" + CHATML
)
LLAMA_2 = (
    "{{ '<s>' }}{% for m in messages %}{% if m['role'] == 'system' %}{{ raise_exception('no') }}"
    "{% elif m['role'] == 'user' %}{{ '[INST] ' + m['content'] + ' [/INST]' }}"
    "{% else %}{{ ' ' + m['content'] + '</s>' }}{% endif %}{% endfor %}"
)
NUMBERED = "{% for m in messages %}{{ loop.index }} {{ m['content'] }}\n{% endfor %}"
LOUD = "{% for m in messages %}{{ m['content'] | upper }}{% endfor %}"


def with_template(source: str) -> Tokenizer:
    tokenizer = tokenizer_of("char", 2)
    tokenizer.settings["chat_template"] = source
    return tokenizer


@pytest.mark.parametrize("source", [CHATML, WITH_A_DEFAULT, LLAMA_2])
def test_the_form_of_a_plain_template_is_found(source: str) -> None:
    template = ChatTemplate(source)
    form = form_of(with_template(source))
    assert form is not None
    for roles in (("user",), ("user", "assistant", "user")):
        messages = conversation(*roles)
        assert form.written(messages) == template.render(messages, answer=True)


def test_a_form_in_the_words_of_go() -> None:
    form = form_of(with_template(WITH_A_DEFAULT))
    assert form is not None
    assert form.in_go() == (
        "{{ if not .System }}<|im_start|>system\nBe kind.<|im_end|>\n{{ end }}"
        "{{ range .Messages }}"
        '{{ if eq .Role "system" }}<|im_start|>system\n{{ .Content }}<|im_end|>\n'
        '{{ else if eq .Role "user" }}<|im_start|>user\n{{ .Content }}<|im_end|>\n'
        '{{ else if eq .Role "assistant" }}<|im_start|>assistant\n{{ .Content }}<|im_end|>\n'
        "{{ end }}{{ end }}<|im_start|>assistant\n"
    )


@pytest.mark.parametrize("source", [NUMBERED, LOUD, "{{ messages | length }}", "{{ nothing.at.all }}", "{% if %}"])
def test_a_template_that_is_more_than_a_form_is_left_to_ollama(source: str) -> None:
    said = modelfile("model.gguf", with_template(source), {}, 32, "")
    assert "TEMPLATE" not in said


def test_an_answer_stops_where_the_template_ends_it() -> None:
    tokenizer = with_template(CHATML.replace("<|im_end|>", "<|endoftext|>"))
    said = modelfile("model.gguf", tokenizer, {"top_k": 5, "max_tokens": 9}, 32, "mit")
    assert 'PARAMETER stop "<|endoftext|>"\n' in said
    assert "PARAMETER top_k 5\n" in said
    assert "PARAMETER num_predict 9\n" in said
    assert 'LICENSE """mit"""' in said
