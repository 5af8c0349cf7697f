"""Reads a pickle without executing it: plain values come out, and whatever else it asks for is refused by name.

A pickle is a program for a small stack machine (https://docs.python.org/3/library/pickletools.html). Its opcodes
GLOBAL and REDUCE import any name and call it, which is why opening one can run anything. Here the standard
library's `pickletools` takes the program apart, and this file follows the opcodes that make plain values. A
name is looked up in a short table of functions of ours, and nothing is ever imported.

>>> import pickle
>>> read_pickle(pickle.dumps({"itos": {0: "a"}, "vocab_size": 1}), "meta.pkl")
{'itos': {0: 'a'}, 'vocab_size': 1}
"""

from __future__ import annotations

import pickletools
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from homespun.errors import CheckpointError

LARGEST = 2**26  # bytes; that of a checkpoint with its optimizer has some tens of thousands
MOST_OPCODES = 2**21
MOST_DIGITS = 64  # bytes of an integer
MOST_ARGUMENTS = 16
LONGEST_PATH = 4096

NEVER_RUN = (
    "Nothing in it was run, and torch.load or pickle.load would run it: open it with them only if you made it. "
    "If it is your own, save its weights and plain settings alone: "
    "torch.save({'model': model.state_dict(), 'model_args': dict_of_numbers}, FILE)."
)

Maker = Callable[..., Any]


@dataclass(frozen=True)
class Name:
    """What GLOBAL puts on the stack: a name, and nothing behind it."""

    module: str
    name: str

    def __str__(self) -> str:
        return f"{self.module}.{self.name}"[:120]


@dataclass
class Record:
    """An object of a class of settings, as its fields alone: a dataclass, a Namespace, minGPT's CfgNode."""

    name: Name
    fields: dict[str, Any] = field(default_factory=dict)


# Modules whose classes hold settings in the scripts that people train with. Of an object of theirs the fields are
# taken, and nothing of the class.
SETTINGS = ("__main__", "argparse", "model", "types")
SETTINGS_PACKAGES = ("mingpt.", "train", "gpt", "nanogpt")


def ordered_dict(*pairs: Any) -> dict[Any, Any]:
    """`OrderedDict()`; its pairs come afterwards."""
    if pairs and pairs != ([],):
        raise ValueError("an OrderedDict with pairs")
    return {}


def text_of_parts(*parts: Any) -> str:
    """A path, as its text."""
    if not all(isinstance(part, str) and len(part) <= LONGEST_PATH for part in parts):
        raise ValueError("a path that is none")
    return "/".join(parts)


def items_of(items: Any = ()) -> Any:
    """The items of a set: in the order in which they stand, and not copied."""
    if not isinstance(items, (list, tuple)):
        raise ValueError("a set of what is no list")
    return items


PLAIN: Mapping[tuple[str, str], Maker] = {
    ("collections", "OrderedDict"): ordered_dict,
    ("pathlib", "PosixPath"): text_of_parts,
    ("pathlib", "WindowsPath"): text_of_parts,
    ("pathlib._local", "PosixPath"): text_of_parts,
    ("builtins", "set"): items_of,
    ("__builtin__", "set"): items_of,
}


def read_pickle(
    data: bytes,
    where: str,
    *,
    makers: Mapping[tuple[str, str], Maker] | None = None,
    persistent: Maker | None = None,
) -> Any:
    """Return the value that a pickle describes: None, numbers, strings, bytes, lists, tuples, dicts, Records.

    where: what the messages call it. makers: further names that it may call, with what stands for them.
    persistent: makes a value of what BINPERSID refers to, which is how torch refers to the numbers of tensors.
    Raises CheckpointError for anything else, for damage, and for more than any checkpoint has.
    """
    if len(data) > LARGEST:
        raise CheckpointError(
            f"{where} is a pickle of {len(data):,} bytes; homespun reads up to {LARGEST:,}.", NEVER_RUN
        )
    machine = Machine(where, {**PLAIN, **(makers or {})}, persistent)
    try:
        return machine.run(data)
    except (ValueError, IndexError, KeyError, TypeError, OverflowError, RecursionError, UnicodeError) as error:
        reason = str(error)[:160] or type(error).__name__
        raise CheckpointError(
            f"{where} is damaged, or no pickle of plain values: {reason}.", "Get the file again."
        ) from error


MARK = object()


class Machine:
    """The stack machine, with the opcodes that make plain values."""

    def __init__(self, where: str, makers: Mapping[tuple[str, str], Maker], persistent: Maker | None) -> None:
        self.where = where
        self.makers = makers
        self.persistent = persistent
        self.stack: list[Any] = []
        self.memo: dict[int, Any] = {}
        self.steps = 0

    def count(self, steps: int) -> None:
        """One opcode can do the work of many: what it copies counts as well."""
        self.steps += steps
        if self.steps > MOST_OPCODES:
            raise CheckpointError(
                f"{self.where} has more than {MOST_OPCODES:,} steps, and no checkpoint needs so many.", NEVER_RUN
            )

    def run(self, data: bytes) -> Any:
        for opcode, argument, _ in pickletools.genops(data):
            self.count(1)
            if opcode.name == "STOP":
                return self.pop()
            step = STEPS.get(opcode.name)
            if step is None:
                raise self.refused(f"uses {opcode.name}, which makes objects and no plain values")
            step(self, argument)
        raise ValueError("it has no end")

    def refused(self, what: str) -> CheckpointError:
        return CheckpointError(f"{self.where} {what}.", NEVER_RUN)

    def pop(self) -> Any:
        value = self.stack.pop()
        if value is MARK:
            raise ValueError("a mark where a value should be")
        return value

    def push(self, value: Any) -> None:
        self.stack.append(value)

    def items(self) -> list[Any]:
        """What stands above the last mark; both are taken off."""
        at = len(self.stack) - 1
        while self.stack[at] is not MARK:
            at -= 1
            if at < 0:
                raise ValueError("no mark")
        found = self.stack[at + 1 :]
        del self.stack[at:]
        return found

    def set_items(self, pairs: list[Any]) -> None:
        target = self.stack[-1]
        if not isinstance(target, dict):
            raise ValueError("items of what is no dict")
        for key, value in zip(pairs[::2], pairs[1::2], strict=True):
            if not isinstance(key, (str, int, float, bytes, type(None))):  # a tuple may take for ever to hash
                raise ValueError(f"a {type(key).__name__} as the key of a dict")
            target[key] = value

    def append(self, values: list[Any]) -> None:
        target = self.stack[-1]
        if not isinstance(target, list):
            raise ValueError("items of what is no list")
        target.extend(values)

    def remember(self, key: int | None) -> None:
        self.memo[len(self.memo) if key is None else key] = self.stack[-1]

    def named(self, module: Any, name: Any) -> None:
        if not (isinstance(module, str) and isinstance(name, str)):
            raise ValueError("a name that is no text")
        found = Name(module, name)
        if (module, name) not in self.makers and not is_settings(found) and found not in RECONSTRUCTORS:
            raise self.refused(f"asks for {found}, and a model is made of tensors and plain values")
        self.push(found)

    def call(self) -> None:
        arguments, function = self.pop(), self.pop()
        if not isinstance(function, Name) or not isinstance(arguments, tuple):
            raise ValueError("a call of what is no name")
        if len(arguments) > MOST_ARGUMENTS:
            raise ValueError(f"a call with {len(arguments):,} arguments")
        if function in RECONSTRUCTORS and arguments and isinstance(arguments[0], Name):
            self.make_record(arguments[0], arguments[1:])
            return
        maker = self.makers.get((function.module, function.name))
        if maker is None:
            raise self.refused(f"asks to call {function}, and a model is made of tensors and plain values")
        self.push(maker(*arguments))

    def make_record(self, name: Name, others: tuple[Any, ...]) -> None:
        """An object of a class of settings, without its arguments: nothing is called."""
        if not is_settings(name) or any(isinstance(other, Name) and not is_object(other) for other in others):
            raise self.refused(
                f"asks to make an object of {name}, and a model is made of tensors and plain values"
            )
        self.push(Record(name))

    def build(self) -> None:
        """Sets the fields of an object. Only those of records are kept."""
        state = self.pop()
        parts = state if isinstance(state, tuple) and len(state) == 2 else (state,)  # two of a class with slots
        for part in parts:
            if isinstance(self.stack[-1], Record) and isinstance(part, dict):
                self.count(len(part))
                self.stack[-1].fields.update(part)


def is_settings(name: Name) -> bool:
    return name.module in SETTINGS or name.module.startswith(SETTINGS_PACKAGES) or is_object(name)


def is_object(name: Name) -> bool:
    return name.name == "object" and name.module in ("builtins", "__builtin__")


RECONSTRUCTORS = {Name(module, "_reconstructor") for module in ("copyreg", "copy_reg")}


def whole(value: Any) -> int:
    """An integer as it may stand in a model's settings."""
    if not isinstance(value, int) or value.bit_length() > 8 * MOST_DIGITS:
        raise ValueError("an integer of too many digits")
    return value


def text_or_bytes(value: Any) -> Any:
    """What Python 2 wrote as a string."""
    return value if isinstance(value, str) else bytes(value).decode("latin-1")


Step = Callable[[Machine, Any], object]  # what it returns is not used


def constant(value: Any) -> Step:
    return lambda machine, argument: machine.push(value)


def pushed(change: Callable[[Any], Any]) -> Step:
    return lambda machine, argument: machine.push(change(argument))


def tuple_of(count: int) -> Step:
    def step(machine: Machine, argument: Any) -> None:
        machine.push(tuple(reversed([machine.pop() for _ in range(count)])))

    return step


def pairs_to_dict(machine: Machine, argument: Any) -> None:
    pairs = machine.items()
    machine.push({})
    machine.set_items(pairs)


def set_one(machine: Machine, argument: Any) -> None:
    value, key = machine.pop(), machine.pop()
    machine.set_items([key, value])


def append_one(machine: Machine, argument: Any) -> None:
    value = machine.pop()
    machine.append([value])


def put(machine: Machine, argument: Any) -> None:
    if not isinstance(argument, int) or argument > MOST_OPCODES:
        raise ValueError("a place to remember that is too high")
    machine.remember(argument)


def global_name(machine: Machine, argument: Any) -> None:
    machine.named(*str(argument).split(" ", 1))


def global_of_stack(machine: Machine, argument: Any) -> None:
    name, module = machine.pop(), machine.pop()
    machine.named(module, name)


def new_object(machine: Machine, argument: Any) -> None:
    arguments, name = machine.pop(), machine.pop()
    if not isinstance(name, Name) or arguments != ():
        raise machine.refused("makes an object with arguments, and a model is made of tensors and plain values")
    if (name.module, name.name) in machine.makers:
        machine.push(machine.makers[name.module, name.name]())
    else:
        machine.make_record(name, ())


def persistent_value(machine: Machine, argument: Any) -> None:
    if machine.persistent is None:
        raise machine.refused("refers to something outside of itself")
    machine.push(machine.persistent(machine.pop()))


STEPS: dict[str, Step] = {
    "PROTO": lambda machine, argument: None,
    "FRAME": lambda machine, argument: None,
    "MARK": lambda machine, argument: machine.push(MARK),
    "NONE": constant(None),
    "NEWTRUE": constant(True),
    "NEWFALSE": constant(False),
    **dict.fromkeys(("INT", "BININT", "BININT1", "BININT2", "LONG", "LONG1", "LONG4"), pushed(whole)),
    **dict.fromkeys(("FLOAT", "BINFLOAT"), pushed(float)),
    **dict.fromkeys(("UNICODE", "BINUNICODE", "SHORT_BINUNICODE", "BINUNICODE8"), pushed(str)),
    **dict.fromkeys(("STRING", "BINSTRING", "SHORT_BINSTRING"), pushed(text_or_bytes)),
    **dict.fromkeys(("BINBYTES", "SHORT_BINBYTES", "BINBYTES8"), pushed(bytes)),
    "EMPTY_TUPLE": constant(()),
    "TUPLE": lambda machine, argument: machine.push(tuple(machine.items())),
    "TUPLE1": tuple_of(1),
    "TUPLE2": tuple_of(2),
    "TUPLE3": tuple_of(3),
    "EMPTY_LIST": lambda machine, argument: machine.push([]),
    "EMPTY_SET": lambda machine, argument: machine.push([]),
    "LIST": lambda machine, argument: machine.push(machine.items()),
    "FROZENSET": lambda machine, argument: machine.push(machine.items()),
    "APPEND": append_one,
    "APPENDS": lambda machine, argument: machine.append(machine.items()),
    "ADDITEMS": lambda machine, argument: machine.append(machine.items()),
    "EMPTY_DICT": lambda machine, argument: machine.push({}),
    "DICT": pairs_to_dict,
    "SETITEM": set_one,
    "SETITEMS": lambda machine, argument: machine.set_items(machine.items()),
    **dict.fromkeys(("PUT", "BINPUT", "LONG_BINPUT"), put),
    "MEMOIZE": lambda machine, argument: machine.remember(None),
    **dict.fromkeys(
        ("GET", "BINGET", "LONG_BINGET"), lambda machine, argument: machine.push(machine.memo[argument])
    ),
    "POP": lambda machine, argument: machine.stack.pop(),
    "POP_MARK": lambda machine, argument: machine.items(),
    "DUP": lambda machine, argument: machine.push(machine.stack[-1]),
    "GLOBAL": global_name,
    "STACK_GLOBAL": global_of_stack,
    "REDUCE": lambda machine, argument: machine.call(),
    "NEWOBJ": new_object,
    "BUILD": lambda machine, argument: machine.build(),
    "BINPERSID": persistent_value,
}
