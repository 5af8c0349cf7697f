from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from homespun.dataset.preparation import Dataset
from homespun.errors import CheckpointError, HomespunError, UnknownSetting, UsageError
from homespun.planning.base_plan import NOT_YET
from homespun.planning.cost import Speed
from homespun.planning.evaluations import EVALUATIONS, SHARE_OF_EVALUATIONS, TRAINING_COST, final_eval_tokens
from homespun.planning.facts import Facts
from homespun.planning.plan import Plan, parse_settings, settable
from homespun.planning.planner import Wishes, decide, wants_kernels, weighs_compiling
from tests.training.conftest import small_plan

SHAKESPEARE = Facts(train_tokens=1_003_854, val_tokens=111_540, vocab_size=65, dtype="bfloat16")
LAPTOP = Speed(product=2e-12, number=3e-9, start=1e-3)  # some 300 GFLOP/s where matrices are large


def wishes(**what: object) -> Wishes:
    return Wishes(**{"text": ("shakespeare",), "tokenizer": "char", **what})  # type: ignore[arg-type]


def test_a_plan_comes_back_from_its_file_as_it_was(tmp_path: Path, dataset: Dataset) -> None:
    plan = small_plan(dataset, learning_rate=1.5e-3, seed=7)
    plan.save(tmp_path / "plan.toml")
    assert Plan.load(tmp_path / "plan.toml") == plan


OLD_NAMES = {"eval_tokens": "look_tokens", "lr_backoff_from": "calm_from", "rescheduled": "retimed"}


def in_format_1(toml: str) -> str:
    """A plan as the first version wrote it: without a format, and with three names that have changed since."""
    lines = [line for line in toml.splitlines() if not line.startswith("format = ")]
    for now, old in OLD_NAMES.items():
        lines = [line.replace(f"{now} = ", f"{old} = ") for line in lines]
    return "\n".join(lines)


def test_a_plan_of_the_first_format_is_read(dataset: Dataset) -> None:
    plan = small_plan(dataset).with_(eval_tokens=640, lr_backoff_from=3, rescheduled=((2, 40),))
    old = in_format_1(plan.toml())
    assert "look_tokens = 640" in old and "calm_from = 3" in old and "retimed = " in old and "format" not in old
    assert Plan.parse(old, "plan.toml") == plan


def test_a_plan_of_a_later_format_names_what_reads_it(dataset: Dataset) -> None:
    later = small_plan(dataset).toml().replace("format = 2", "format = 3")
    with pytest.raises(CheckpointError, match="format 3; this version of homespun reads formats up to 2"):
        Plan.parse(later, "plan.toml")


def test_every_number_in_the_file_has_its_help_above_it(dataset: Dataset) -> None:
    lines = small_plan(dataset).toml().splitlines()
    for name, about in settable().items():
        number = next(i for i, line in enumerate(lines) if line.startswith(f"{name} = "))
        assert lines[number - 1] == f"# {about}"


def test_settings_take_the_names_that_the_readme_promises() -> None:
    promised = (
        "n_layer n_head n_kv_head n_embd n_inner context_length batch_size "
        "learning_rate weight_decay warmup_steps seed dtype compile"
    )
    assert set(promised.split()) <= set(settable())


def test_settings_are_what_they_say() -> None:
    given = ["n_layer=3", "learning_rate=2e-3", "compile=yes", "dtype=float32", "n_layer=5"]
    assert parse_settings(given) == {"n_layer": 5, "learning_rate": 0.002, "compile": True, "dtype": "float32"}
    assert parse_settings({"n_layer": 3, "compile": False}) == {"n_layer": 3, "compile": False}


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ("n_layers=4", "There is no setting 'n_layers'.\nDid you mean n_layer"),
        ("n_layer", "--set n_layer has no value.\nIt is written KEY=VALUE, such as --set n_layer=4."),
        ("n_layer=four", "n_layer = 'four' is not a whole number.\nn_layer: transformer blocks."),
        ("n_layer=4.5", "n_layer = '4.5' is not a whole number."),
        ("n_layer=0", "n_layer = 0 is out of range: it is at least 1."),
        ("dropout=1", "dropout = 1 is out of range: it is from 0 to 0.95."),
        ("learning_rate=nan", "learning_rate = nan is out of range: it is at least 0."),
        ("compile=maybe", "compile = 'maybe' is neither yes nor no."),
        ("text=other.txt", "There is no setting 'text'."),
    ],
)
def test_a_setting_that_is_wrong_is_told_what_would_be_right(given: str, says: str) -> None:
    with pytest.raises(UnknownSetting) as error:
        parse_settings([given])
    assert str(error.value).startswith(says)
    assert error.value.exit_code == 2


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ("n_layer = ", "cannot be read as a plan"),
        ("n_layer = 4\n", "is not a whole plan. Missing: text, tokenizer, model"),
        ('n_layer = "x"\n', "n_layer = 'x' is not a whole number."),
        ("n_layers = 4\n", "A plan has no 'n_layers'.\nDid you mean n_layer?"),
        ("text = 5\n", "text = 5 is not a list of texts."),
    ],
)
def test_a_file_that_is_no_plan_says_why(tmp_path: Path, content: str, says: str) -> None:
    path = tmp_path / "plan.toml"
    path.write_text(content)
    with pytest.raises(HomespunError) as error:
        Plan.load(path)
    assert says in str(error.value)


def test_a_plan_that_is_not_there_says_where_plans_are(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="There is no plan"):
        Plan.load(tmp_path / "plan.toml")


def test_nano_is_the_shape_of_the_recipe_for_a_cpu() -> None:
    plan = decide(wishes(model="gpt2", size="nano", steps=2000), SHAKESPEARE)
    assert (plan.n_layer, plan.n_head, plan.n_embd, plan.context_length, plan.batch_size) == (4, 4, 128, 64, 12)
    assert plan.n_inner == 512 and plan.tied_head


def test_the_lecture_is_trained_as_in_the_lecture() -> None:
    plan = decide(wishes(model="lecture", steps=5000), SHAKESPEARE)
    assert (plan.optimizer, plan.learning_rate, plan.warmup_steps, plan.decay) == ("adamw", 1e-3, 0, 0.0)


def test_settings_win_over_everything() -> None:
    given = {
        "n_embd": 64,
        "n_head": 2,
        "learning_rate": 0.5,
        "warmup_steps": 3,
        "compile": True,
        "evaluate_every": 9,
    }
    plan = decide(wishes(size="mini", steps=100, settings=tuple(given.items())), SHAKESPEARE)
    assert {name: getattr(plan, name) for name in given} == given


def test_context_length_as_a_setting_and_as_an_option_are_the_same() -> None:
    by_option = decide(wishes(steps=10, context_length=48), SHAKESPEARE)
    by_setting = decide(wishes(steps=10, settings=(("context_length", 48),)), SHAKESPEARE)
    assert by_option == by_setting and by_option.context_length == 48


@pytest.mark.parametrize(
    ("wish", "says"),
    [
        ({"steps": 5, "minutes": 1.0}, "--steps and --minutes both say how long to train."),
        ({"size": "tiny"}, "There is no size 'tiny'.\nThe sizes are: auto, nano, micro"),
        ({"minutes": 0.0}, "--minutes 0 is no time to train in."),
        ({"minutes": float("nan")}, "--minutes nan is no time to train in."),
        ({"steps": 0}, "--steps 0 trains nothing."),
    ],
)
def test_wishes_that_make_no_sense_are_told_so(wish: dict[str, object], says: str) -> None:
    with pytest.raises(UsageError) as error:
        decide(wishes(**wish), SHAKESPEARE)
    assert str(error.value).startswith(says)


def test_looks_on_the_way_take_little_of_the_time() -> None:
    for steps in (500, 2_000, 50_000):
        plan = decide(wishes(size="nano", steps=steps), SHAKESPEARE)
        tokens = plan.eval_tokens or SHAKESPEARE.val_tokens
        assert EVALUATIONS * tokens / TRAINING_COST <= max(
            EVALUATIONS * 8192 / 3, SHARE_OF_EVALUATIONS * steps * plan.tokens_per_step
        )


def test_compiling_is_planned_only_where_training_takes_long_enough_to_gain_by_it() -> None:
    facts = Facts(10**6, 10**5, 65, can_compile=True, speed=LAPTOP, compiled_speed=LAPTOP.times(0.5))
    assert not decide(wishes(size="nano", steps=50), facts).compile
    assert decide(wishes(size="nano", steps=50_000), facts).compile
    assert decide(wishes(minutes=5.0), facts).compile
    assert not decide(wishes(minutes=0.5), facts).compile
    assert not decide(wishes(minutes=5.0), Facts(10**6, 10**5, 65, speed=LAPTOP)).compile


@pytest.mark.parametrize("compile_from", [7, NOT_YET])
def test_what_the_run_itself_changes_in_a_plan_comes_back_from_its_file(
    compile_from: int, tmp_path: Path, dataset: Dataset
) -> None:
    plan = small_plan(dataset).with_(rescheduled=((5, 30), (9, 44)), extended=(20,), minutes=2.5)
    plan = plan.with_(compile_from=compile_from)
    plan.save(tmp_path / "plan.toml")
    assert Plan.load(tmp_path / "plan.toml") == plan


@pytest.mark.parametrize("value", ["[[5]]", "[5]", "[[9, 5]]", "[[5, 9], [4, 9]]", '[["5", 9]]', "[[0, 9]]", "7"])
def test_ends_that_no_run_ever_had_are_refused(tmp_path: Path, dataset: Dataset, value: str) -> None:
    text = small_plan(dataset).toml().replace("rescheduled = []", f"rescheduled = {value}")
    (tmp_path / "plan.toml").write_text(text)
    with pytest.raises(UnknownSetting, match=r"rescheduled = .* is not a list of pairs of steps"):
        Plan.load(tmp_path / "plan.toml")


def test_an_extended_run_climbs_and_falls_once_more(dataset: Dataset) -> None:
    plan = small_plan(dataset, steps=100, warmup_steps=10).with_(steps=180, extended=(100,))
    shares = [plan.learning_rate_share(step) for step in range(180)]
    alone = small_plan(dataset, steps=100, warmup_steps=10)
    assert shares[:100] == [alone.learning_rate_share(step) for step in range(100)]
    assert shares[99] < 0.02 and max(shares[100:]) > 0.8 and shares[179] < 0.02
    assert shares[100] == pytest.approx(0.1)  # the climb begins anew


def test_short_runs_and_narrow_models_take_longer_steps_within_limits() -> None:
    def rate(**what: object) -> float:
        settings = tuple({"n_layer": 4, "n_head": 2, "n_embd": 128, "steps": 500, **what}.items())
        return decide(wishes(settings=settings), SHAKESPEARE).learning_rate

    assert rate(n_embd=64) > rate() > rate(n_embd=192) > rate(n_embd=192, steps=2000)
    assert rate(steps=100) > rate() > rate(steps=1000)
    assert rate(n_embd=1024, steps=100_000) == 3e-3 and rate(n_embd=16, steps=1) == 1.5e-2
    assert rate(optimizer="adamw", steps=10) == rate(optimizer="adamw") == 2e-3
    assert rate(learning_rate=1e-4) == 1e-4


def test_what_compiling_brings_is_only_worth_knowing_where_there_is_time_for_it() -> None:
    assert weighs_compiling(wishes(minutes=3.0)) and weighs_compiling(wishes())
    assert not weighs_compiling(wishes(minutes=0.3)) and not weighs_compiling(wishes(steps=10_000))
    assert weighs_compiling(wishes(steps=10, settings=(("compile", True),)))
    assert not weighs_compiling(wishes(minutes=30.0, settings=(("compile", False),)))


def test_the_more_often_a_text_is_read_the_harder_the_weights_are_pulled_to_zero() -> None:
    def pull(readings: float, **what: object) -> float:
        settings = {"n_layer": 2, "n_head": 2, "n_embd": 64, "context_length": 64, "batch_size": 16, **what}
        settings["steps"] = round(readings * SHAKESPEARE.train_tokens / (64 * 16))
        return decide(wishes(settings=tuple(settings.items())), SHAKESPEARE).weight_decay

    assert pull(1) == pull(1, dropout=0.2) == 0.1
    assert 0.1 < pull(5) < pull(5, dropout=0.2)
    assert pull(5, optimizer="adamw") == 0.1


def test_a_short_run_reads_all_of_the_validation_text_at_its_end_where_every_look_does() -> None:
    def closing(eval_tokens: int) -> int:
        settings = (("eval_tokens", eval_tokens), ("batch_size", 16), ("context_length", 64))
        return final_eval_tokens(decide(wishes(steps=10, settings=settings), SHAKESPEARE), SHAKESPEARE.val_tokens)

    assert closing(0) == SHAKESPEARE.val_tokens > closing(4096)


def test_native_kernels_are_planned_where_they_are_there_and_nothing_is_compiled() -> None:
    facts = replace(SHAKESPEARE, dtype="float32", speed=LAPTOP, kernels=True)
    plan = decide(wishes(minutes=3.0), facts)
    assert plan.kernels and not plan.compile
    assert not decide(wishes(minutes=3.0), replace(facts, kernels=False)).kernels
    compiled = decide(wishes(minutes=3.0, settings=(("compile", True),)), replace(facts, can_compile=True))
    assert compiled.compile and not compiled.kernels


@pytest.mark.parametrize(
    ("settings", "wanted"),
    [((), True), ((("compile", True),), False), ((("compile", False),), True), ((("kernels", False),), False)],
)
def test_a_compiled_step_on_request_has_no_native_kernels(settings: object, wanted: bool) -> None:
    assert wants_kernels(wishes(settings=settings)) is wanted
