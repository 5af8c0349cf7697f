"""The lessons are run as a reader runs them: from top to bottom, with exercises unanswered, wrong and right."""

from __future__ import annotations

import io
import os
import re
import shutil
from copy import deepcopy
from pathlib import Path

import platformdirs
import pytest
from nbformat import NotebookNode
from PIL import Image

from tests.lessons.executing import execute, pictures, printed
from tests.lessons.form import Exercise, exercises, lessons, read
from tests.patience import LONG_PATIENCE

ALWAYS_RUN = 4  # the first so many lessons; `make test-slow` runs the others
TELLING = {  # an asserted number of each lesson, so that none of them is lost
    1: ["1_115_394", "vocab_size == 65", "[46, 47, 47, 1, 58, 46, 43, 56, 43]", "50_257", "[11274, 2933, 0]"],
    2: ["(1_003_854, 111_540)", "[39, 1, 46, 39]", '"4.8786", "4.1744"', "(32, 65)", "SKIcLT;AcELMoTbvZv"],
    3: ["[0.1808, -0.0700]", "[-0.0894, -0.4926]", "[[2, 7], [6, 4], [6, 5]]", "[4.6667, 5.3333]"],
}
OWN_CACHE = Path(os.environ.get("HOMESPUN_CACHE") or platformdirs.user_cache_path("homespun"))


def marked(path: Path) -> object:
    slow = int(path.name[:2]) > ALWAYS_RUN
    return pytest.param(
        path, id=path.stem, marks=[pytest.mark.slow, pytest.mark.timeout(LONG_PATIENCE)] if slow else []
    )


def without_a_network(patch: pytest.MonkeyPatch, cache: Path) -> None:
    """Nothing is downloaded: what is not here, the lessons have to do without."""
    patch.setenv("HOMESPUN_CACHE", str(cache))
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "all_proxy"):
        patch.setenv(name, "http://127.0.0.1:9")  # nobody listens there
    patch.setenv("PIP_CONFIG_FILE", os.devnull)
    patch.setenv("PIP_INDEX_URL", "http://127.0.0.1:9/simple/")
    patch.delenv("PIP_EXTRA_INDEX_URL", raising=False)
    patch.delenv("PIP_FIND_LINKS", raising=False)


@pytest.mark.parametrize("path", [marked(path) for path in lessons()])
def test_it_runs_and_tells_right_answers_from_wrong_ones(
    path: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """One test, and not one for each thing: where several programs share the tests, a lesson runs once."""
    cache = tmp_path / "cache"
    if (OWN_CACHE / "gpt2").is_dir():
        shutil.copytree(OWN_CACHE / "gpt2", cache / "gpt2")
    without_a_network(monkeypatch, cache)
    lesson = read(path)
    for exercise in reversed(list(exercises(lesson))):
        insert_answers(lesson, exercise)
    execute(lesson)

    no_answer_says_so_and_stops_nobody(lesson)
    wrong_answers_are_told_kindly(lesson)
    every_solution_is_right(lesson)
    its_pictures_have_something_in_them(lesson)
    nothing_is_warned_of(lesson)
    it_names_its_text(lesson)


def insert_answers(notebook: NotebookNode, exercise: Exercise) -> None:
    """The exercise stands there four times then: unanswered, wrong, right, unanswered again."""
    cell = notebook.cells[exercise.place]
    cell.metadata["answer"] = "none"
    answers = {"wrong": wrong(exercise.code), "right": exercise.with_solution, "none": exercise.code}
    for place, (kind, source) in enumerate(answers.items(), exercise.place + 1):
        copy = deepcopy(cell)
        copy.update(id=f"{cell.id}-{place}", source=source)
        copy.metadata["answer"] = kind
        notebook.cells.insert(place, copy)


def wrong(code: str) -> str:
    """The cell of an exercise with an answer that is right nowhere.

    >>> wrong("x = [..., 1]  # here"), wrong("def f():\\n    ...")
    ("x = ['nonsense', 1]  # here", "def f():\\n    return 'nonsense'")
    """
    return re.sub(r"(?m)^( +)\.\.\.", r"\1return 'nonsense'", code).replace("...", "'nonsense'")


def answered(lesson: NotebookNode, kind: str) -> list[str]:
    """What the checks of all exercises say to answers of that kind."""
    return [printed(cell) for cell in lesson.cells if cell.metadata.get("answer") == kind]


def no_answer_says_so_and_stops_nobody(lesson: NotebookNode) -> None:
    for said in answered(lesson, "none"):
        assert set(said.splitlines()) == {"Not answered yet: put your answer in place of the three dots."}


def wrong_answers_are_told_kindly(lesson: NotebookNode) -> None:
    for said in answered(lesson, "wrong"):
        assert said and all(line.startswith("✗ Not yet") for line in said.splitlines()), said


def every_solution_is_right(lesson: NotebookNode) -> None:
    for said in answered(lesson, "right"):
        assert set(said.splitlines()) == {"✓ Right."}


def its_pictures_have_something_in_them(lesson: NotebookNode) -> None:
    assert pictures(lesson)
    for picture in pictures(lesson):
        colors = Image.open(io.BytesIO(picture)).convert("RGB").getcolors(maxcolors=2**24)
        assert len(colors) > 20


def nothing_is_warned_of(lesson: NotebookNode) -> None:
    for cell in lesson.cells:
        warnings = [output.text for output in cell.get("outputs", []) if output.get("name") == "stderr"]
        assert warnings == []


def it_names_its_text(lesson: NotebookNode) -> None:
    said = "".join(map(printed, lesson.cells))
    if os.environ.get("HOMESPUN_DATA"):
        assert "The text is tiny Shakespeare: 1,115,394 characters." in said
    else:
        assert "Tiny Shakespeare cannot be had here" in said


@pytest.mark.parametrize("number", TELLING)
def test_the_numbers_of_the_tutorials_are_asserted_where_a_reader_sees_them(number: int) -> None:
    cells = [cell.source for cell in read(lessons()[number - 1]).cells if cell.cell_type == "code"]
    asserting = "\n".join(cell for cell in cells if re.search(r"(?m)^ *assert ", cell))
    assert [text for text in TELLING[number] if text not in asserting] == []


@pytest.mark.slow
@pytest.mark.parametrize("path", lessons()[:3], ids=lambda path: path.stem)
def test_without_tiny_shakespeare_it_goes_on_with_another_text(
    path: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    without_a_network(monkeypatch, tmp_path)
    monkeypatch.delenv("HOMESPUN_DATA", raising=False)
    said = "".join(map(printed, execute(read(path)).cells))
    assert "This lesson goes on with the standard library of Python" in said
    assert "the checks of exact numbers are skipped" in said
