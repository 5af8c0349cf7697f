from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from homespun.errors import UsageError
from homespun.generation.stopping import StopStrings


def run(pieces: list[str], stops: list[str]) -> tuple[str, bool]:
    stop = StopStrings(stops)
    shown = "".join(stop.push(piece) for piece in pieces)
    return shown + ("" if stop.reached else stop.flush()), stop.reached


letters = st.text(alphabet="abc", max_size=30)
stop_strings = st.lists(st.text(alphabet="abc", min_size=1, max_size=4), max_size=3)


@given(text=letters, stops=stop_strings, cuts=st.lists(st.integers(0, 30), max_size=6))
def test_how_the_text_is_cut_makes_no_difference(text: str, stops: list[str], cuts: list[int]) -> None:
    edges = [0, *sorted(cut for cut in cuts if cut < len(text)), len(text)]
    pieces = [text[a:b] for a, b in pairwise(edges)]
    assert run(pieces, stops) == run(list(text), stops)


@given(text=letters, stops=stop_strings)
def test_no_stop_string_is_shown_and_nothing_is_lost(text: str, stops: list[str]) -> None:
    shown, reached = run(list(text), stops)
    assert not any(stop in shown for stop in stops)
    assert text.startswith(shown)
    assert reached == any(stop in text for stop in stops)
    assert reached or shown == text


@given(text=letters, stops=stop_strings)
def test_no_more_is_held_back_than_could_be_a_beginning(text: str, stops: list[str]) -> None:
    stop = StopStrings(stops)
    for character in text:
        stop.push(character)
        assert not stop.held or any(string.startswith(stop.held) for string in stops)


def test_the_text_ends_before_the_stop_string_and_stays_ended() -> None:
    stop = StopStrings(["\n\n"])
    assert [stop.push(piece) for piece in ("a\n", "b\n", "\nc", "d")] == ["a", "\nb", "", ""]
    assert stop.reached and stop.flush() == ""


def test_a_beginning_that_came_to_nothing_is_shown_at_the_end() -> None:
    stop = StopStrings(["END"])
    assert stop.push("the EN") == "the " and stop.flush() == "EN"


def test_a_single_string_is_one_stop_string_and_not_its_letters() -> None:
    stop = StopStrings("END")
    assert stop.push("NEED END") == "NEED "


def test_an_empty_stop_string_is_refused() -> None:
    with pytest.raises(UsageError):
        StopStrings(["ok", ""])
