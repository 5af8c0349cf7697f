"""Which layers of a model are of which kind, as foreign files say it: both ways.

Some list every layer, some name a pattern or the first layer of a kind; how a family does it stands in
model/families.py. A kind that we do not have is refused by name.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from homespun.checkpoint.fields import REQUIRED, Fields
from homespun.model.config import LIMITS, GPTConfig
from homespun.model.family import GGUF, Field, HuggingFace, NoRope, Windows
from homespun.model.layers import GLOBAL, LOCAL, NOPE, pattern_of

LISTED = "layer_types"
NAMES = {GLOBAL: "full_attention", LOCAL: "sliding_attention"}
KINDS = {name: kind for kind, name in NAMES.items()}


def read_layers(file: Fields, theirs: HuggingFace | GGUF, n_layer: int, prefix: str = "") -> dict[str, Any]:
    """`layers` and `window` of a model with so many layers. prefix: of all names in this file.

    Raises CheckpointError.
    """
    found = read_windows(file, theirs.windows, n_layer, prefix)
    if theirs.no_rope is None:
        return found
    plain = layers_without_rope(file, theirs.no_rope, n_layer, prefix)
    if any(plain) and found["window"]:
        file.refuse(LISTED, file.values.get(LISTED), "windows or layers without rope, not both")
    return {**found, "layers": pattern_of([NOPE if one else GLOBAL for one in plain])} if any(plain) else found


def read_windows(file: Fields, windows: Windows | None, n_layer: int, prefix: str) -> dict[str, Any]:
    width = width_of(file, windows, prefix)
    kinds = [GLOBAL] * n_layer if windows is None or not width else kinds_by_rule(file, windows, n_layer, prefix)
    listed = listed_kinds(file, n_layer)
    if listed is not None and windows is not None and windows.listed:
        kinds = listed
    elif listed is not None and listed != kinds:
        file.refuse(LISTED, file.values[LISTED], "the same kind of attention in every layer")
    if LOCAL not in kinds:
        return {"layers": (GLOBAL,), "window": 0}
    if not width:
        assert windows is not None, "only windows make layers local"
        file.refuse(prefix + windows.name, width, "a number of tokens, where layers have a window")
    return {"layers": pattern_of(kinds), "window": width}


def width_of(file: Fields, windows: Windows | None, prefix: str) -> int | None:
    """How many tokens a window has; None where there is none."""
    if windows is None or (
        windows.switch and not file.flag(windows.switch, False) and not file.values.get(LISTED)
    ):
        return None
    name = prefix + windows.name
    value = file.values.get(name, windows.default)  # null is an answer of its own
    if value is None or value == 0:
        return None
    return file.whole(name, 1, 2**31, value)


def kinds_by_rule(file: Fields, windows: Windows, n_layer: int, prefix: str) -> list[str]:
    if windows.first is not None:
        first = whole(file, windows.first, prefix, least=0)
        return [GLOBAL if layer < first else LOCAL for layer in range(n_layer)]
    if windows.every is not None:
        every = whole(file, windows.every, prefix, least=1)
        return [LOCAL if (layer + 1) % every else GLOBAL for layer in range(n_layer)]
    return [LOCAL] * n_layer


def layers_without_rope(file: Fields, rule: NoRope, n_layer: int, prefix: str) -> list[bool]:
    listed = file.values.get(prefix + rule.listed)
    if listed is None:
        every = whole(file, rule.every, prefix, least=1)
        return [(layer + 1) % every == 0 for layer in range(n_layer)]
    if not isinstance(listed, list) or len(listed) != n_layer or any(one not in (0, 1) for one in listed):
        file.refuse(prefix + rule.listed, listed, f"{n_layer} numbers, each 0 or 1")
    return [one == 0 for one in listed]


def whole(file: Fields, field: Field, prefix: str, *, least: int) -> int:
    default = REQUIRED if field.default is None else field.default
    return file.whole(file.name_of(field, prefix), least, 2**31, default)


def listed_kinds(file: Fields, n_layer: int) -> list[str] | None:
    """What layer_types says of each layer; None where it says nothing."""
    listed = file.values.get(LISTED)
    if listed is None:
        return None
    wanted = f"{n_layer} of: {', '.join(KINDS)}"
    if not isinstance(listed, list) or len(listed) != n_layer or len(listed) > LIMITS["n_layer"]:
        file.refuse(LISTED, listed, wanted)
    for name in listed:
        if not isinstance(name, str) or name not in KINDS:
            file.refuse(LISTED, name, wanted)
    return [KINDS[name] for name in listed]


def layers_to_json(config: GPTConfig, theirs: HuggingFace) -> dict[str, Any]:
    """What config.json says of the layers."""
    kinds, windows = kinds_of(config), theirs.windows
    if theirs.no_rope is not None:
        return {theirs.no_rope.listed: [int(kind != NOPE) for kind in kinds]}
    if windows is None:
        return {}
    slides = LOCAL in kinds
    said: dict[str, Any] = {windows.name: config.window if slides else None}
    if windows.switch:
        said[windows.switch] = slides
    if windows.first is not None:
        said[windows.first.name] = kinds.index(LOCAL) if slides else config.n_layer
    if windows.listed and slides:
        said[LISTED] = [NAMES[kind] for kind in kinds]
    return said


def kinds_of(config: GPTConfig) -> Sequence[str]:
    """The kind of each layer."""
    return [config.kind_of(layer) for layer in range(config.n_layer)]
