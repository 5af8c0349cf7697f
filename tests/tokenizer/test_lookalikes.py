"""What a person types is read by a model of few characters as far as it can be meant, and that is said."""

from __future__ import annotations

import unicodedata

import pytest

from homespun.errors import HomespunWarning, UnknownCharacter
from homespun.tokenizer.lookalikes import adapted
from homespun.tokenizer.make import build
from homespun.tokenizer.prompt import encode_prompt, readable, special_tokens_in

BOOK = "The old man didn\u2019t say \u201cyes\u201d \u2014 he said \u2018no\u2019 in a cafe.\n"


def tokenizer(text: str = BOOK, documents: int = 1, kind: str = "char"):  # type: ignore[no-untyped-def]
    return build(kind, alphabet=dict.fromkeys(text, 1), documents=documents, pieces=lambda: iter([text]))


@pytest.mark.parametrize(
    ("typed", "read"),
    [
        ('The old man didn\'t say "yes"', "The old man didn\u2019t say \u201cyes\u201d"),
        ("\"no\" 'no'", "\u201cno\u201d \u2018no\u2019"),
        ("he - said\u00a0no", "he \u2014 said no"),
        ("he\u200b said", "he said"),
        ("ｔｈｅ man", "the man"),
    ],
)
def test_look_alikes_are_what_the_book_has(typed: str, read: str) -> None:
    assert adapted(typed, BOOK)[0] == read


def test_straight_and_curly_go_both_ways() -> None:
    assert (
        adapted("don\u2019t say \u201cyes\u201d \u2026", "abcdefghijklmnopqrstuvwxyz '\".")[0]
        == 'don\'t say "yes" ...'
    )


@pytest.mark.parametrize("typed", ["NFC", "NFD"])
@pytest.mark.parametrize("known", ["NFC", "NFD"])
def test_accents_are_read_in_the_form_that_the_model_knows(typed: str, known: str) -> None:
    alphabet = unicodedata.normalize(known, "Le café était fermé.\n")
    text = unicodedata.normalize(typed, "le café était fermé")
    assert adapted(text, alphabet)[0] == unicodedata.normalize(known, text)


def test_what_has_no_look_alike_stays_and_is_an_error() -> None:
    with pytest.raises(UnknownCharacter, match=r"U\+00E9"):
        encode_prompt(tokenizer(), "the café")
    assert adapted("the café", BOOK) == ("the café", {})


def test_what_was_read_as_what_is_said_once_and_only_where_it_was() -> None:
    words = tokenizer()
    with pytest.warns(HomespunWarning, match="it reads ' as \u2019"):
        ids = encode_prompt(words, "didn't")
    assert words.decode(ids) == "didn\u2019t"
    assert readable(tokenizer(kind="byte"), "didn't \u2019") == "didn't \u2019"


def test_names_of_special_tokens_are_text_unless_they_are_asked_for() -> None:
    words = tokenizer(BOOK + "<|>dfox", documents=2)
    text = "no<|endoftext|>he"
    assert special_tokens_in(words, text) == ["<|endoftext|>"]
    assert words.end_of_text not in encode_prompt(words, text)
    asked = encode_prompt(words, text, special_tokens=True)
    assert asked == [*words.encode("no"), words.end_of_text, *words.encode("he")]
