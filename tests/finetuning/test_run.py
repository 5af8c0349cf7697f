"""A fine-tuning from its beginning to its end: the folder, the promises of training, and what is refused."""

from __future__ import annotations

import json
import math
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

import homespun
from homespun.api.finetune import tune
from homespun.checkpoint.adapter import ADAPTER_WEIGHTS
from homespun.checkpoint.folder import load_model, save_model
from homespun.checkpoint.tensors import read_tensors
from homespun.errors import CheckpointError, NotEnoughText, TextError, UsageError
from homespun.interop.open import open_model
from homespun.planning.tuning_plan import TuningPlan
from homespun.training.watcher import Progress, Watcher
from tests.finetuning.conftest import LINES, tiny_model

Make = Callable[..., Path]
SETTINGS = {"batch_size": 4, "context_length": 16, "rank": 4, "evaluate_every": 5, "learning_rate": 5e-3}
SAME = ("plan.toml", "adapter_config.json", ADAPTER_WEIGHTS, "tokenizer.json")


def tuned(model: Path, text: Path, out: Path, **asked: Any) -> Any:
    settings = {**SETTINGS, **asked.pop("settings", {})}
    if asked.get("method") == "full":
        del settings["rank"]
    asked.setdefault("steps", 20)
    return tune(model, text, out=out, settings=settings, watcher=asked.pop("watcher", Watcher()), **asked)


class Impatient(Watcher):
    """Presses Ctrl-C after so many steps."""

    def __init__(self, step: int) -> None:
        self.step = step

    def stepped(self, progress: Progress) -> None:
        if progress.step == self.step:
            os.kill(os.getpid(), signal.SIGINT)


def losses_of(run: Path) -> list[tuple[int, float, float]]:
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    return [(line["step"], line["train_loss"], line["val_loss"]) for line in lines]


def assert_same_run(one: Path, other: Path, names: tuple[str, ...] = SAME) -> None:
    for name in names:
        assert (one / name).read_bytes() == (other / name).read_bytes(), name
    assert losses_of(one) == losses_of(other)


@pytest.mark.parametrize("family", ["modern", "llama", "qwen2", "gpt2"])
def test_a_run_learns_and_its_folder_opens_as_a_model(family: str, base: Make, book: Path, tmp_path: Path) -> None:
    folder = base(family)
    result = tuned(folder, book, tmp_path / "run", steps=40)
    assert result.val_loss < result.val_loss_before - 0.05
    assert result.bits_per_byte < result.bits_per_byte_before
    assert {path.name for path in (tmp_path / "run").iterdir()} == {
        "adapter_config.json",
        "generation_config.json",
        ADAPTER_WEIGHTS,
        "tokenizer.json",
        "tokenizer_config.json",
        "README.md",
        "plan.toml",
        "metrics.jsonl",
        "progress.jsonl",
        "samples.jsonl",
        "forecast.json",
        "curve.png",
        "resume",
    }
    model, tokenizer, _ = open_model(tmp_path / "run")
    plain, _, _ = open_model(folder)
    assert not torch.equal(model.blocks[0].attention.query.weight, plain.blocks[0].attention.query.weight)
    assert torch.equal(model.token_embedding.weight, plain.token_embedding.weight)
    measured = homespun.LanguageModel(model, tokenizer, tmp_path).evaluate(book).loss
    assert measured < homespun.LanguageModel(plain, tokenizer, tmp_path).evaluate(book).loss


def test_full_leaves_a_whole_model(base: Make, book: Path, tmp_path: Path) -> None:
    result = tuned(base("modern"), book, tmp_path / "run", method="full")
    assert result.val_loss < result.val_loss_before
    model, _ = load_model(tmp_path / "run")
    assert (tmp_path / "run" / "config.json").exists() and not (tmp_path / "run" / ADAPTER_WEIGHTS).exists()
    plain, _ = load_model(base("modern"))
    assert not torch.equal(model.token_embedding.weight, plain.token_embedding.weight)


@pytest.mark.parametrize("family", ["lecture", "bigram"])
def test_a_model_without_a_counterpart_elsewhere_is_trained_in_full(
    family: str, base: Make, book: Path, tmp_path: Path
) -> None:
    said: list[str] = []

    class Listener(Watcher):
        def note(self, line: str) -> None:
            said.append(line)

    settings = {name: value for name, value in SETTINGS.items() if name != "rank"} | {"learning_rate": 1e-2}
    result = tune(base(family), book, steps=10, out=tmp_path / "run", settings=settings, watcher=Listener())
    assert result.method == "full" and result.val_loss < result.val_loss_before
    assert any("the whole model is trained" in line for line in said)
    with pytest.raises(UsageError, match="--lora does not work here"):
        tune(base(family), book, steps=10, out=tmp_path / "other", method="lora")


def test_the_base_is_left_as_it_was(base: Make, book: Path, tmp_path: Path) -> None:
    folder = base("llama")
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    tuned(folder, book, tmp_path / "run")
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before


@pytest.mark.parametrize("method", ["lora", "full"])
def test_resume_continues_to_the_bit(method: str, base: Make, book: Path, tmp_path: Path) -> None:
    folder = base("llama")
    names = SAME if method == "lora" else ("plan.toml", "config.json", "model.safetensors")
    whole = tuned(folder, book, tmp_path / "whole", method=method)
    for step in (1, 5, 12, 19):
        out = tmp_path / f"stopped-{step}"
        stopped = tuned(folder, book, out, method=method, watcher=Impatient(step))
        assert stopped.interrupted and stopped.steps == step
        torch.rand(3)
        again = tune(None, out=out, resume=True, watcher=Watcher())
        assert not again.interrupted
        assert_same_run(tmp_path / "whole", out, names)
        assert (again.val_loss, again.val_loss_before) == (whole.val_loss, whole.val_loss_before)


# It is killed when its third point is written, however long that takes.
KILLED = """
import os, signal, sys
from homespun.cli import main
from homespun.training import run
write_point, written = run.write_point, []
def write_and_die(*arguments):
    write_point(*arguments)
    written.append(arguments)
    if len(written) == 3:
        os.kill(os.getpid(), signal.SIGKILL)
run.write_point = write_and_die
run.Rhythm.is_due = lambda rhythm: True  # however long writing takes
sys.exit(main(sys.argv[1:]))
"""


def test_a_run_that_is_killed_goes_on_to_the_bit(base: Make, book: Path, tmp_path: Path) -> None:
    folder = base("llama")
    tuned(folder, book, tmp_path / "whole", steps=60)
    settings = [word for name, value in SETTINGS.items() for word in ("--set", f"{name}={value}")]
    command = [sys.executable, "-c", KILLED, "finetune", str(folder), str(book), "--steps", "60"]
    out = tmp_path / "killed"
    done = subprocess.run(
        [*command, *settings, "--out", str(out), "--json"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    assert done.returncode == -signal.SIGKILL
    assert not (out / "README.md").exists(), "it had come to its end before it was killed"
    tune(None, out=out, resume=True, watcher=Watcher())
    assert_same_run(tmp_path / "whole", out)


def test_a_plan_is_replayed_to_the_bit(base: Make, book: Path, tmp_path: Path) -> None:
    tuned(base("llama"), book, tmp_path / "one", settings={"batch_size": 6, "micro_batches": 3})
    tune(None, plan=tmp_path / "one" / "plan.toml", out=tmp_path / "two", watcher=Watcher())
    assert_same_run(tmp_path / "one", tmp_path / "two")


def test_computing_blocks_twice_changes_no_bit(base: Make, book: Path, tmp_path: Path) -> None:
    folder = base("llama")
    tuned(folder, book, tmp_path / "one", steps=6)
    tuned(folder, book, tmp_path / "two", steps=6, settings={"recompute": True})
    one, two = (read_tensors(tmp_path / name / ADAPTER_WEIGHTS) for name in ("one", "two"))
    assert all(torch.equal(one[name], two[name]) for name in one)


def test_resuming_another_model_or_text_is_refused(base: Make, book: Path, tmp_path: Path) -> None:
    folder, out = base("llama"), tmp_path / "run"
    tuned(folder, book, out, watcher=Impatient(3))
    with pytest.raises(UsageError, match="is another run: seed is 1337 there and 7 here"):
        tune(None, out=out, resume=True, seed=7, watcher=Watcher())
    text = book.read_text()
    book.write_text(text + "More.\n")
    with pytest.raises(TextError, match="has changed"):
        tune(None, out=out, resume=True, watcher=Watcher())
    book.write_text(text)
    save_model(folder, tiny_model("llama", seed=9), load_model(folder)[1])
    with pytest.raises(CheckpointError, match="are not those any more"):
        tune(None, out=out, resume=True, watcher=Watcher())


def test_a_folder_that_holds_a_run_is_not_written_over(base: Make, book: Path, tmp_path: Path) -> None:
    tuned(base("llama"), book, tmp_path / "run", steps=2)
    with pytest.raises(UsageError, match="holds a run already") as caught:
        tuned(base("llama"), book, tmp_path / "run", steps=2)
    assert "homespun finetune --out" in caught.value.todo


@pytest.mark.parametrize("method", ["lora", "full"])
def test_a_model_that_is_sure_of_another_text_is_tuned(
    method: str, base: Make, book: Path, tmp_path: Path
) -> None:
    folder = base("llama")
    model, tokenizer = load_model(folder)
    with torch.no_grad():
        model.head.weight.mul_(30.0)  # type: ignore[union-attr, operator]
    save_model(folder, model, tokenizer)
    result = tuned(folder, book, tmp_path / "run", method=method)
    assert result.val_loss_before > 2 * math.log(257)
    assert result.steps == 20 and result.val_loss < result.val_loss_before - 1


def test_what_diverges_says_so(base: Make, book: Path, tmp_path: Path) -> None:
    with pytest.raises(homespun.errors.TrainingError, match="Training diverged at step "):
        tuned(base("llama"), book, tmp_path / "run", method="full", settings={"learning_rate": 1e3, "clip": 0})


def test_texts_that_nothing_can_be_learnt_from_are_refused(base: Make, tmp_path: Path) -> None:
    empty, short = tmp_path / "empty.txt", tmp_path / "short.txt"
    empty.write_text("")
    short.write_text("ab")
    for text in (empty, short):
        with pytest.raises(NotEnoughText):
            tune(base("llama"), text, steps=2, out=tmp_path / "run", watcher=Watcher())
    assert not (tmp_path / "run").exists()


def test_a_text_shorter_than_a_row_gets_shorter_rows(base: Make, tmp_path: Path) -> None:
    text = tmp_path / "note.txt"
    text.write_text("One line, and no more than that.")
    result = tune(base("llama"), text, steps=2, out=tmp_path / "run", watcher=Watcher())
    assert TuningPlan.load(tmp_path / "run" / "plan.toml").context_length < 32
    assert result.steps == 2


def test_rows_longer_than_the_model_looks_are_refused(base: Make, book: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="more than the model's context: 64"):
        tuned(base("llama"), book, tmp_path / "run", settings={"context_length": 128})


def test_tuning_an_adapter_again_says_what_to_do(base: Make, book: Path, tmp_path: Path) -> None:
    tuned(base("llama"), book, tmp_path / "run", steps=2)
    with pytest.raises(CheckpointError, match="is an adapter already") as caught:
        tuned(tmp_path / "run", book, tmp_path / "again", steps=2)
    assert "--to merged" in caught.value.todo


def test_several_documents_do_not_see_each_other(
    base: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(12):
        (tmp_path / "texts").mkdir(exist_ok=True)
        (tmp_path / "texts" / f"{number}.txt").write_text(f"Text {number}. " + LINES[: 200 + 10 * number])
    seen: list[torch.Tensor | None] = []
    from homespun.model.gpt import GPT

    plain = GPT.features

    def features(self: GPT, ids: torch.Tensor, context: Any = None) -> torch.Tensor:
        seen.append(getattr(context, "documents", None))
        return plain(self, ids, context)

    monkeypatch.setattr(GPT, "features", features)
    tuned(base("llama"), tmp_path / "texts", tmp_path / "run", steps=3, settings={"context_length": 64})
    assert any(documents is not None and documents.max() > 0 for documents in seen)


def test_the_function_of_python_gives_the_model(base: Make, book: Path, tmp_path: Path) -> None:
    model = homespun.finetune(base("llama"), book, steps=3, out=tmp_path / "run", watcher=Watcher())
    assert model.folder == tmp_path / "run" and model.result.steps == 3
    assert model.generate("A cat", max_tokens=4, seed=1).startswith("A cat")


def test_four_bits_learn_too(base: Make, book: Path, tmp_path: Path) -> None:
    pytest.importorskip("bitsandbytes")
    folder = base("llama", n_embd=64)
    result = tuned(folder, book, tmp_path / "run", method="qlora", steps=40)
    assert result.val_loss < result.val_loss_before - 0.05
    model, _, _ = open_model(tmp_path / "run")
    assert model.number_of_parameters() == open_model(folder)[0].number_of_parameters()


def conversations(path: Path) -> Path:
    said = [
        ("Who are you?", "A small model."),
        ("Do you like tea?", "I like it hot."),
        ("Good night!", "Sleep well."),
    ]
    with path.open("w") as file:
        for number in range(18):
            question, answer = said[number % 3]
            messages = [
                {"role": "user", "content": f"{question} ({number})"},
                {"role": "assistant", "content": answer},
            ]
            file.write(json.dumps({"messages": messages}) + "\n")
    return path


def test_conversations_give_a_model_that_can_be_talked_to_and_resume_to_the_bit(
    base: Make, tmp_path: Path
) -> None:
    folder, text = base("modern"), conversations(tmp_path / "chat.jsonl")
    settings = {"batch_size": 2, "learning_rate": 1e-2, "evaluate_every": 4}
    asked: dict[str, Any] = {"steps": 12, "settings": settings}
    whole = tune(folder, text, out=tmp_path / "whole", watcher=Watcher(), **asked)
    assert whole.method == "full" and whole.val_loss < whole.val_loss_before - 0.5
    model, tokenizer, _ = open_model(tmp_path / "whole")
    assert "chat_template" in tokenizer.settings and "<|im_end|>" in tokenizer.special_tokens
    assert model.config.vocab_size == tokenizer.vocab_size > load_model(folder)[1].vocab_size
    assert "<|im_start|>assistant" in whole.sample
    stopped = tune(folder, text, out=tmp_path / "run", watcher=Impatient(5), **asked)
    assert stopped.interrupted
    tune(None, out=tmp_path / "run", resume=True, watcher=Watcher())
    assert_same_run(tmp_path / "whole", tmp_path / "run", ("plan.toml", "config.json", "model.safetensors"))


def test_evaluate_finds_the_text_that_was_held_out(base: Make, book: Path, tmp_path: Path) -> None:
    result = tuned(base("llama"), book, tmp_path / "run", settings={"context_length": 64})
    assert homespun.load(tmp_path / "run", device="cpu").evaluate().loss == pytest.approx(
        result.val_loss, rel=0.01
    )


def test_a_plan_of_the_other_command_is_told_apart(base: Make, book: Path, tmp_path: Path) -> None:
    tuned(base("llama"), book, tmp_path / "run", steps=1)
    with pytest.raises(CheckpointError, match="a plan for another command: homespun finetune"):
        homespun.train(out=tmp_path / "run", resume=True, watcher=Watcher())
