"""What a folder of runs says: the list, one run, its files as they grow, several side by side."""

from __future__ import annotations

import json
import os
import shutil
import threading
from pathlib import Path
from typing import Any

import pytest

from homespun.studio.reports import plan_report
from homespun.studio.run_list import RunList
from homespun.studio.run_summary import summary_of
from homespun.studio.schema.runs import RunSummary
from homespun.studio.tail import START, Position, read_tail
from homespun.studio.watching import id_of, positions_of, run_events
from homespun.training import lock
from homespun.training.progress_log import ProgressLog
from homespun.training.watcher import Progress, Watcher
from tests.studio.conftest import make_run, metrics_line
from tests.studio.running import RunningStudio

# ---- files that grow ----


def test_only_whole_lines_are_read_and_each_once(tmp_path: Path) -> None:
    path = tmp_path / "progress.jsonl"
    assert read_tail(path).lines == []
    path.write_bytes(b"one\ntw")
    first = read_tail(path)
    assert (first.lines, first.position.offset, first.reset) == ([b"one"], 4, False)
    assert read_tail(path, first.position).lines == []
    with path.open("ab") as file:
        file.write(b"o\nthree\n")
    second = read_tail(path, first.position)
    assert (second.lines, second.reset) == ([b"two", b"three"], False)
    assert read_tail(path, second.position).position == second.position


def test_a_file_that_is_written_anew_with_the_same_beginning_goes_on(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    path.write_bytes(b"one\ntwo\n")
    position = read_tail(path).position
    (tmp_path / "new").write_bytes(b"one\ntwo\nthree\n")
    (tmp_path / "new").replace(path)
    tail = read_tail(path, position)
    assert (tail.lines, tail.reset) == ([b"three"], False)


@pytest.mark.parametrize("content", [b"one\n", b"", b"one\nTWO\nthree\n", b"other\nlines\n"])
def test_a_file_that_was_cut_or_changed_is_read_from_its_beginning(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "metrics.jsonl"
    path.write_bytes(b"one\ntwo\n")
    position = read_tail(path).position
    path.write_bytes(content)
    tail = read_tail(path, position)
    assert (tail.lines, tail.reset) == (content.splitlines(), True)


def test_a_file_that_is_gone_is_another_one(tmp_path: Path) -> None:
    assert read_tail(tmp_path / "gone", Position(4, 7)).reset
    assert not read_tail(tmp_path / "gone").reset


def test_a_long_file_is_read_in_parts_and_a_long_line_whole(tmp_path: Path) -> None:
    path = tmp_path / "samples.jsonl"
    path.write_bytes(b"".join(b"%d\n" % number for number in range(1000)) + b"x" * 500 + b"\n")
    found, position = [], START
    while (tail := read_tail(path, position, most=100)).lines:
        found += tail.lines
        position = tail.position
    assert found == [b"%d" % number for number in range(1000)] + [b"x" * 500]


def test_what_an_event_id_says_comes_back_from_it() -> None:
    places = {"progress": Position(12, 3), "metrics": Position(0, 0), "samples": Position(5, 2**32 - 1)}
    assert positions_of(id_of(places)) == places  # type: ignore[arg-type, comparison-overlap]
    for nonsense in ("", "p-1-2", "x" * 10_000, "p99999999999999999999-1", "\n\n"):
        assert set(positions_of(nonsense).values()) == {START}


# ---- runs ----


def test_a_run_of_an_earlier_version_is_read(studio: RunningStudio) -> None:
    run = studio.run("runs/one")
    assert (run["state"], run["step"], run["steps"], run["text"]) == ("finished", 20, 20, "book.txt")
    assert (run["best_loss"], run["loss"]) == (3.05, 3.05) and run["has_model"] and not run["can_extend"]
    details = studio.get("/api/run", run="runs/one")
    assert {value["name"]: value["value"] for value in details["plan"]}["n_layer"] == 2
    assert details["forecast"] is None and details["shape"]["n_embd"] == 16
    assert details["files"]["plan.toml"] == len(details["plan_text"].encode())
    lines = studio.get("/api/run/lines", run="runs/one", file="metrics")
    assert [line["step"] for line in lines["metrics"]] == [0, 5, 10, 15, 20, 20]
    assert studio.get("/api/run/log", run="runs/one")["lines"] == []


PROGRESS = [
    ([], "planned"),
    ([{"type": "begin", "step": 0, "steps": 20}], "planned"),
    ([{"type": "begin", "step": 0}, {"type": "step", "step": 3}, {"type": "end", "how": "stopped"}], "stopped"),
    ([{"type": "begin", "step": 0}, {"type": "end", "how": "failed", "text": "No.\nDo this."}], "failed"),
    ([{"type": "begin", "step": 0}, {"type": "end", "how": "diverged", "text": "No."}], "diverged"),
    ([{"type": "end", "how": "stopped"}, {"type": "begin"}, {"type": "end", "how": "finished"}], "finished"),
]


@pytest.mark.parametrize(("lines", "state"), PROGRESS)
def test_the_state_is_what_the_last_process_said(tmp_path: Path, lines: list[dict[str, Any]], state: str) -> None:
    run = make_run(tmp_path / "run")
    (run / "metrics.jsonl").unlink()
    text = "".join(json.dumps({"time": 1.0, **line}) + "\n" for line in lines)
    (run / "progress.jsonl").write_text(text + "half a li")
    summary = summary_of(run, "run")
    assert summary.state == state
    assert (summary.problem is not None) == (state in ("failed", "diverged"))
    assert summary.can_resume == (state in ("planned", "stopped", "failed"))
    assert summary_of(run, "run", since=5.0).state == "preparing"


def test_damaged_files_say_less_and_break_nothing(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run")
    (run / "metrics.jsonl").write_bytes(
        b'no json\n{"step": "x"}\n' + metrics_line(5, 3.0).encode() + b"\xff\xfe\n"
    )
    (run / "forecast.json").write_text("[" * 100_000)
    (run / "config.json").write_text("{}")
    summary = summary_of(run, "run")
    assert (summary.step, summary.loss, summary.parameters, summary.expected_loss) == (5, 3.0, None, None)
    (run / "plan.toml").write_text("no plan")
    broken = summary_of(run, "run")
    assert broken.state == "failed" and "plan.toml" in (broken.problem or "")


def test_runs_are_found_where_they_lie_and_appear_and_vanish(tmp_path: Path) -> None:
    make_run(tmp_path / "runs" / "one")
    make_run(tmp_path / "deep" / "er" / "two")
    make_run(tmp_path / "node_modules" / "three")
    make_run(tmp_path / ".hidden" / "four")
    found = RunList(tmp_path)
    assert {run.run for run in found.all({}).runs} == {"runs/one", "deep/er/two"}
    shutil.copytree(tmp_path / "runs" / "one", tmp_path / "runs" / "five")
    assert "runs/five" in {run.run for run in found.all({}).runs}
    shutil.rmtree(tmp_path / "runs" / "one")
    assert {run.run for run in found.all({}).runs} == {"runs/five", "deep/er/two"}


def test_a_run_that_is_being_prepared_is_in_the_list_before_it_has_a_folder(tmp_path: Path) -> None:
    (run,) = RunList(tmp_path).all({"runs/new": 1.0}).runs
    assert (run.run, run.state, run.can_stop) == ("runs/new", "preparing", False)


def test_a_run_that_another_process_trains_shows_up_live(tmp_path: Path) -> None:
    """As of a terminal: this process holds the lock of the run, and writes its lines."""
    run = make_run(tmp_path / "runs" / "elsewhere")
    log = ProgressLog(run, Watcher())
    with lock.held(run), log.begun():
        log.begins_at(0, 20)
        log.stepped(Progress(20, 20, 99, 2.5, 0.01, 1000.0, 1.0, 3.0))
        (found,) = RunList(tmp_path).all({}).runs
        assert (found.state, found.process, found.can_stop) == ("training", os.getpid(), True)
        assert (found.step, found.train_loss, found.seconds_left) == (20, 2.5, 3.0)
        # A process that was killed leaves this file behind, and its number to another process.
        holder = run / "resume" / "holder.json"
        said = json.loads(holder.read_text())
        holder.write_text(json.dumps({**said, "began": said["began"] - 1000}))
        (found,) = RunList(tmp_path).all({}).runs
        assert (found.state, found.process, found.can_stop) == ("stopped", None, False)
        assert "killed" in (found.problem or "")


def test_a_plan_that_was_measured_beside_a_training_says_so(tmp_path: Path) -> None:
    report = plan_report(PRINTED, lines=["tokenizer char: why."], next_name="book", disturbed="beside it")
    assert report.disturbed == "beside it" and report.why[0] == "Tokenizer char: why."
    assert "a larger model (2.0 million parameters) is expected to end at 1.50" in report.why[1]
    assert {value.name: value.value for value in report.plan}["rescheduled"] == ((3, 9),)


def test_up_to_six_runs_are_compared(studio: RunningStudio) -> None:
    found = studio.get("/api/compare", run=["runs/one", "runs/two", "runs/one"])
    assert [one["run"] for one in found["runs"]] == ["runs/one", "runs/two"]
    assert found["runs"][0]["step"] == [0, 5, 10, 15, 20] and found["runs"][0]["final"] == 3.05
    assert found["same_text"] and found["same_tokenizer"] and found["runs"][0]["differs"] == {}
    studio.get("/api/compare", 400, run=["runs/one"] * 7)
    assert studio.get("/api/compare", 404, run=["runs/none"])["code"] == "run_not_found"


# ---- events ----

PLANNED = {
    **{"text": ["book.txt"], "tokenizer": "char", "model": "modern", "n_layer": 1, "n_head": 1, "n_kv_head": 1},
    **{"n_embd": 8, "n_inner": 8, "tied_head": False, "context_length": 8, "steps": 9, "batch_size": 1},
    **{"learning_rate": 0.1, "warmup_steps": 0, "rescheduled": [[3, 9]], "extended": [], "micro_batches": 1},
    **{"dropout": 0.0, "compile": False},
}
PRINTED = {
    **{"text": "book.txt", "train_tokens": 9, "val_tokens": 1, "vocab_size": 5, "parameters": 7, "plan": PLANNED},
    "forecast": {
        **{"loss": {"loss": 2.0, "low": 1.0, "high": 3.0}, "curve": [], "ngram_losses": [3.0, 2.0]},
        **{"uniform_loss": 4.0, "seconds": 60.0, "memory": 1000, "epochs": 8.0},
    },
    **{"planned_memory": 1000, "memory_free": 5000, "smaller": None, "epochs": 8.0, "notes": [], "findings": []},
    "larger": {"parameters": 2_000_000, "loss": 1.5},
}


async def collected(folder: Path, last: str | None, act: Any, count: int) -> list[tuple[str, dict[str, Any], str]]:
    """So many events, with `act` called before each is waited for."""
    found: list[tuple[str, dict[str, Any], str]] = []
    stream = run_events(folder, last, lambda: seen(folder), lambda: len(found) >= count)
    act(0)
    async for event in stream:
        if event.startswith(b":"):
            continue
        lines = dict(line.split(": ", 1) for line in event.decode().strip().splitlines())
        found.append((lines["event"], json.loads(lines["data"]), lines.get("id", "")))
        act(len(found))
        if len(found) >= count:
            break
    return found


def seen(folder: Path) -> RunSummary | None:
    return summary_of(folder, "run") if (folder / "plan.toml").exists() else None


def test_a_run_that_vanishes_and_comes_again_is_sent_anew(tmp_path: Path) -> None:
    import asyncio

    run = make_run(tmp_path / "run")

    def act(number: int) -> None:
        if number == 2:
            run.rename(tmp_path / "away")
        if number == 3:
            (tmp_path / "away").rename(run)

    names = [name for name, _, _ in asyncio.run(collected(run, None, act, 5))]
    assert names == ["lines", "state", "gone", "lines", "state"]


def test_a_file_that_was_written_anew_is_sent_with_a_reset(tmp_path: Path) -> None:
    import asyncio

    run = make_run(tmp_path / "run")

    def act(number: int) -> None:
        if number == 2:
            (run / "metrics.jsonl").write_text(metrics_line(0, 4.0) + metrics_line(5, 3.5))

    found = asyncio.run(collected(run, None, act, 3))
    again = found[2][1]["lines"]
    assert again["reset"] and [line["val_loss"] for line in again["metrics"]] == [4.0, 3.5]
    # Who has got all of it gets no line again.
    rest = asyncio.run(collected(run, found[2][2], lambda number: None, 1))
    assert [name for name, _, _ in rest] == ["state"]


def test_streams_end_with_the_studio(studio: RunningStudio) -> None:
    ended = threading.Event()

    def follow() -> None:
        for _ in studio.events("/api/events"):
            pass
        ended.set()

    first = studio.events("/api/events")
    assert [next(first)["event"] for _ in range(1)] == ["runs"]
    first.close()
    thread = threading.Thread(target=follow, daemon=True)
    thread.start()
    studio.process.server.is_stopping = True
    try:
        thread.join(60)
        assert ended.is_set()
    finally:
        studio.process.server.is_stopping = False
