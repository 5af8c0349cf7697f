"""A round that was not reached says so and why, and no number is computed from it."""

from __future__ import annotations

import doctest
import importlib
import math
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from benchmarks import commands, page, time_to_loss
from benchmarks.commands import Finished, seconds_to_first_step, train
from benchmarks.minutes import BENCHMARK as MINUTES
from benchmarks.pairs import Benchmark, Outcome, Row, Work, alternate
from benchmarks.plan_against_outcome import FORETOLD, compared, judged, section
from benchmarks.rounds import Failed, NotReached, each
from benchmarks.worker import Worker
from tests.benchmarks.conftest import Ran

MODULES = ("rounds", "pairs", "page", "sides", "growth", "generation_chart", "time_to_loss")


@pytest.mark.parametrize("name", MODULES)
def test_the_worked_examples_are_right(name: str) -> None:
    found = doctest.testmod(importlib.import_module(f"benchmarks.{name}"))
    assert found.attempted and not found.failed


def one_row(measure: Callable[[Work], Outcome], *, better: str = "more", must: float | None = None) -> Benchmark:
    return Benchmark("throughput", "", measure, (Row("throughput", "the row", "times", better, must=must),))


# --- time to a loss --------------------------------------------------------------------------------------------


@pytest.fixture
def ends_at(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Runs that are not run: each side's last evaluation, and the seconds that it came at."""

    def set_ends(**ends: tuple[float, float | None]) -> None:
        def trained(arguments: list[str], *, out: Path, environment: object) -> Finished:
            seconds, loss = ends.get(out.name.partition("-")[0], (1.0, 4.0))
            records = [{"step": 0, "seconds": 1.0, "val_loss": 4.2}]
            return Finished({}, [*records, {"step": 9, "seconds": seconds, "val_loss": loss}], 0.0, 0)

        monkeypatch.setattr(time_to_loss, "train", trained)
        monkeypatch.setattr(time_to_loss, "shakespeare", lambda folder, smoke: "shakespeare")

    return set_ends


@pytest.mark.parametrize("loss", [2.01, math.nan, None])
def test_where_our_side_never_reached_the_loss_there_is_no_ratio(
    ran: Ran, ends_at: Callable[..., None], loss: float | None
) -> None:
    ends_at(ours=(9.0, loss), plain=(214.0, 1.88))
    result, said, text = ran(time_to_loss.BENCHMARK, "--rounds", "2")
    row = result["rows"]["sooner"]
    assert row["median"] is row["at_least"] is result["ratio"]["median"] is None and row["values"] == [None, None]
    assert "ours ended at" in row["not_reached"][0]["why"]
    assert "for a CPU: not reached (not reached in 2 of 2 rounds: ours ended at" in said
    assert "| not reached<br>not reached in 2 of 2 rounds: ours ended at" in text
    assert "times" not in said.replace("8 times", "").replace("15 times", "")
    assert result["sides"]["plain"]["median"] == 214.0


def test_where_the_other_side_never_reached_it_the_ratio_is_a_bound_and_named_one(
    ran: Ran, ends_at: Callable[..., None]
) -> None:
    ends_at(ours=(8.0, 1.87), plain=(72.0, 1.94))
    result, said, text = ran(time_to_loss.BENCHMARK, "--rounds", "1")
    assert result["rows"]["sooner"]["median"] is None and result["rows"]["sooner"]["at_least"] == 9.0
    assert "at least 9 times (not reached in 1 of 1 rounds: plain ended at a loss of 1.9400" in said
    assert "| at least 9 times<br>not reached in 1 of 1 rounds: plain" in text
    assert "- plain: at least 72 s (not reached in 1 of 1 rounds)" in text


def test_where_both_reached_it_the_ratio_is_the_pairs(ran: Ran, ends_at: Callable[..., None]) -> None:
    ends_at(ours=(8.0, 1.87), plain=(72.0, 1.88))
    result, said, _ = ran(time_to_loss.BENCHMARK, "--rounds", "2")
    assert result["rows"]["sooner"] == {"median": 9.0, "low": 9.0, "high": 9.0, "values": [9.0, 9.0]}
    assert "not reached" not in said


# --- sides that fail -------------------------------------------------------------------------------------------


def test_a_side_that_fails_is_its_round_and_the_others_stay(ran: Ran) -> None:
    ours = iter([6.0, Failed("ours ended with 1"), 8.0])

    def side() -> float:
        found = next(ours)
        if isinstance(found, Failed):
            raise found
        return found

    def measure(work: Work) -> Outcome:
        mine, other = alternate(3, side, lambda: 2.0)
        return Outcome({"throughput": mine}, {"ours": mine, "plain": other}, "s")

    result, said, text = ran(one_row(measure))
    assert result["rows"]["throughput"]["values"] == [6.0, None, 8.0]
    assert result["sides"]["plain"]["values"] == [2.0, 2.0, 2.0]
    assert "the row: not reached (not reached in 1 of 3 rounds: ours ended with 1" in said
    assert "not reached in round 2: ours ended with 1" in said and "not reached in round 2" in text


def test_what_is_no_number_is_not_reached_and_the_rest_is_written(ran: Ran) -> None:
    def measure(work: Work) -> Outcome:
        values: list[Any] = [math.nan, 2.0]
        return Outcome({"throughput": values}, {"ours": values}, "s", details={"losses": [1.5, math.inf]})

    result, said, _ = ran(one_row(measure))
    assert result["rows"]["throughput"]["values"] == [None, 2.0] and result["details"]["losses"] == [1.5, None]
    assert "not reached in 1 of 2 rounds: it came to nan" in said


@pytest.mark.parametrize(("better", "is_short"), [("more", False), ("less", True)])
def test_a_bound_misses_a_goal_only_where_that_is_known(ran: Ran, better: str, is_short: bool) -> None:
    bound: list[Any] = [NotReached("cut off", at_least=3.0)]
    benchmark = one_row(
        lambda work: Outcome({"throughput": bound}), better=better, must=4.0 if not is_short else 2.0
    )
    found = ran(benchmark)[0]["rows"]["throughput"]
    assert page.falls_short(benchmark.rows[0], found) is is_short


ANSWERS = "import sys; print('{\"seconds\": 1}', flush=True); sys.stdin.read(); sys.exit(%d)"


def test_a_child_that_ends_with_something_else_than_0_has_failed() -> None:
    with Worker([sys.executable, "-c", ANSWERS % 0], "ours") as worker:
        assert worker.answer() == {"seconds": 1}
    with (
        pytest.raises(Failed, match="ours ended with 3"),
        Worker([sys.executable, "-c", ANSWERS % 3], "ours") as worker,
    ):
        worker.answer()


def test_a_child_that_dies_half_way_fails_every_round_after_that_and_no_other_side() -> None:
    with Worker([sys.executable, "-c", "raise SystemExit(3)"], "ours") as worker:
        worker.process.wait()
        ours, plain = alternate(2, lambda: worker.ask("steps 1")["seconds"], lambda: 2.0)
    assert ours == [NotReached("ours ended with 3")] * 2 and plain == [2.0, 2.0]


@pytest.fixture
def command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """A shell script in the place of the Python that `homespun` would be started with."""

    def write(script: str) -> None:
        path = tmp_path / "python"
        path.write_text(f"#!/bin/sh\n{script}\n", encoding="utf-8")
        path.chmod(0o755)
        monkeypatch.setattr(commands.sys, "executable", str(path))

    return write


@pytest.mark.parametrize(("code", "is_right"), [(0, True), (130, True), (1, False)])
def test_a_first_step_counts_where_the_run_then_ends_as_it_should(
    command: Callable[[str], None], tmp_path: Path, code: int, is_right: bool
) -> None:
    command(f"trap '' INT; echo '{commands.FIRST_STEP}' >&2; exit {code}")
    if is_right:
        assert seconds_to_first_step([], out=tmp_path / "run", environment={}) > 0
    else:
        with pytest.raises(Failed, match="ended with 1"):
            seconds_to_first_step([], out=tmp_path / "run", environment={})


def test_a_run_whose_loss_is_no_number_has_failed(command: Callable[[str], None], tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "metrics.jsonl").touch()
    command("""echo '{"val_loss": null}'""")
    with pytest.raises(Failed, match="homespun train: the loss is no finite number"):
        train([], out=tmp_path / "run", environment={})
    command("echo all is lost >&2; exit 1")
    with pytest.raises(Failed, match=r"(?s)homespun train ended with 1.*all is lost") as caught:
        train([], out=tmp_path / "run", environment={})
    assert caught.value.why == "homespun train ended with 1"


def test_a_run_that_fails_leaves_the_other_runs_their_rows(
    ran: Ran, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def trained(arguments: list[str], *, out: Path, environment: object) -> Finished:
        if out.name == "3-minutes-1":
            raise Failed("homespun train ended with 1", "all is lost")
        minutes = float(arguments[arguments.index("--minutes") + 1])
        return Finished({"val_loss": 1.5}, [], 60 * minutes, 0)

    monkeypatch.setattr("benchmarks.minutes.train", trained)
    monkeypatch.setattr("benchmarks.minutes.warm_up", lambda *_, **__: None)
    monkeypatch.setattr("benchmarks.minutes.shakespeare", lambda folder, smoke: "shakespeare")
    result, _, text = ran(MINUTES, "--rounds", "2")
    assert result["rows"]["1 minute"]["median"] == result["rows"]["3 minutes, cold"]["median"] == 1.5
    assert result["rows"]["3 minutes"]["median"] is result["rows"]["time"]["median"] is None
    assert "| not reached<br>not reached in 1 of 2 rounds: homespun train ended with 1, machine 1 |" in text


# --- benchmarks with tables of their own -----------------------------------------------------------------------


def test_of_a_plan_whose_run_failed_the_others_are_a_bound() -> None:
    told = dict.fromkeys(FORETOLD, 10.0) | {"expected_loss_low": 1.0, "peak_memory": 11.0, "val_loss": 2.0}
    runs = [
        compared("plays", 1.0, Finished(told, [], 12.0, 0)),
        compared("plays", 2.0, NotReached("homespun train ended with 1")),
    ]
    outcome = judged(runs)
    assert each(outcome.values["time"], lambda value: value) == [
        NotReached("plays, 2 min: homespun train ended with 1", at_least=pytest.approx(0.2))  # type: ignore[arg-type]
    ]
    assert outcome.values["loss"] == [NotReached("plays, 2 min: homespun train ended with 1", at_least=0.5)]
    assert "| plays | 2 | not reached: homespun train ended with 1 |" in section({"details": {"outcomes": runs}})


def test_a_curve_with_a_point_missing_has_no_exponent() -> None:
    from benchmarks.growth import exponent, say, section

    points = [say("layers", 1, 1, [0.1], [0.2]), say("layers", 2, 2, [NotReached("ours ended with 1")], [0.4])]
    assert exponent(points, "ours") is None
    text = section({"details": {"points": {"layers": points}, "exponents": {"layers": {}}}})
    assert "| layers | not reached |" in text and "layers 2 was not reached: ours ended with 1" in text


def test_a_chart_says_which_of_its_points_were_not_reached() -> None:
    from benchmarks.generation_chart import point_of, section

    points = [point_of(1, 64, [10.0], [2.0]), point_of(1, 128, [10.0], [NotReached("transformers wrote nothing")])]
    text = section({"details": {"points": points}})
    assert "| 1 | 10 (5.0) | not reached |" in text and "1 texts, 128 tokens: transformers wrote nothing" in text


def test_rows_that_name_minutes_and_method_are_of_those(ran: Ran, monkeypatch: pytest.MonkeyPatch) -> None:
    from benchmarks import finetune_code

    found = {"before": 1.0, "after": 0.9, "peak_memory": 2**30}
    monkeypatch.setattr(finetune_code, "divided", lambda folder: (folder, folder))
    monkeypatch.setattr(finetune_code, "one_round", lambda *_: found)
    assert ran(finetune_code.BENCHMARK)[0]["rows"]["finetune_code"]["median"] == 0.1
    result, _, _ = ran(finetune_code.BENCHMARK, "--minutes", "1")
    assert result["rows"] == {} and result["sides"]["after"]["median"] == 0.9
