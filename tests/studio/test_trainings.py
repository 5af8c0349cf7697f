"""Trainings that the studio starts, stops, resumes and extends: real processes, on a few thousand letters."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import psutil
import pytest

from homespun.training.lock import holder_of
from tests.studio.running import SMALL, RunningStudio, running, until

ASKED = {"text": {"kind": "path", "path": "book.txt"}, "context": 16, "settings": SMALL}


def planned(studio: RunningStudio, **asked: Any) -> Any:
    job = studio.job(studio.post("/api/act/plan", **{**ASKED, **asked})["job"])
    assert job["state"] == "done", job
    return job


def begun(studio: RunningStudio, run: str) -> Any:
    """The run, when it has made a step."""
    return until(lambda: found if (found := studio.run(run)) and found["step"] else None)


def test_a_training_is_planned_started_watched_stopped_resumed_and_extended(folder: Path) -> None:
    with running(folder) as studio:
        plan = planned(studio, steps=100_000)
        report = plan["plan"]
        assert report["next_name"] == "book" and report["parameters"] > 0 and report["disturbed"] is None
        assert report["forecast"]["curve"][-1]["loss"] == report["forecast"]["loss"]
        shown = {value["name"]: value["value"] for value in report["plan"]}
        assert (shown["n_layer"], shown["steps"]) == (1, 100_000)

        started = studio.post("/api/act/train", plan=plan["job"])
        assert started["run"] == "runs/book"
        assert studio.post("/api/act/train", 409, plan=plan["job"], name="other")["code"] == "busy"
        steps = 0
        stream = studio.events("/api/run/events", run="runs/book")
        for event in stream:  # from before there is a folder
            last = event.get("id")
            lines = (event["data"]["lines"] or {}).get("progress", [])
            steps = max([steps, *(line["step"] for line in lines if line["type"] == "step")])
            if steps > 20:
                break
        stream.close()
        own = {line["name"]: line["value"] for line in studio.get("/api/run", run="runs/book")["plan"]}
        assert own == shown
        assert studio.run("runs/book")["can_stop"]
        studio.post("/api/act/stop", run="runs/book")
        studio.post("/api/act/stop", run="runs/book")  # a second Ctrl-C would not let it save itself
        stopped = studio.in_state("runs/book", "stopped")
        assert stopped["can_resume"] and stopped["has_model"] and stopped["step"] > 20
        ended = studio.job(started["job"])
        assert ended["state"] == "done" and "interrupted" in " ".join(ended["lines"])

        # A tab that was away gets what it lacks.
        found = []
        for event in studio.events("/api/run/events", last=last, run="runs/book"):
            found.append(event)
            if event["event"] == "state":
                break
        came = [line for event in found for line in (event["data"]["lines"] or {}).get("progress", [])]
        assert min(line["step"] for line in came) >= steps and came[-1]["how"] == "stopped"

        plan_file = folder / "runs" / "book" / "plan.toml"
        plan_file.write_text(plan_file.read_text().replace("steps = 100000", f"steps = {stopped['step'] + 5}"))
        for point in (folder / "runs" / "book" / "resume").glob("*/point.json"):
            said = json.loads(point.read_text())
            said["plan"] = said["plan"].replace("steps = 100000", f"steps = {stopped['step'] + 5}")
            point.write_text(json.dumps(said))
        studio.post("/api/act/resume", run="runs/book")
        finished = studio.in_state("runs/book", "finished")
        assert finished["step"] == stopped["step"] + 5 and finished["can_extend"]
        assert studio.post("/api/act/resume", 409, run="runs/book")["code"] == "state"

        studio.post("/api/act/extend", run="runs/book", steps=5)
        extended = until(lambda: found if (found := studio.run("runs/book"))["step"] > finished["step"] else None)
        assert extended["steps"] == stopped["step"] + 10
        assert studio.in_state("runs/book", "finished")["step"] == stopped["step"] + 10


@pytest.mark.slow
def test_a_training_that_fails_before_it_begins_says_why(folder: Path) -> None:
    with running(folder) as studio:
        plan = planned(studio, steps=10)
        (folder / "book.txt").write_text("")
        started = studio.post("/api/act/train", plan=plan["job"], name="failed")
        job = studio.job(started["job"])
        assert job["state"] == "failed" and "book.txt" in job["problem"] and "error:" not in job["problem"]
        assert studio.run("runs/failed") is None
        refused = studio.job(studio.post("/api/act/plan", **ASKED)["job"])
        assert refused["state"] == "failed" and "empty" in refused["problem"]


TERMINAL = [sys.executable, "-m", "homespun", "train", "book.txt", "--out", "runs/terminal", "--steps", "100000"]
TERMINAL += ["--context", "16", *(f"--set={name}={value}" for name, value in SMALL.items())]


@pytest.mark.slow
def test_a_run_of_a_terminal_shows_up_and_can_be_stopped(folder: Path) -> None:
    with running(folder) as studio:
        process = subprocess.Popen(TERMINAL, cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            assert begun(studio, "runs/terminal")["process"] == process.pid
            assert not studio.get("/api/run", run="runs/terminal")["started_here"]
            studio.post("/api/act/stop", run="runs/terminal")
            assert studio.in_state("runs/terminal", "stopped")["can_resume"]
        finally:
            process.kill()
            process.wait()


@pytest.mark.slow
def test_a_run_that_was_killed_is_stopped_and_no_other_process_is_taken_for_it(folder: Path) -> None:
    with running(folder) as studio:
        process = subprocess.Popen(TERMINAL, cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        begun(studio, "runs/terminal")
        process.kill()
        process.wait()
        found = studio.in_state("runs/terminal", "stopped")
        assert "killed" in found["problem"] and not found["can_stop"]
        # The system gives the number to somebody else: here to the process of the tests.
        holder = folder / "runs" / "terminal" / "resume" / "holder.json"
        said = json.loads(holder.read_text())
        holder.write_text(json.dumps({**said, "process": os.getpid()}))
        asked_to_end: list[int] = []
        before = signal.signal(signal.SIGINT, lambda number, frame: asked_to_end.append(number))
        try:
            assert studio.post("/api/act/stop", 409, run="runs/terminal")["code"] == "state"
        finally:
            signal.signal(signal.SIGINT, before)
        assert not asked_to_end


@pytest.mark.slow
def test_a_training_outlives_a_studio_that_is_killed_and_the_next_one_finds_it(folder: Path) -> None:
    with running(folder) as studio:
        plan = planned(studio, steps=100_000)
    command = [sys.executable, "-m", "homespun", "studio", "--no-open", "--port", "0"]
    first = subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE, text=True)
    assert first.stdout is not None
    address, _, token = first.stdout.readline().strip().partition("/#token=")
    import httpx

    with httpx.Client(base_url=address, headers={"Authorization": f"Bearer {token}"}, timeout=600) as client:
        assert client.post("/api/act/train", json={"plan": plan["job"]}).status_code == 200
        until(lambda: holder_of(folder / "runs" / "book"))
    holder = holder_of(folder / "runs" / "book")
    assert holder is not None
    assert psutil.Process(holder.process).nice() == psutil.Process().nice()
    first.kill()
    first.wait()
    with running(folder) as studio:
        now = begun(studio, "runs/book")
        assert now["process"] == holder.process and studio.get("/api/run", run="runs/book")["started_here"]
        studio.post("/api/act/stop", run="runs/book")
        studio.in_state("runs/book", "stopped")


@pytest.mark.slow
def test_ctrl_c_ends_the_studio_with_tabs_open_and_leaves_the_training_alone(folder: Path) -> None:
    with running(folder) as studio:
        plan = planned(studio, steps=100_000)
    command = [sys.executable, "-m", "homespun", "studio", "--no-open", "--port", "0"]
    process = subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    address, _, token = process.stdout.readline().strip().partition("/#token=")
    import httpx

    with httpx.Client(base_url=address, headers={"Authorization": f"Bearer {token}"}, timeout=600) as client:
        client.post("/api/act/train", json={"plan": plan["job"]})
        holder = until(lambda: holder_of(folder / "runs" / "book"))
        with client.stream("GET", "/api/run/events", params={"run": "runs/book"}) as answer:
            next(answer.iter_lines())
            process.send_signal(signal.SIGINT)
            assert process.wait(60) in (0, 130)
    assert holder.is_alive()
    os.kill(holder.process, signal.SIGINT)
    until(lambda: None if holder.is_alive() else True)
