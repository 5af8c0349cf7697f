"""Every lesson has the form that readers, Jupyter, Colab and git can rely on."""

from __future__ import annotations

import ast
import re
from importlib import import_module, util
from pathlib import Path

import pytest

from homespun.cli.lessons import first_sentence
from tests.lessons import form
from tests.lessons.form import LESSONS, code_cells, exercises, lessons, lines_of_code, normal, read

ROOT = LESSONS.parent
MOST_LINES = 167  # "about 150", and a line for each module that is imported

every_lesson = pytest.mark.parametrize("path", lessons(), ids=lambda path: path.stem)


def markdown_cells(path: Path) -> list[str]:
    return [cell.source for cell in read(path).cells if cell.cell_type == "markdown"]


def python(path: Path) -> str:
    """All code of a lesson; the commands of the notebook are left out."""
    return re.sub(r"(?m)^( *)%.*$", r"\1pass", "\n".join(code_cells(read(path))))


def test_no_two_lessons_have_one_number() -> None:
    numbers = [path.name[:2] for path in lessons()]
    assert len(set(numbers)) == len(numbers)


@every_lesson
def test_it_is_kept_without_outputs_and_in_one_form(path: Path) -> None:
    kept = path.read_text(encoding="utf-8")
    assert kept == normal(read(path), path.name), f"python -m tests.lessons.form {path}"


@every_lesson
def test_it_begins_with_what_it_is_about_and_opens_in_colab(path: Path) -> None:
    title, badge, about, *rest = markdown_cells(path)[0].split("\n\n")
    assert title.startswith(f"# {int(path.name[:2])}. ")
    assert badge == form.badge(path.name)
    assert len(first_sentence(about)) <= 80, "`homespun lessons` shows this sentence on one line"
    assert rest[0] == "**At the end you will be able to**"
    assert 3 <= rest[1].count("\n- ") + 1 <= 5


@every_lesson
def test_an_address_of_the_project_comes_into_all_lessons(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(form, "REPOSITORY", "somebody/homespun")
    kept = normal(read(path), path.name)
    assert f"(https://colab.research.google.com/github/somebody/homespun/blob/main/lessons/{path.name})" in kept
    assert "homespun[sentencepiece] @ git+https://github.com/somebody/homespun" in kept
    assert "Upload this file there" not in kept


@every_lesson
def test_it_installs_homespun_and_gets_its_text_in_the_same_way_as_all(path: Path) -> None:
    first, second = code_cells(read(path))[:2]
    assert first == code_cells(read(lessons()[0]))[0]
    assert second.endswith("text, is_shakespeare = open_text()")


@every_lesson
def test_it_is_short(path: Path) -> None:
    assert lines_of_code(read(path)) <= MOST_LINES


@every_lesson
def test_its_exercises_have_a_hint_a_solution_and_a_check(path: Path) -> None:
    found = list(exercises(read(path)))
    assert [exercise.number for exercise in found] == list(range(1, len(found) + 1)) != []
    for exercise in found:
        assert exercise.question.count("<details><summary>Hint</summary>\n\n") == 1
        assert exercise.question.count("</details>") == 2
        assert exercise.solution, "a solution is a block of Python"
        assert re.search(r"(?m)^check\(", exercise.code)
        assert "..." in exercise.code, "the place for the answer"


@every_lesson
def test_it_ends_where_the_library_begins(path: Path) -> None:
    section = "\n".join(markdown_cells(path)).rpartition("\n## ")[2]
    assert section.startswith("Where this is in the library\n")
    named = re.findall(r"`(homespun/[\w/.]+)`", section)
    assert named and all((ROOT / name).exists() for name in named)


@every_lesson
def test_it_uses_public_names_only(path: Path) -> None:
    used = names_of_homespun(python(path))
    assert used, "a lesson gets its text through homespun"
    assert [name for name in used if not is_public(name)] == []


def names_of_homespun(source: str) -> set[str]:
    """What a program uses of homespun, in full: {"homespun.text.read", …}."""
    used = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.ImportFrom) and (node.module or "").partition(".")[0] == "homespun":
            used |= {f"{node.module}.{alias.name}" for alias in node.names}
        if isinstance(node, ast.Import):
            used |= {alias.name for alias in node.names if alias.name.startswith("homespun.")}
        if isinstance(node, ast.Attribute) and (name := ast.unparse(node)).startswith("homespun."):
            used.add(name)
    return used


def is_public(name: str) -> bool:
    """homespun.X of the package's own list, or what a module of a room defines itself, with a docstring."""
    parts = name.split(".")
    if parts[1] in import_module("homespun").__all__:
        return True
    module, names = "homespun", parts[1:]
    while names and util.find_spec(f"{module}.{names[0]}") is not None:
        module, names = f"{module}.{names[0]}", names[1:]
        if not hasattr(import_module(module), "__path__"):
            break
    if not names or any(part.startswith("_") for part in names):
        return False
    found = getattr(import_module(module), names[0], None)
    return getattr(found, "__module__", None) == module and bool(found.__doc__)


@pytest.mark.parametrize(
    ("name", "public"),
    [
        ("homespun.train", True),
        ("homespun.model.gpt.GPT", True),
        ("homespun.model.gpt.GPT.forward", True),
        ("homespun.errors.DownloadFailed", True),
        ("homespun.model.attention", False),
        ("homespun.model.gpt.Tensor", False),
        ("homespun.nothing", False),
        ("homespun.lessons._secret", False),
    ],
)
def test_the_test_of_names_knows_public_from_private(name: str, public: bool) -> None:
    assert is_public(name) is public
