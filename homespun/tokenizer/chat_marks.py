"""A chat template for a tokenizer that has none, so that a model which only completed text can learn to answer.

ChatML, as many models of today have it: `<|im_start|>user`, a new line, what was said, `<|im_end|>`, a new line.
The two marks become special tokens: one id each, which no text can bring in. A model of single characters may lack
the letters of "user", or a new line: there every role has a mark of its own, and no letter is needed.
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
    """The tokenizer with a chat template and the special tokens that it writes; itself where it has a template.

    New tokens get the ids from its `vocab_size` on. An answer ends with `<|im_end|>`, and so does a text from then
    on. Raises TokenizerError where it says that it has a template, and that is none.
    """
    if template_of(tokenizer.settings.get("chat_template")) is not None:
        return tokenizer
    marks, template = manner(tokenizer)
    opening = "{{ bos_token }}" if tokenizer.opening and "bos_token" in tokenizer.settings else ""
    settings = {**tokenizer.settings, "chat_template": opening + template, "eos_token": END}
    return tokenizer.with_special_tokens(marks, end_of_text=END, settings=settings)


def needs_tokens(tokenizer: Tokenizer) -> tuple[str, ...]:
    """The special tokens that `with_chat_template` adds; none where it has a template, or has them already."""
    if template_of(tokenizer.settings.get("chat_template")) is not None:
        return ()
    return tuple(mark for mark in manner(tokenizer)[0] if mark not in tokenizer.special_tokens)


def manner(tokenizer: Tokenizer) -> tuple[tuple[str, ...], str]:
    """The marks of a conversation, and the template that writes it with them."""
    alphabet = getattr(tokenizer, "alphabet", None)
    if alphabet is None or set("systemuserassistant\n") <= set(alphabet):
        return (START, END), CHATML
    return ROLE_MARKS, MARK_A_ROLE
