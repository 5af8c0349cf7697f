"""homespun chat: a conversation in the terminal, or, with a model that only completes text, writing together."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from homespun.cli.chat_terminal import Screen
from homespun.cli.screens.writing import prepare_to_write, sampling_options, weights_option
from homespun.errors import HomespunError, TextNotFound, TextUnreadable, UsageError
from homespun.generation.repetition import LOOPS, goes_round
from homespun.generation.settings import Sampling, whole

if TYPE_CHECKING:
    from homespun.api.language_model import LanguageModel
    from homespun.generation.chat import Answer, Conversation, Manuscript

LONGEST_ANSWER = 1000  # tokens
LONGEST_PASSAGE = 100
LARGEST_TALK = 2**26  # bytes of a file to go on with


@click.command()
@click.argument("model")
@click.option(
    "--system", metavar="TEXT", default="", help="The system message: instructions before the first question."
)
@click.option(
    "--max-tokens",
    type=int,
    metavar="N",
    help=f"How much it says at most in one go.  [default: {LONGEST_ANSWER}, "
    f"or {LONGEST_PASSAGE} where it completes your text]",
)
@sampling_options
@weights_option
def command(model: str, system: str, max_tokens: int | None, weights: str, **settings: Any) -> None:
    """Talk to MODEL.

    A model that was taught to answer answers. One that only completes text, as every model does
    that was trained from nothing, writes with you: you write, it goes on. Ctrl-C stops what it is
    saying; /help says what else there is. Nothing is kept on disk but by /save.

    Without a terminal, every line of standard input is what you say, and standard output has what
    the model says, and nothing else.

    \b
    Examples:
      homespun chat runs/shakespeare
      homespun chat runs/my-letters --temperature 0.6
      echo "ROMEO:" | homespun chat runs/shakespeare --seed 7
    """
    sampling = Sampling(**settings)
    if max_tokens is not None:
        whole("max_tokens", max_tokens, "a whole number of at least 1", at_least=1)
    import homespun

    opened = homespun.load(model, weights=weights)
    prepare_to_write(opened)
    talk = talk_with(opened, system, max_tokens)
    session = Session(talk, sampling, Screen())
    session.greet(model)
    session.hold()


def talk_with(opened: LanguageModel, system: str, max_tokens: int | None) -> Conversation | Manuscript:
    """What the model can do. Raises UsageError for a system text that it would never see."""
    from homespun.generation.chat import Conversation, Manuscript
    from homespun.tokenizer.chat_template import chat_tokenizer

    chat = chat_tokenizer(opened.tokenizer)
    if chat is None:
        if system:
            raise UsageError(NO_SYSTEM, "Leave --system out, and begin the text as you want it to go on.")
        return Manuscript(opened.engine, opened.tokenizer, max_tokens=max_tokens or LONGEST_PASSAGE)
    conversation = Conversation(opened.engine, chat, max_tokens=max_tokens or LONGEST_ANSWER)
    conversation.system = system
    return conversation


NO_SYSTEM = "This model only completes text; it knows no system text."
COMPLETES = "This model completes text; nobody taught it to answer. So you write together: you write, it goes on."
HOW_TO_WRITE = (
    "\nA line begins a new line of the text; one that begins with a space goes on in the same line;\n"
    "an empty one lets the model go on by itself. /undo takes back, /help says what else there is."
)
ANSWERS = "Say something. Ctrl-C stops an answer, /help says what else there is."


@dataclass
class Session:
    """A talk and where it is held.

    sampling   how the model chooses; with a seed, the n-th answer has the n-th seed from it on
    own_files  what this talk was saved to or loaded from: only these may be written over
    """

    talk: Conversation | Manuscript
    sampling: Sampling
    screen: Screen
    own_files: set[Path] = field(default_factory=set)
    answers: int = 0
    describe_of_the_window: bool = False
    described_loops: bool = False

    @property
    def answers_questions(self) -> bool:
        from homespun.generation.chat import Conversation

        return isinstance(self.talk, Conversation)

    def greet(self, name: str) -> None:
        if self.screen.terminal:
            self.screen.title(name)
        if not self.answers_questions:
            self.screen.note(COMPLETES + (HOW_TO_WRITE if self.screen.terminal else ""))
        elif self.screen.terminal:
            self.screen.note(ANSWERS)

    def hold(self) -> None:
        """Chat until the user leaves. In a terminal an error is printed and the chat goes on; else it raises."""
        while (line := self.screen.read()) is not None:
            try:
                if not self.take(line):
                    return
            except HomespunError as error:
                if not self.screen.terminal:
                    raise
                self.screen.complain(error)
            except KeyboardInterrupt:  # in the middle of a command
                if not self.screen.terminal:
                    raise
                self.screen.note("stopped")

    def take(self, line: str) -> bool:
        """Does what a line says; False where it says that this is all."""
        if line.startswith("/") and not line.startswith("//"):
            from homespun.cli.chat_commands import obey

            return obey(self, line)
        line = line.removeprefix("/") if line.startswith("//") else line
        if self.answers_questions and not line.strip():
            return True
        answer = self.answer_to(line)
        self.screen.show(answer, goes_on=not self.answers_questions)
        if self.sampling.temperature == 0 and not self.described_loops and goes_round(answer.text):
            self.described_loops = True
            self.screen.note(LOOPS)
        self.tell_of_the_window()
        return True

    def answer_to(self, line: str) -> Answer:
        from homespun.generation.chat import Conversation

        sampling = self.sampling.seeded().sample(self.answers)
        if isinstance(self.talk, Conversation):
            answer = self.talk.say(line, sampling)
        else:
            answer = self.talk.write(joined(self.talk.text, line), sampling)
        self.answers += 1
        return answer

    def tell_of_the_window(self) -> None:
        """Once: the model does not see all of it any more."""
        from homespun.generation.chat import Conversation, context_of

        if self.describe_of_the_window:
            return
        length = context_of(self.talk.model)
        if isinstance(self.talk, Conversation):
            if self.talk.first == 0:
                return
            what = "the oldest turns are out of its sight now" + (
                ", the system text is not" if self.talk.system else ""
            )
        else:
            if self.talk.tokens() <= length:
                return
            what = "the beginning of the text is out of its sight now"
        self.describe_of_the_window = True
        self.screen.note(f"The model's context has {length:,} tokens: {what}.")


def joined(text: str, line: str) -> str:
    """What a line adds to a text.

    >>> joined("Once", "Twice"), joined("Once", " upon"), joined("Once", ""), joined("Once\\n", "Twice")
    ('\\nTwice', ' upon', '', 'Twice')
    """
    if not text or not line or text.endswith("\n") or line.startswith(" "):
        return line
    return "\n" + line


def read_file(path: Path) -> str:
    """A saved talk or text. Raises TextNotFound, TextUnreadable."""
    try:
        if path.stat().st_size > LARGEST_TALK:
            raise TextUnreadable(f"{path} is too large for a talk.", f"It may have {LARGEST_TALK:,} bytes.")
        if not path.is_file():
            raise TextUnreadable(f"{path} is no file.", "Give the path of a file that /save wrote.")
        return path.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        raise TextNotFound(f"There is no file {path}.", "Give the path of a file that /save wrote.") from None
    except (UnicodeDecodeError, OSError) as error:
        raise TextUnreadable(f"{path} cannot be read as text: {error}.", "Give a text in UTF-8.") from None


def one_line(text: str, most: int = 60) -> str:
    """The end of a text, on one line.

    >>> one_line("To be,\\nor not", 10)
    '… , or not'
    """
    flat = " ".join(text.split())
    return flat if len(flat) <= most else "… " + flat[len(flat) - most + 2 :]
