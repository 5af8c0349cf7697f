"""What holds for every plan, and for everything that is taken for one."""

from __future__ import annotations

import math
from dataclasses import MISSING, fields
from pathlib import Path
from typing import Any, get_origin, get_type_hints

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from homespun.errors import HomespunError
from homespun.machine.device import DTYPES
from homespun.model.config import BigramConfig, GPTConfig
from homespun.model.families import TRAINED
from homespun.planning.base_plan import OPTIMIZERS, parse
from homespun.planning.cost import Speed
from homespun.planning.facts import Facts
from homespun.planning.plan import Plan, parse_settings, settable
from homespun.planning.planner import Wishes, decide
from homespun.planning.search import SIZES

TEXT = st.text(st.characters(exclude_categories=("Cs",)), max_size=20)
COUNT = st.integers(1, 2**40)


def legal(name: str, kind: Any, metadata: Any) -> st.SearchStrategy[Any]:
    """Any value that the field of that name may have."""
    least, most = metadata.get("least", 0), metadata.get("most", math.inf)
    if name in (choices := {"model": list(TRAINED), "optimizer": OPTIMIZERS, "gradient_dtype": DTYPES}):
        return st.sampled_from(choices[name])
    if kind is bool:
        return st.booleans()
    if kind is int:
        return st.integers(least, 2**62 if most == math.inf else most)
    if kind is float:
        return st.floats(least, 1e300 if most == math.inf else most, allow_nan=False)
    if name in ("extended", "rescheduled"):
        moments = st.sets(st.integers(1, 2**40), max_size=3).map(sorted)
        return moments.map(tuple) if name == "extended" else moments.map(lambda at: tuple((n, 2 * n) for n in at))
    return st.lists(TEXT, max_size=3).map(tuple) if kind is not str else TEXT


LEGAL = {part.name: legal(part.name, get_type_hints(Plan)[part.name], part.metadata) for part in fields(Plan)}


@st.composite
def plans(draw: st.DrawFn) -> Plan:
    values = {name: draw(strategy) for name, strategy in LEGAL.items()}
    values["batch_size"] = values["micro_batches"] * draw(st.integers(1, 8))
    return Plan(**values)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(plans())
def test_any_plan_comes_back_from_its_file_as_it_was(tmp_path: Path, plan: Plan) -> None:
    plan.save(tmp_path / "plan.toml")
    assert Plan.load(tmp_path / "plan.toml") == plan


JSON_LIKE = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=5,
)
NUMBERS = st.sampled_from(
    ["1e999", "-0", "٣", "1_000", "0x10", "9" * 5000, "1e-400", "inf", "nan", " 7 ", "+", "½"]
)


@given(st.sampled_from(sorted(LEGAL)) | TEXT, TEXT | NUMBERS | JSON_LIKE)
def test_any_value_for_any_name_is_taken_or_told(name: str, value: Any) -> None:
    try:
        taken = parse(name, value, Plan)
    except HomespunError as error:
        assert error.what and error.todo and len(str(error)) < 1000 + len(repr(value))
    else:
        kind, metadata = get_type_hints(Plan)[name], {part.name: part for part in fields(Plan)}[name].metadata
        assert isinstance(taken, get_origin(kind) or kind)
        if kind in (int, float):
            assert metadata.get("least", 0) <= taken <= metadata.get("most", math.inf)


@given(st.lists(TEXT | st.tuples(st.sampled_from(sorted(settable())), TEXT | NUMBERS).map("=".join), max_size=4))
def test_any_command_line_is_taken_or_told(pairs: list[str]) -> None:
    try:
        assert parse_settings(pairs).keys() <= settable().keys()
    except HomespunError as error:
        assert error.todo and error.exit_code == 2


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.binary(max_size=200) | TEXT.map(str.encode) | st.sampled_from([b"[[[", b"steps=1\nsteps=2"]))
def test_any_file_is_a_plan_or_told_to_be_none(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "plan.toml").write_bytes(content)
    with pytest.raises(HomespunError) as error:
        Plan.load(tmp_path / "plan.toml")
    assert error.value.todo


@pytest.mark.parametrize("content", ["a = " + "[" * 5000, "steps = " + "9" * 5000], ids=["deep", "long"])
def test_a_file_that_the_toml_reader_gives_up_on_is_told(tmp_path: Path, content: str) -> None:
    (tmp_path / "plan.toml").write_text(content)
    with pytest.raises(HomespunError):
        Plan.load(tmp_path / "plan.toml")


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(plans(), st.sampled_from(sorted(LEGAL)), JSON_LIKE)
def test_a_plan_with_one_wrong_value_is_taken_or_told(tmp_path: Path, plan: Plan, name: str, value: Any) -> None:
    import tomli_w

    table = {part.name: getattr(plan, part.name) for part in fields(Plan) if part.default is MISSING}
    try:
        content = tomli_w.dumps({**table, name: value})
    except (TypeError, ValueError):
        return  # TOML has no null
    (tmp_path / "plan.toml").write_text(content, encoding="utf-8", newline="")
    try:
        assert isinstance(Plan.load(tmp_path / "plan.toml"), Plan)
    except HomespunError as error:
        assert error.todo


SPEED = st.builds(Speed, *[st.floats(1e-18, 1e-3)] * 3)
FACTS = st.builds(
    Facts,
    train_tokens=COUNT,
    val_tokens=COUNT,
    vocab_size=st.integers(1, 2**20),
    device=st.sampled_from(["cpu", "cuda", "mps"]),
    dtype=st.sampled_from(["float32", "bfloat16"]),
    can_compile=st.booleans(),
    ngram_losses=st.just(()) | st.just((4.0, 3.0, 2.5)),
    static=st.floats(0.01, 10.0),
    cached=st.floats(0.01, 10.0),
    speed=st.none() | SPEED,
    compiled_speed=st.none() | SPEED,
)
SMALL = st.sampled_from([1, 2, 4, 8, 16, 64])  # numbers that go together
SETTINGS = st.sets(st.sampled_from(sorted(settable())), max_size=4).flatmap(
    lambda names: st.fixed_dictionaries(
        {name: SMALL | LEGAL[name] if get_type_hints(Plan)[name] is int else LEGAL[name] for name in names}
    )
)
TIME = st.one_of(
    st.fixed_dictionaries({}),
    st.fixed_dictionaries({"steps": st.integers(-1, 2**40)}),
    st.fixed_dictionaries({"minutes": st.floats(0.01, 1e6) | st.floats()}),
    st.just({"steps": 5, "minutes": 1.0}),
)


@st.composite
def wishes_of_anyone(draw: st.DrawFn) -> Wishes:
    return Wishes(
        text=("book.txt",),
        tokenizer="char",
        model=draw(st.sampled_from(list(TRAINED))),
        size=draw(st.sampled_from(["auto", *SIZES, "tiny"])),
        context_length=draw(st.none() | SMALL | st.integers(1, 2**23)),
        seed=draw(st.integers(0, 2**31 - 1)),
        settings=tuple(draw(SETTINGS).items()),
        **draw(TIME),
    )


WISHES = wishes_of_anyone()


@settings(suppress_health_check=[HealthCheck.too_slow])
@given(WISHES, FACTS)
def test_any_wishes_on_any_facts_give_a_plan_that_can_be_built_or_are_told(wishes: Wishes, facts: Facts) -> None:
    try:
        plan = decide(wishes, facts)
        config = plan.config(facts.vocab_size)
    except HomespunError as error:
        assert error.what and error.todo
        return
    assert isinstance(config, BigramConfig if wishes.model == "bigram" else GPTConfig)
    assert {name: getattr(plan, name) for name, _ in wishes.settings} == dict(wishes.settings)
    assert plan.model in TRAINED and plan.batch_size >= 1 and plan.context_length >= 1
    assert plan.steps > 0 or plan.minutes > 0


@given(WISHES, FACTS)
def test_the_same_wishes_on_the_same_facts_give_the_same_plan(wishes: Wishes, facts: Facts) -> None:
    def outcome() -> Plan | str:
        try:
            return decide(wishes, facts)
        except HomespunError as error:
            return str(error)

    assert outcome() == outcome()
