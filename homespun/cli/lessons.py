"""homespun lessons: the notebooks, in a folder of the user's."""

from __future__ import annotations

import json
import shlex
import sys
from dataclasses import dataclass
from importlib import metadata, util
from pathlib import Path

import click

from homespun.errors import TextNotFound

INSTALLED = "share/homespun/lessons/"  # where pyproject.toml puts them, below the folder of the environment


@click.command()
@click.argument("folder", metavar="[DIR]", type=click.Path(path_type=Path), default="lessons")
def command(folder: Path) -> None:
    """Put the lessons into DIR, and say how to open them.

    The lessons are notebooks that build a GPT from nothing, step by step, and end where homespun begins.
    DIR is made where it is not there; without one it is called lessons. What is in it stays as it is:
    a notebook that you have worked in is never written over.
    """
    lessons = [Lesson(path, folder / path.relative_to(home())) for path in files(home())]
    kept = [lesson for lesson in lessons if lesson.was_worked_in()]
    for lesson in lessons:
        if not lesson.destination.exists():
            lesson.put()
    show(folder, lessons, kept)


@dataclass(frozen=True)
class Lesson:
    """A notebook, or a program beside them, and where the user wants it."""

    source: Path
    destination: Path

    def was_worked_in(self) -> bool:
        return self.destination.exists() and (
            not self.destination.is_file() or self.destination.read_bytes() != self.source.read_bytes()
        )

    def put(self) -> None:
        """Raises WriteFailed."""
        from homespun.machine.atomic import failures_explained, write_atomically

        with failures_explained(self.destination.parent):
            self.destination.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(self.destination, self.source.read_bytes())

    def about(self) -> str:
        """What it is about: the first sentence of a notebook's first paragraph, or of a program's docstring."""
        text = self.source.read_text(encoding="utf-8")
        if self.source.suffix == ".ipynb":
            paragraphs = "".join(json.loads(text)["cells"][0]["source"]).split("\n\n")
            return first_sentence(paragraphs[2])  # after the title and the badge
        return first_sentence(text.removeprefix('"""'))


def first_sentence(text: str) -> str:
    """
    >>> first_sentence("A model computes with numbers. So does\\nthis one.")
    'A model computes with numbers.'
    """
    return text.split("\n")[0].partition(". ")[0].removesuffix(".") + "."


def home() -> Path:
    """Where the lessons of this homespun are: beside it in a clone, else where the package put them.

    Raises TextNotFound.
    """
    beside = Path(__file__).parents[2] / "lessons"
    if any(beside.glob("01-*.ipynb")):
        return beside
    try:
        installed = metadata.files("homespun") or []
    except metadata.PackageNotFoundError:
        installed = []
    for file in installed:
        path = Path(str(file.locate())).resolve()
        if INSTALLED in path.as_posix() and path.name.startswith("01-") and path.is_file():
            return path.parent
    raise TextNotFound(
        "The lessons are not there: this homespun was installed without them.",
        "Install it again:  pip install --force-reinstall --no-deps homespun",
    )


def files(folder: Path) -> list[Path]:
    """The notebooks in their order, then the programs."""
    return [*sorted(folder.glob("*.ipynb")), *sorted(folder.glob("scripts/*.py"))]


def show(folder: Path, lessons: list[Lesson], kept: list[Lesson]) -> None:
    width = max(len(str(lesson.destination)) for lesson in lessons)
    for lesson in lessons:
        click.echo(f"{lesson.destination!s:{width}}  {lesson.about()}")
    if kept:
        names = ", ".join(lesson.destination.name for lesson in kept)
        click.echo(f"\nNot the ones that came with homespun, and left as they are: {names}")
        click.echo("To have one anew, rename yours and run this again.")
    click.echo("\nOpen the first one:")
    first = shlex.quote(str(lessons[0].destination))
    if util.find_spec("jupyterlab") is None:
        click.echo(f"  {python()} -m pip install jupyterlab    once")
    click.echo(f"  {python()} -m jupyter lab {first}")
    click.echo("Or open the folder in VS Code and choose this Python as the kernel:")
    click.echo(f"  {sys.executable}")
    click.echo("Or without installing anything: upload a notebook at https://colab.research.google.com")


def python() -> str:
    """The Python that homespun runs in, as a person may type it: notebooks must run in the same one."""
    return shlex.quote(sys.executable)
