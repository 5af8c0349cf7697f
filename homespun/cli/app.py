"""The command `homespun`: which verbs there are, and what happens around every one of them.

A verb is a file of this folder that has a click command named `command`. It is imported
when that verb runs, or when its help is asked for, so that `homespun --help` answers at once.
"""

from __future__ import annotations

import difflib
import io
import keyword
import os
import sys
from collections.abc import Sequence
from importlib import import_module

import click

from homespun import __version__
from homespun.cli.errors import notes_of_warnings, tell
from homespun.distributed.place import RENDEZVOUS
from homespun.errors import ProcessLost, UsageError
from homespun.machine.allocator import keep_memory_between_steps
from homespun.machine.device import matrix_units
from homespun.machine.threads import sleep_soon

# In the order in which a person meets them. The line that says what each does stands here, and only here.
VERBS = {
    "train": "Train a model on your text.",
    "plan": "See what training would do: size, time, memory, expected loss.",
    "generate": "Let a model write, from a prompt or from nothing.",
    "chat": "Talk to a model, or write together with it.",
    "finetune": "Tune a model that is there on your text or your conversations.",
    "show": "See what a model is: shape, memory, tokenizer, licence, training curve.",
    "evaluate": "Measure how well a model predicts a text.",
    "import": "Bring a model of nanoGPT, minGPT, the lecture or llama2.c along.",
    "export": "Take a model to llama.cpp, Ollama or a plain folder.",
    "serve": "Put a model behind an API that every client speaks.",
    "studio": "Train, watch, write and look inside, in a browser.",
    "data": "See what a text holds, and which texts are at hand.",
    "doctor": "See what this computer can do, with a self-test.",
    "lessons": "Put the lessons into a folder of yours.",
}

FIRST_SCREEN = f"""\
homespun {__version__}: train a GPT on your own text, on the computer you have.
See how it works. Talk to it. Take it with you.

Start with these:

  homespun train book.txt --minutes 5      a model of that text, in five minutes
  homespun generate runs/book "Once"       what it writes, as it comes
  homespun doctor                          what this computer can do

Without a text, `homespun train` takes one that everybody has.
homespun --help lists every command, homespun COMMAND --help explains one.
"""


class Commands(click.Group):
    """A group that knows what was meant by a name that it does not have."""

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        name = args[0]
        if not name.startswith("-") and self.get_command(ctx, name) is None:
            names = self.list_commands(ctx)
            near = difflib.get_close_matches(name, names, n=1, cutoff=0.5)
            hint = f"Did you mean {near[0]}?" if near else f"The commands are: {', '.join(names)}."
            raise UsageError(
                f"There is no command {name!r}.", f"{hint}\n{ctx.command_path} --help says what each one does."
            )
        return super().resolve_command(ctx, args)


class Verbs(Commands):
    """The verbs, each imported only when it is needed."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(VERBS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in VERBS:
            return None
        module = f"{cmd_name}_" if keyword.iskeyword(cmd_name) else cmd_name  # import has import_.py
        command: click.Command = import_module(f"homespun.cli.{module}").command
        command.short_help = VERBS[cmd_name]
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl(list(VERBS.items()))


@click.group(
    cls=Verbs,
    invoke_without_command=True,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog="homespun COMMAND --help explains a command and shows examples.",
)
@click.version_option(__version__, message="homespun %(version)s")
@click.pass_context
def homespun(context: click.Context) -> None:
    """Train a GPT on your own text, on the computer you have.

    TEXT is a file, a folder, a code repository, a web address, - for standard input, or a name that
    `homespun data list` shows. MODEL is the folder that training wrote.
    """
    if context.invoked_subcommand is None:
        click.echo(FIRST_SCREEN, nl=False)


def before_anything_is_loaded(arguments: Sequence[str]) -> None:
    """Threads that sleep soon for every command; for training memory that is kept, and a compiler at work.

    Loading PyTorch takes a second, on one core. On the other one the library is made meanwhile that the plan
    will ask for, where there is none yet and the processor has what it is for.
    """
    sleep_soon()
    if arguments[:1] not in (["train"], ["finetune"]):
        return
    if "--qlora" not in arguments:
        keep_memory_between_steps()
    if arguments[0] == "train" and not {"-h", "--help"} & set(arguments):
        from homespun.kernels.float32.source import FLOAT32
        from homespun.kernels.training.source import MADE_FOR, TRAINING

        units = set(matrix_units())
        if MADE_FOR & units:
            TRAINING.compile_beside(in_haste=True)
        elif not units:
            FLOAT32.compile_beside(in_haste=True)


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs a command line (without the program's name) and returns the exit code. Never raises."""
    if arguments is None:  # we are a process of our own, and not called from a program
        arguments = sys.argv[1:]
        before_anything_is_loaded(arguments)
    prepare_streams()
    try:
        with notes_of_warnings(), homespun.make_context("homespun", list(arguments)) as context:
            homespun.invoke(context)
        sys.stdout.flush()  # a full disk or a closed pipe may show only now
        return 0
    except BrokenPipeError:
        let_go_of_stdout()
        return 0  # `| head` has what it wanted: that is no failure
    except click.exceptions.Exit as request:
        return request.exit_code
    except ProcessLost as error:
        # Our own launcher knows which process was lost, says so, and starts all again.
        code = error.exit_code if RENDEZVOUS in os.environ else tell(error)
    except (Exception, KeyboardInterrupt) as error:  # noqa: BLE001  the outermost frame: everything is reported, nothing hidden
        code = tell(error)
    try:
        sys.stdout.flush()
    except OSError:
        let_go_of_stdout()  # the failed write was reported already
    return code


def prepare_streams() -> None:
    """A closed output, or one whose encoding lacks a character (it shows a ? then), is no reason to stop."""
    sys.stdout = io.StringIO() if sys.stdout is None else sys.stdout
    sys.stderr = io.StringIO() if sys.stderr is None else sys.stderr
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace")


def let_go_of_stdout() -> None:
    """Python writes what is left when it ends; into nothing, where nobody reads any more."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
