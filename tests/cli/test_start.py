"""What happens before any verb runs: the first screen, help, how soon it is there."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

from homespun import __version__
from homespun.cli import app, reference
from homespun.cli.app import VERBS
from homespun.kernels.float32.source import FLOAT32
from homespun.kernels.training.source import TRAINING
from homespun.machine.builds import Source
from homespun.machine.threads import sleep_soon
from tests.cli.conftest import Run
from tests.patience import PATIENCE

SLOW = ("torch", "rich", "numpy", "httpx", "tokenizers", "matplotlib")


@pytest.mark.parametrize(
    "arguments", [[], ["--help"], ["--version"], ["generate", "--help"], ["data", "show", "--help"]], ids=" ".join
)
def test_help_imports_nothing_slow(arguments: list[str]) -> None:
    code = (
        "import sys, json; from homespun.cli import main; "
        f"code = main({arguments!r}); print(json.dumps([code, sorted(set({SLOW!r}) & set(sys.modules))]))"
    )
    done = subprocess.run([sys.executable, "-c", code], stdout=subprocess.PIPE, check=True, env=os.environ)
    assert json.loads(done.stdout.splitlines()[-1]) == [0, []]


def test_importing_homespun_imports_nothing_slow() -> None:
    code = f"import sys, homespun; sys.exit(len(set({SLOW!r}) & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_the_first_screen_says_what_it_is_and_where_to_start(run: Run) -> None:
    outcome = run()
    assert outcome.code == 0 and outcome.err == ""
    for command in ("homespun train", "homespun generate", "homespun doctor"):
        assert command in outcome.out
    lines = outcome.out.splitlines()
    assert len(lines) < 24 and max(map(len, lines)) <= 80


def test_help_lists_every_verb_in_the_order_of_use(run: Run) -> None:
    outcome = run("--help")
    places = [outcome.out.index(f"  {verb} ") for verb in VERBS]
    assert outcome.code == 0 and places == sorted(places)
    assert list(VERBS) == [
        "train", "plan", "generate", "chat", "finetune", "show", "evaluate", "import", "export", "serve", "studio",
        "data", "doctor", "lessons",
    ]  # fmt: skip


@pytest.mark.parametrize(
    "arguments", [[verb] for verb in VERBS] + [["data", "list"], ["data", "show"]], ids=" ".join
)
def test_every_command_explains_itself(run: Run, arguments: list[str]) -> None:
    long, short = run(*arguments, "--help"), run(*arguments, "-h")
    assert long.code == 0 and long.out.startswith(f"Usage: homespun {' '.join(arguments)}")
    assert long.out == short.out and max(map(len, long.out.splitlines())) <= 100


def test_every_option_has_a_help_text() -> None:
    for context in reference.commands(reference.homespun):
        for option in context.command.params:
            if option.param_type_name == "option":
                assert option.help, f"{context.command_path} {option.name}"  # type: ignore[attr-defined]


def test_version(run: Run) -> None:
    assert run("--version").out == f"homespun {__version__}\n"


def test_data_alone_lists_what_it_can_do(run: Run) -> None:
    outcome = run("data")
    assert outcome.code == 0 and "list" in outcome.out and "show" in outcome.out


def test_the_reference_in_the_docs_is_what_the_commands_say() -> None:
    written = reference.PAGE.read_text(encoding="utf-8")
    assert written == reference.reference(), "docs/cli.md is stale: python -m homespun.cli.reference writes it"


@pytest.mark.parametrize(
    ("arguments", "units", "expected"),
    [
        (["train", "book.txt"], ("amx_bf16",), [TRAINING]),
        (["train", "book.txt"], ("avx512_bf16",), [TRAINING]),
        (["train", "book.txt"], ("bf16",), []),  # Arm's
        (["train", "book.txt"], (), [FLOAT32]),
        (["train", "--help"], ("amx_bf16",), []),
        (["train", "--help"], (), []),
        (["finetune", "runs/book"], ("amx_bf16",), []),
        (["plan", "book.txt"], ("amx_bf16",), []),
    ],
)
def test_what_training_will_ask_for_is_begun_before_pytorch_is_loaded(
    arguments: list[str], units: tuple[str, ...], expected: list[Source], monkeypatch: pytest.MonkeyPatch
) -> None:
    begun: list[Source] = []
    monkeypatch.setattr(app, "keep_memory_between_steps", lambda: None)
    monkeypatch.setattr(app, "sleep_soon", lambda: None)
    monkeypatch.setattr(app, "matrix_units", lambda: units)
    monkeypatch.setattr(Source, "compile_beside", lambda source, in_haste: begun.append(source))
    app.before_anything_is_loaded(arguments)
    assert begun == expected


@pytest.mark.parametrize(
    ("set_by_user", "found"),
    [({}, {"GOMP_SPINCOUNT": "5000"})]
    + [(own, own) for own in ({"GOMP_SPINCOUNT": "7"}, {"OMP_WAIT_POLICY": "ACTIVE"})],
)
def test_threads_are_told_to_sleep_soon_unless_the_user_has_told_them_something(
    set_by_user: dict[str, str], found: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "environ", dict(set_by_user))
    sleep_soon()
    assert os.environ == found


@pytest.mark.parametrize("verb", ["generate", "chat", "evaluate", "plan", "finetune", "doctor"])
def test_threads_sleep_soon_whatever_computes(verb: str, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []
    monkeypatch.setattr(app, "keep_memory_between_steps", lambda: None)
    monkeypatch.setattr(app, "sleep_soon", lambda: asked.append(verb))
    app.before_anything_is_loaded([verb, "runs/book"])
    assert asked == [verb]


def test_importing_homespun_leaves_the_environment_as_it_is() -> None:
    code = (
        "import os; before = dict(os.environ); import homespun; homespun.load; print(before == dict(os.environ))"
    )
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert told.stdout.split() == ["True"]


def test_what_is_begun_before_pytorch_is_loaded_does_not_load_it() -> None:
    code = (
        "import sys; from homespun.cli import app; app.keep_memory_between_steps = lambda: None; "
        "app.matrix_units = lambda: ('amx_bf16',); app.before_anything_is_loaded(['train', 'book.txt']); "
        "print('torch' in sys.modules)"
    )
    told = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=PATIENCE, check=True
    )
    assert told.stdout.split() == ["False"]
