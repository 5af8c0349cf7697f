"""How the rotary frequencies of a model are changed, so that it reads longer texts than before. Needs no torch."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any

from homespun.errors import ModelError


@dataclass(frozen=True)
class RopeScaling:
    """One of the ways that there are; what a way does not use stays at its default.

    linear    every frequency is divided by `factor` (Chen et al. 2023, arXiv 2306.15595)
    dynamic   as without, up to the length of the context, which is as far as a model reads here; the base would
              grow with the text beyond it
    llama3    wavelengths above original_context / low are divided by `factor`, those below original_context / high
              stay, and those between are in between (Llama 3.1, arXiv 2407.21783)
    yarn      pairs that turn less than beta_slow times within original_context are divided by `factor`, those that
              turn more than beta_fast times stay, and the index of a pair decides between them; `truncated`: the
              indices are whole (Peng et al. 2023, arXiv 2309.00071)
    longrope  each pair is divided by a number of its own: one of `short` up to original_context, beyond it one of
              `long` (Ding et al. 2024, arXiv 2402.13753). What a model reads here is not longer than that;
              full_context is what it could read

    attention_factor  what yarn and longrope multiply cosines and sines with
    """

    kind: str
    factor: float = 1.0
    original_context: int = 0
    low: float = 1.0
    high: float = 4.0
    beta_fast: float = 32.0
    beta_slow: float = 1.0
    truncated: bool = True
    attention_factor: float = 1.0
    short: tuple[float, ...] = ()
    long: tuple[float, ...] = ()
    full_context: int = 0

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise ModelError(f"There is no rope scaling {self.kind!r}.", f"It is one of: {', '.join(KINDS)}.")
        numbers = (self.factor, self.low, self.high, self.beta_fast, self.beta_slow, self.attention_factor)
        if not all(0.0 < number < 1e9 for number in (*numbers, *self.short, *self.long)):
            raise ModelError(
                "A number of the rope scaling is not above 0.", "Take the config of the model itself."
            )
        if self.kind in ("llama3", "yarn", "longrope") and self.original_context < 1:
            raise ModelError("The rope scaling does not say original_context.", "It is a number of tokens.")
        if self.kind == "llama3" and self.high <= self.low:
            raise ModelError(f"high is {self.high:g}, and low {self.low:g}.", "high is more than low.")

    def check_width(self, rotary_width: int) -> None:
        """Raises ModelError where it is not of a model that rotates so many numbers of a head."""
        for name, factors in (("short", self.short), ("long", self.long)):
            if self.kind == "longrope" and len(factors) != rotary_width // 2:
                raise ModelError(
                    f"The {name} factors of the rope scaling are {len(factors):,}, and a head has "
                    f"{rotary_width // 2:,} pairs that are rotated.",
                    "Take the config of the model itself.",
                )

    @classmethod
    def of(cls, values: dict[str, Any]) -> RopeScaling:
        """The other way round of `as_json`. Raises ModelError."""
        try:
            lists = {name: tuple(map(float, values.get(name, ()))) for name in ("short", "long")}
            return cls(**{**values, **lists})
        except (TypeError, ValueError) as error:
            raise ModelError(f"rope_scaling is damaged: {str(error)[:80]}.", "Take the config again.") from error

    def as_json(self) -> dict[str, Any]:
        return {name: list(value) if isinstance(value, tuple) else value for name, value in asdict(self).items()}

    def dividers(self, frequencies: list[float], base: float) -> list[float]:
        """What the frequency of each pair is divided by. frequencies: those of the pairs without scaling."""
        return [KINDS[self.kind](self, index, one, frequencies, base) for index, one in enumerate(frequencies)]


def nothing(scaling: RopeScaling, index: int, frequency: float, all_of_them: list[float], base: float) -> float:
    return 1.0


def by_factor(scaling: RopeScaling, index: int, frequency: float, all_of_them: list[float], base: float) -> float:
    return scaling.factor


def by_wavelength(
    scaling: RopeScaling, index: int, frequency: float, all_of_them: list[float], base: float
) -> float:
    turns = scaling.original_context * frequency / (2 * math.pi)
    kept = min(max((turns - scaling.low) / (scaling.high - scaling.low), 0.0), 1.0)
    return 1.0 / (kept + (1.0 - kept) / scaling.factor)


def by_turns(scaling: RopeScaling, index: int, frequency: float, all_of_them: list[float], base: float) -> float:
    width = 2 * len(all_of_them)

    def place(turns: float) -> float:
        """The index of the pair that turns so often within the original context, as a number between indices."""
        return width * math.log(scaling.original_context / (turns * 2 * math.pi)) / (2 * math.log(base))

    first, last = place(scaling.beta_fast), place(scaling.beta_slow)
    if scaling.truncated:
        first, last = math.floor(first), math.ceil(last)
    first, last = max(first, 0), min(last, width - 1)
    divided = min(max((index - first) / (last - first if last != first else 1e-3), 0.0), 1.0)
    return 1.0 / (1.0 - divided + divided / scaling.factor)


def by_pair(scaling: RopeScaling, index: int, frequency: float, all_of_them: list[float], base: float) -> float:
    return scaling.short[index]


KINDS = {"linear": by_factor, "dynamic": nothing, "llama3": by_wavelength, "yarn": by_turns, "longrope": by_pair}
