"""The ids with a role, as the files of a model state them: where a text begins, where it ends, what fills up rows.

A model may name several ends (Llama 3 Instruct: `<|end_of_text|>` and `<|eot_id|>`); a tokenizer names one.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from typing import Any

MOST_ENDS = 64  # ids in a list of ends; models in use name up to five


@dataclass(frozen=True)
class SpecialIds:
    """What one file states. None and () where it states nothing.

    bos: begins a text. eos: each of them ends one. pad: fills up the rows of a batch.

    >>> SpecialIds.from_json({"bos_token_id": 0, "eos_token_id": [1, 2], "pad_token_id": -1}, below=400)
    SpecialIds(bos=0, eos=(1, 2), pad=None)
    """

    bos: int | None = None
    eos: tuple[int, ...] = ()
    pad: int | None = None

    @classmethod
    def from_json(cls, values: Mapping[str, Any], *, below: int) -> SpecialIds:
        """What a config.json or generation_config.json states; what is no id below `below` is left out."""

        def ids(name: str) -> list[int]:
            said = values.get(name)
            several = said[:MOST_ENDS] if isinstance(said, list) else [said]
            return [id for id in several if type(id) is int and 0 <= id < below]

        bos, pad = ids("bos_token_id"), ids("pad_token_id")
        return cls(bos[0] if bos else None, tuple(dict.fromkeys(ids("eos_token_id"))), pad[0] if pad else None)

    def to_json(self) -> dict[str, Any]:
        """In the words of Hugging Face, with null for what is not stated.

        >>> SpecialIds(eos=(1,)).to_json(), SpecialIds(eos=(1, 2)).to_json()["eos_token_id"]
        ({'bos_token_id': None, 'eos_token_id': 1, 'pad_token_id': None}, [1, 2])
        """
        eos = list(self.eos) if len(self.eos) > 1 else self.eos[0] if self.eos else None
        return {"bos_token_id": self.bos, "eos_token_id": eos, "pad_token_id": self.pad}

    def ending_with(self, id: int | None) -> SpecialIds:
        """With that end before the others, where it is none of them; None changes nothing."""
        return self if id is None or id in self.eos else replace(self, eos=(id, *self.eos))

    def without(self, ids: Collection[int]) -> SpecialIds:
        return SpecialIds(
            None if self.bos in ids else self.bos,
            tuple(id for id in self.eos if id not in ids),
            None if self.pad in ids else self.pad,
        )

    def completed(self, bos: int | None, eos: tuple[int, ...]) -> SpecialIds:
        """With that beginning and these ends where it states none."""
        return replace(self, bos=bos if self.bos is None else self.bos, eos=self.eos or eos)


@dataclass(frozen=True)
class StatedIds:
    """What a model folder states: config.json about the model, generation_config.json about writing with it.

    The two may differ (Qwen's instruct models name one end in the first and two in the second). A GGUF file
    states both at once.
    """

    config: SpecialIds
    generation: SpecialIds

    @property
    def ends(self) -> tuple[int, ...]:
        """Every id that ends a text, in the order in which they are named."""
        return tuple(dict.fromkeys((*self.config.eos, *self.generation.eos)))

    def ending_with(self, id: int | None) -> StatedIds:
        return StatedIds(self.config.ending_with(id), self.generation.ending_with(id))


def ids_of_new_model(end_of_text: int | None) -> StatedIds:
    """What homespun states of a model that it has trained: a text begins where the one before it has ended."""
    own = SpecialIds(bos=end_of_text).ending_with(end_of_text)
    return StatedIds(own, replace(own, pad=end_of_text))
