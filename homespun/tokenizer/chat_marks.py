"""A chat template for a tokenizer without one, so that a base model can learn to answer.

It is ChatML, as in many current models: `<|im_start|>user`, a new line, the message, `<|im_end|>`, a new line.
The two separators become special tokens: one id each, which text cannot produce. The alphabet of a character
model may lack the letters of "user", or the new line: then every role has a special token of its own, and no
letter is needed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from homespun.tokenizer.chat_template import template_of

if TYPE_CHECKING:
    from homespun.tokenizer.tokenizer import Tokenizer

START, END = "<|im_start|>", "<|im_end|>"
CHATML = (
    "{% for message in messages %}"
    "{{ '<|im_start|>' + message['role'] + '\\n' + message['content'] + '<|im_end|>' + '\\n' }}"
    "{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}"
)
ROLE_MARKS = ("<|system|>", "<|user|>", "<|assistant|>", END)
MARK_A_ROLE = (
    "{% for message in messages %}"
    "{{ '<|' + message['role'] + '|>' + message['content'] + '<|im_end|>' }}"
    "{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|assistant|>' }}{% endif %}"
)


def with_chat_template(tokenizer: Tokenizer) -> Tokenizer:
    """Return the tokenizer with a chat template and its special tokens; unchanged if it has a template.

    New tokens get the ids from its `vocab_size` on. `<|im_end|>` ends an answer, and becomes the end-of-text
    token. Raises TokenizerError if the settings have a chat template that is not valid.
    """
    if template_of(tokenizer.settings.get("chat_template")) is not None:
        return tokenizer
    marks, template = manner(tokenizer)
    opening = "{{ bos_token }}" if tokenizer.opening and "bos_token" in tokenizer.settings else ""
    settings = {**tokenizer.settings, "chat_template": opening + template, "eos_token": END}
    return tokenizer.with_special_tokens(marks, end_of_text=END, settings=settings)


def needs_tokens(tokenizer: Tokenizer) -> tuple[str, ...]:
    """Return the special tokens that `with_chat_template` adds; none if it has a template, or has them already."""
    if template_of(tokenizer.settings.get("chat_template")) is not None:
        return ()
    return tuple(mark for mark in manner(tokenizer)[0] if mark not in tokenizer.special_tokens)


def manner(tokenizer: Tokenizer) -> tuple[tuple[str, ...], str]:
    """Return the special tokens of a conversation, and the template that uses them."""
    alphabet = getattr(tokenizer, "alphabet", None)
    if alphabet is None or set("systemuserassistant\n") <= set(alphabet):
        return (START, END), CHATML
    return ROLE_MARKS, MARK_A_ROLE
