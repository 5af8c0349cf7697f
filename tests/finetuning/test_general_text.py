"""The text that shows what was forgotten is the same for everybody, and every model gets what it can write."""

from __future__ import annotations

from homespun.finetuning.general_text import general_passages, general_text
from homespun.tokenizer.make import build


def test_it_is_some_pages_of_all_kinds() -> None:
    text = general_text()
    assert 5_000 < len(text) < 50_000 and text.isascii()
    for kind in ("def ", "<html>", "Dear ", "ANNA:", "12 sheep", "- "):
        assert kind in text
    assert "\n~\n" not in text and len(set(general_passages())) == len(general_passages()) > 10


def test_a_model_of_letters_gets_the_passages_without_digits() -> None:
    letters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ \n!',-.:;?"
    tokenizer = build("char", alphabet=dict.fromkeys(letters, 1), documents=1, pieces=lambda: iter([letters]))
    passages = general_passages(tokenizer)
    assert 3 < len(passages) < len(general_passages())
    assert general_text(tokenizer) == "\n\n".join(passages) and not any(
        c.isdigit() for c in general_text(tokenizer)
    )
    assert general_text(build("char", alphabet={"x": 1}, documents=1, pieces=lambda: iter(["x"]))) == ""
