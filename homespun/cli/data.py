"""homespun data: which texts are at hand, what a text holds, and what is wrong with it."""

from __future__ import annotations

import unicodedata
from dataclasses import asdict
from typing import TYPE_CHECKING

import click

from homespun.cli.app import Commands
from homespun.cli.data_prepare import prepare_command
from homespun.cli.run_options import read_as_asked
from homespun.cli.screens.plain import json_option, print_json, visible
from homespun.dataset.finding import percent
from homespun.errors import NotEnoughText, TextError

if TYPE_CHECKING:
    from homespun.cli.screens.conversations import Talks
    from homespun.cli.screens.preview import Preview
    from homespun.dataset.doctor import Examination
    from homespun.text.description import Description

NAMES = {" ": "space", "\n": "newline", "\t": "tab"}
LINES_SHOWN = 8
SCRIPTS_SHOWN = 6
LABELS = 14  # columns that the names of the facts take
WIDEST = 100  # columns of running text
COLOURS = {"stop": "red", "warn": "yellow", "note": "cyan"}


@click.group(cls=Commands, invoke_without_command=True)
@click.pass_context
def command(context: click.Context) -> None:
    """See which texts are at hand, what a text holds, and what is wrong with it."""
    if context.invoked_subcommand is None:
        click.echo(context.get_help())


command.add_command(prepare_command)


@command.command("list")
@json_option
def list_command(as_json: bool) -> None:
    """The texts that have a name, and how to have them.

    Each name stands for a TEXT in every command. Without a TEXT, train takes the first of them that can be had.
    """
    from homespun.text.named import named_corpora

    corpora = [
        {
            "name": corpus.name,
            "title": corpus.title,
            "about": corpus.about,
            "size": corpus.size,
            "licence": corpus.licence,
            "available": corpus.available(),
        }
        for corpus in named_corpora()
    ]
    if as_json:
        print_json({"corpora": corpora})
    else:
        show_names(corpora)


@command.command("show")
@click.argument("text", nargs=-1)
@read_as_asked
@click.option(
    "--tokenizer",
    default="auto",
    show_default=True,
    metavar="KIND",
    help="What it would be cut into: auto, char, byte, bpe, bpe:N, gpt2, or a path.",
)
@click.option(
    "--as", "answers", metavar="NAME", help="As finetune --as NAME reads it: conversations in which NAME answers."
)
@json_option
def show_command(
    text: tuple[str, ...],
    field: str | None,
    encoding: str | None,
    tokenizer: str,
    answers: str | None,
    as_json: bool,
) -> None:
    """How TEXT is read, what it holds, and what would be trained on.

    As what it is read, from which field, how many documents or conversations there are, how two of them begin, and
    what is left out. Nothing is trained and nothing is changed. Without a TEXT it shows the one that train
    would take.

    \b
    Examples:
      homespun data show book.txt
      homespun data show ~/letters/ --tokenizer bpe:1000
      homespun data show chat.jsonl --field message
      homespun data show "WhatsApp Chat with Anna.txt" --as Anna
    """
    from homespun.cli.screens.conversations import show_talks, talks_in
    from homespun.cli.screens.preview import preview
    from homespun.cli.screens.terminal import working
    from homespun.text.description import describe
    from homespun.text.named import default_corpus
    from homespun.text.sources import read

    with working("reading"):
        corpus = read(*text, field=field, encoding=encoding) if text else default_corpus()[0]
        talks, wrong = None, None
        try:
            talks = talks_in(corpus, answers or "")
        except TextError as problem:
            if answers:
                raise
            wrong = problem
        description: Description | None = None
        try:
            description = describe(corpus)
        except TextError as problem:
            if talks is None:  # else there are conversations, and no text
                raise (wrong or problem) from problem
        planned: Preview | NotEnoughText | None = None
        if description is not None:
            try:
                planned = preview(corpus, tokenizer)
            except NotEnoughText as problem:
                planned = problem  # what is in the text is worth seeing all the more
    if as_json:
        print_json(as_object(description, planned, talks))
        return
    if description is not None and planned is not None:
        show(description, planned)
    if talks is not None:
        show_talks(corpus.title, talks, alone=description is None)


@command.command("doctor")
@click.argument("text", nargs=-1)
@read_as_asked
@json_option
def doctor_command(text: tuple[str, ...], field: str | None, encoding: str | None, as_json: bool) -> None:
    """What is wrong with TEXT, or odd about it, and what to do.

    Says what was noticed in reading it (files and rows left out, what had to be guessed), and looks for encoding
    damage, odd characters, duplicates and near-duplicates, boilerplate, validation text that is in the training
    text, too; and whether there is enough of it. Nothing is changed.
    Without a TEXT it examines the one that train would take.

    \b
    Examples:
      homespun data doctor book.txt
      homespun data doctor ~/letters/
      homespun data doctor chat.jsonl --field message --json
    """
    from homespun.cli.screens.terminal import working
    from homespun.dataset.doctor import examine
    from homespun.text.named import default_corpus
    from homespun.text.sources import read

    with working("examining"):
        examination = examine(read(*text, field=field, encoding=encoding) if text else default_corpus()[0])
    if as_json:
        print_json(examination)
    else:
        show_examination(examination)


def show_names(corpora: list[dict[str, str]]) -> None:
    from rich.text import Text

    from homespun.cli.screens.terminal import console, table

    found = table("name", "what it is")
    found.columns[0].no_wrap = True
    for number, corpus in enumerate(corpora):
        what = Text.assemble(
            (corpus["title"], "bold"),
            f", {corpus['size']}\n{corpus['about']}\n",
            (f"{corpus['licence']}\n", "dim"),
            (corpus["available"], "green" if corpus["available"].startswith("here") else "yellow"),
            "\n" * (number < len(corpora) - 1),
        )
        found.add_row(corpus["name"], what)
    out = console()
    out.print(found)
    out.print("\nLook into one:  homespun data show shakespeare\nTrain on one:   homespun train shakespeare")


def show(description: Description, planned: Preview | NotEnoughText) -> None:
    from homespun.cli.screens.terminal import console, facts, indented, show_notes

    out = console()
    out.print(facts(found_in(description, out.width - LABELS), description.title))
    out.print()
    out.print(facts(trained_on(planned), "What would be trained on"))
    show_notes(out, description.notes, "Notes")
    several = len(description.beginnings) > 1
    out.print("\nHow it begins" if not several else "\nHow the first two documents begin", style="bold")
    for origin, beginning in description.beginnings:
        if several:
            out.print(indented(origin, style="dim"))
        out.print(indented("\n".join(beginning.splitlines()[: LINES_SHOWN // len(description.beginnings)])))


def show_examination(examination: Examination) -> None:
    from rich.text import Text

    from homespun.cli.errors import folded
    from homespun.cli.screens.terminal import console, show_notes

    def say(sentence: str, indent: str) -> None:
        out.print(Text("\n".join(folded(sentence, min(out.width, WIDEST), indent))))

    e = examination
    out = console()
    documents = "1 document" if e.documents == 1 else f"{e.documents:,} documents"
    out.print(Text(visible(e.title), "bold"))
    out.print(f"{documents}, {e.characters:,} characters, {e.alphabet_size:,} different ones")
    show_notes(out, e.notes, "Noticed in reading it")
    for finding in e.findings:
        advice, *commands = finding.todo.split("\n")
        out.print()
        out.print(Text(finding.kind, f"bold {COLOURS[finding.severity]}"), Text(f"({finding.severity})", "dim"))
        say(finding.what, "  ")
        say(advice, "  ")
        for line in commands:  # each on one line, so that it can be copied
            out.print(Text(f"    {line}"), soft_wrap=True)
    out.print()
    if not e.findings:
        nothing = "Nothing else found" if e.notes else "Nothing found"
        say(f"{nothing}. Looked for: {', '.join(e.looked_for)}.", "")
    if e.sampled:
        say(e.sampled, "")


def found_in(description: Description, width: int) -> list[tuple[str, str]]:
    """What the text holds, line by line; width is the room for what is said of each."""
    from homespun.cli.screens.terminal import flow, size_in_words

    d = description
    twice = f", {d.duplicates:,} of them a copy of another" if d.duplicates else ""
    read_as = (
        list(d.read_as) if len(d.read_as) == 1 else [f"{kind} ({count:,})" for kind, count in d.read_as.items()]
    )
    encodings = [f"{name} ({count:,})" for name, count in d.encodings.items()]
    rows = [
        ("read as", flow(read_as, width)),
        ("documents", f"{d.documents:,}{twice}"),
        ("size", f"{d.characters:,} characters in {d.lines:,} lines, {size_in_words(d.bytes)} in UTF-8"),
        ("alphabet", f"{d.alphabet_size:,} different characters"),
        ("commonest", flow(counted(d.most_common), width)),
        ("rarest", flow(counted(d.least_common), width)),
        ("letters", flow(shares(d.scripts), width) or "none"),
        ("characters", flow(shares(d.kinds), width)),
        ("encodings", flow(encodings, width)),
    ]
    if d.documents > 1:
        rows.append(("longest", f"{d.longest[0]}, {d.longest[1]:,} characters"))
        rows.append(("shortest", f"{d.shortest[0]}, {d.shortest[1]:,} characters"))
    return rows


def trained_on(planned: Preview | NotEnoughText) -> list[tuple[str, str]]:
    """What would be trained on, line by line; or why nothing would."""
    if isinstance(planned, NotEnoughText):
        return [("nothing", planned.what), ("", planned.todo)]
    return [
        ("tokenizer", f"{planned.tokenizer}: {planned.why}"),
        ("tokens", f"{'' if planned.exact else 'about '}{planned.tokens:,}, of {planned.vocab_size:,} kinds"),
        ("training", f"{planned.train_characters:,} characters"),
        ("validation", f"{planned.val_characters:,} characters: {planned.split}"),
    ]


def counted(characters: list[tuple[str, int]]) -> list[str]:
    """Characters, each with how often it is there.

    >>> counted([(" ", 1200), ("e", 3), ("\u200b", 1)])
    ['space 1,200', 'e 3', 'ZERO WIDTH SPACE 1']
    """
    return [f"{name_of(character)} {count:,}" for character, count in characters]


def name_of(character: str) -> str:
    """A character as it is, or its name where it cannot be seen."""
    if character in NAMES:
        return NAMES[character]
    if character.isprintable() and not unicodedata.combining(character):
        return character
    return unicodedata.name(character, f"U+{ord(character):04X}")


def shares(parts: list[tuple[str, float]]) -> list[str]:
    """
    >>> shares([("Latin", 0.9956), ("Greek", 0.004), ("Han", 0.0004)])
    ['Latin 99.6%', 'Greek 0.4%', 'Han <0.1%']
    """
    more = len(parts) - SCRIPTS_SHOWN
    shown = [f"{name} {percent(share)}" for name, share in parts[:SCRIPTS_SHOWN]]
    return shown + [f"and {more} more"] * (more > 0)


def as_object(
    description: Description | None, planned: Preview | NotEnoughText | None, talks: Talks | None
) -> dict[str, object]:
    """`training` is null where nothing can be trained on, and `problem` then says why.

    Of conversations that are no text there is nothing but `conversations`.
    """
    if description is None:
        return {"conversations": talks}
    problem = planned if isinstance(planned, NotEnoughText) else None
    return {
        **asdict(description),
        "training": planned if problem is None else None,
        "conversations": talks,
        "problem": None if problem is None else {"what": problem.what, "todo": problem.todo},
    }
