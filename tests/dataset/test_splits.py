from __future__ import annotations

import doctest
import hashlib
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from homespun.dataset import splits
from homespun.dataset.splits import check_learnable, fit_context, plan_splits
from homespun.errors import NotEnoughText

documents = st.lists(st.integers(0, 5000), min_size=1, max_size=40)


def key(number: object) -> str:
    return hashlib.sha256(str(number).encode()).hexdigest()


def train_share(sizes: list[int], cuts: tuple[int, ...]) -> float:
    return sum(cuts) / sum(sizes)


def test_the_examples_in_the_docstrings():
    assert doctest.testmod(splits).failed == 0


def test_one_document_keeps_back_its_last_tenth():
    plan = plan_splits([1_115_394], [key("shakespeare")])
    assert plan.cuts == (1_003_854,)
    assert 1_115_394 - plan.cuts[0] == 111_540
    assert plan.how == "the last tenth of the text"


def test_many_documents_keep_back_whole_ones_near_a_tenth():
    rng = random.Random(1)
    sizes = [rng.randint(100, 3000) for _ in range(200)]
    plan = plan_splits(sizes, [key(i) for i in range(200)])
    assert all(cut in (0, size) for cut, size in zip(plan.cuts, sizes, strict=True))
    assert 0.89 < train_share(sizes, plan.cuts) < 0.91


def test_equal_documents_fall_on_the_same_side():
    sizes = [100] * 60
    keys = [key(i % 12) for i in range(60)]
    plan = plan_splits(sizes, keys)
    sides = {(k, cut) for k, cut in zip(keys, plan.cuts, strict=True)}
    assert len(sides) == 12
    assert {cut for _, cut in sides} == {0, 100}


def test_the_order_of_the_documents_does_not_matter():
    sizes = {key(i): 50 + 7 * i for i in range(30)}
    order = list(sizes)
    first = plan_splits([sizes[k] for k in order], order).cuts
    shuffled = random.Random(2).sample(order, len(order))
    second = plan_splits([sizes[k] for k in shuffled], shuffled).cuts
    assert dict(zip(order, first, strict=True)) == dict(zip(shuffled, second, strict=True))


def test_two_documents_of_a_kind_give_their_last_tenths():
    plan = plan_splits([1000, 2000], [key(0), key(1)])
    assert plan.cuts == (900, 1800)
    assert plan.how == "the last tenth of each of 2 documents"


def test_five_equal_documents_keep_back_one():
    plan = plan_splits([100] * 5, [key(i) for i in range(5)])
    assert sorted(plan.cuts) == [0, 100, 100, 100, 100]
    assert plan.how == "1 of 5 documents, whole"


def test_copies_of_one_document_are_cut_at_the_same_place():
    assert plan_splits([500] * 20, [key("same")] * 20).cuts == (450,) * 20


def test_small_documents_beside_a_huge_one_do_not_all_go_to_validation():
    sizes = [92_000] + [80] * 100
    plan = plan_splits(sizes, [key(i) for i in range(101)])
    assert any(cut > 0 for cut in plan.cuts[1:])


@given(documents, st.integers(1, 40))
def test_any_split_is_a_partition_that_leaks_no_document(sizes, different):
    keys = [key(i % different) for i in range(len(sizes))]
    sizes = [sizes[i % different] if i % different < len(sizes) else size for i, size in enumerate(sizes)]
    plan = plan_splits(sizes, keys)
    assert len(plan.cuts) == len(sizes)
    assert all(0 <= cut <= size for cut, size in zip(plan.cuts, sizes, strict=True))
    assert len(set(zip(keys, plan.cuts, strict=True))) == len(set(keys)), "equal documents, unequal cuts"
    if "whole" in plan.how:
        assert all(cut in (0, size) for cut, size in zip(plan.cuts, sizes, strict=True))
        assert 0.8 <= train_share(sizes, plan.cuts) <= 0.95
    else:
        assert plan.cuts == tuple(int(0.9 * size) for size in sizes)


@given(documents)
def test_empty_documents_change_nothing(sizes):
    keys = [key(i) for i in range(len(sizes))]
    plan = plan_splits(sizes, keys)
    with_empty = plan_splits([*sizes, 0, 0], [*keys, key("empty"), key("empty")])
    assert with_empty.how == plan.how
    assert with_empty.cuts[: len(sizes)] == plan.cuts


@pytest.mark.parametrize(
    ("text", "says"),
    [("", "no characters"), ("x", "a single character, 'x'"), ("\n" * 1234, "'\\n', 1,234 times")],
)
def test_a_text_with_nothing_to_learn_says_why(text, says):
    alphabet = {character: text.count(character) for character in set(text)}
    with pytest.raises(NotEnoughText) as error:
        check_learnable("notes.txt", len(text), alphabet)
    assert "notes.txt" in error.value.what
    assert says in error.value.what
    assert error.value.todo


def test_two_different_characters_are_a_text():
    check_learnable("notes.txt", 2, {"a": 1, "b": 1})


def test_a_long_text_keeps_the_context_and_a_short_one_shortens_it():
    assert fit_context(1_003_854, 111_540, 256) == 256
    assert fit_context(257, 30, 256) == 256
    assert fit_context(256, 30, 256) == 255
    assert fit_context(2, 2, 256) == 1


@pytest.mark.parametrize(
    ("train", "val", "says"), [(1, 50, "1 token "), (50, 0, "0 tokens "), (50, 1, "1 token ")]
)
def test_a_split_with_nothing_to_predict_is_refused(train, val, says):
    with pytest.raises(NotEnoughText, match=says):
        fit_context(train, val, 8)


@pytest.mark.parametrize(
    ("tokenizer", "advised"), [("bpe", True), ("file", True), ("char", False), ("byte", False), (None, False)]
)
def test_smaller_tokens_are_advised_where_there_are_some(tokenizer, advised):
    with pytest.raises(NotEnoughText) as error:
        fit_context(1, 50, 8, tokenizer=tokenizer)
    assert ("--tokenizer char" in error.value.todo) == advised
