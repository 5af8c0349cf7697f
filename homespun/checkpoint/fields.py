"""Reading a JSON file that anyone may have written: small, of the right types, in bounds, or refused."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from homespun.errors import CheckpointError
from homespun.model.config import LIMITS, SCALES
from homespun.model.family import Field

LARGEST = 2**20  # bytes: configs have a few thousand
REQUIRED: Any = object()
# Fields of a config that are no whole numbers: from, and below.
NUMBERS = {
    "norm_eps": (0.0, 1.0),
    "dropout": (0.0, 1.0),
    "rotary_base": (1.0, 1e12),
    "local_base": (1.0, 1e12),
    **dict.fromkeys(SCALES, (1e-6, 1e6)),
}


def read_json(path: Path, largest: int = LARGEST) -> dict[str, Any]:
    """The JSON object in path. Raises CheckpointError where it is missing, huge, damaged or no object."""
    again = "Get the file again, or take the folder of another model."
    try:
        if path.exists() and not path.is_file():
            raise CheckpointError(f"{path} is not a file.", again)
        size = path.stat().st_size
        if size > largest:
            raise CheckpointError(f"{path} has {size:,} bytes; no such file has more than {largest:,}.", again)
        value = json.loads(path.read_bytes().decode("utf-8-sig"))
    except OSError as error:
        raise CheckpointError(f"{path} cannot be read: {error.strerror}.", again) from error
    except (ValueError, RecursionError) as error:
        reason = "it is empty" if size == 0 else f"it is not JSON ({str(error)[:120]})"
        raise CheckpointError(f"{path} is damaged: {reason}.", again) from error
    if not isinstance(value, dict):
        raise CheckpointError(f"{path} holds {brief(value)} where settings with names were expected.", again)
    return value


class Fields:
    """The settings in a file, each taken with the type and the bounds that it must have.

    >>> Fields({"n_layer": 4}, "config.json").whole("n_layer", 1, 512)
    4
    """

    def __init__(self, values: dict[str, Any], origin: str) -> None:
        self.values = values
        self.origin = origin  # where they stand, for the messages

    def whole(self, name: str, least: int, most: int, default: Any = REQUIRED) -> int:
        value = self.take(name, default)
        if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= most:
            self.refuse(name, value, f"a whole number from {least} to {most:,}")
        return value

    def number(self, name: str, least: float, below: float, default: Any = REQUIRED) -> float:
        value = self.take(name, default)
        if not isinstance(value, (int, float)) or isinstance(value, bool) or not least <= value < below:
            self.refuse(name, value, f"a number from {least:g} to {below:g}")
        return float(value)

    def flag(self, name: str, default: Any = REQUIRED) -> bool:
        value = self.take(name, default)
        if not isinstance(value, bool):
            self.refuse(name, value, "true or false")
        return value

    def one_of(self, name: str, choices: tuple[Any, ...], default: Any = REQUIRED) -> Any:
        """A setting that homespun can honour in these values only."""
        value = self.take(name, default)
        if not any(value is choice or (type(value) is type(choice) and value == choice) for choice in choices):
            self.refuse(name, value, " or ".join(json.dumps(choice) for choice in choices))
        return value

    def model_fields(self, wanted: Mapping[str, Field], prefix: str = "") -> dict[str, Any]:
        """Fields of a GPTConfig by our names, each in the bounds that a config has. prefix: of all names here."""
        found: dict[str, Any] = {}
        for ours, field in wanted.items():
            name, default = self.name_of(field, prefix), field.default_beside(found)
            default = REQUIRED if default is None else default
            value: Any
            if ours in LIMITS:
                value = self.whole(name, 1, LIMITS[ours], default)
            elif ours in NUMBERS:
                value = self.number(name, *NUMBERS[ours], default)
            else:
                value = self.flag(name, default)
            found[ours] = field.read(value) if field.read else value
        return found

    def name_of(self, field: Field, prefix: str = "") -> str:
        """The name that this file has for a field: the usual one, or an older one that is there instead."""
        names = [prefix + name for name in (field.name, *field.others)]
        return next((name for name in names if self.values.get(name) is not None), names[0])

    def take(self, name: str, default: Any) -> Any:
        """The value; the default where it is missing or null."""
        value = self.values.get(name)
        if value is not None:
            return value
        if default is REQUIRED:
            raise CheckpointError(
                f"{self.origin} does not say {name}.",
                "Take a folder with the whole config of its model; this one was cut or written by hand.",
            )
        return default

    def refuse(self, name: str, value: Any, wanted: str) -> None:
        raise CheckpointError(
            f"{self.origin}: {name} is {brief(value)}. homespun can work with: {wanted}.",
            "Take another model, or the config that belongs to these weights.",
        )


def model_settings(config: Any, wanted: Mapping[str, Field], prefix: str = "") -> dict[str, Any]:
    """The other way round: the settings of a file for the fields of a GPTConfig."""
    said: dict[str, Any] = {}
    for ours, field in wanted.items():
        value = getattr(config, ours)
        value = field.write(value) if field.write else value
        for name in (field.name, *field.copies):
            said[prefix + name] = float(value) if ours in NUMBERS and not field.write else value
    return said


def brief(value: Any) -> str:
    """A value as a message can show it: a hostile one may be megabytes long.

    >>> brief([1, 2]), brief([0] * 1000)
    ('[1, 2]', 'a list of 1,000')
    """
    if isinstance(value, (list, dict)) and len(value) > 3:
        return f"{'a list' if isinstance(value, list) else 'an object'} of {len(value):,}"
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 61 else text[:60] + "…"
