"""What there is to say of a family of models; the families themselves stand in families.py. Needs no torch."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

Found = Mapping[str, Any]  # the fields that were read so far, by our names


@dataclass(frozen=True)
class Field:
    """Where a foreign file keeps one field of a GPTConfig.

    name     of the setting there
    default  what is meant where the file does not say it: a value, or a function of the fields above it;
             None where the file has to say it
    read     from the value there to ours, and `write` the other way round; None where they are the same
    copies   other settings that are written with the same value, and not read
    others   names of the same setting in older files, read where `name` is missing
    """

    name: str
    default: Any | Callable[[Found], Any] = None
    copies: tuple[str, ...] = ()
    others: tuple[str, ...] = ()
    read: Callable[[Any], Any] | None = None
    write: Callable[[Any], Any] | None = None

    def default_beside(self, found: Found) -> Any:
        return self.default(found) if callable(self.default) else self.default


@dataclass(frozen=True)
class Windows:
    """How a foreign file says which layers attend to a window only (local layers), and how wide that is.

    name     of the width
    default  what is meant where the file does not say it; None for no window
    switch   a flag without which there is no window; "" where its width alone decides
    first    the number of the layers before the first local one; None: local from the first on
    every    the number n where each n-th layer is global and the others are local; None where there is no pattern
    listed   whether layer_types may say of each layer what it is, which then counts
    """

    name: str = "sliding_window"
    default: int | None = None
    switch: str = ""
    first: Field | None = None
    every: Field | None = None
    listed: bool = True


@dataclass(frozen=True)
class NoRope:
    """How a foreign file says which layers go without rope.

    listed  the name of a list with a 0 for each of them, and a 1 for each of the others
    every   the number n where each n-th layer is one of them
    """

    listed: str
    every: Field


@dataclass(frozen=True)
class Rope:
    """What a foreign config calls the settings of rotary positions.

    base      the name of the base in files of before transformers 5, and what is meant where none is stated
    local     the same of local layers, where they have a base of their own
    share     the same of the share of a head that is rotated, where it is not all of it
    original  the name of the length that a scaling starts from, where it stands outside of the scaling
    """

    base: Field = Field("rope_theta", 10_000.0)
    local: Field | None = None
    share: Field | None = None
    original: str = ""


@dataclass(frozen=True)
class Choice:
    """A setting that the family leaves open: its name there, and our value -> its values, the first written."""

    name: str
    values: Mapping[str, tuple[str, ...]]


@dataclass(frozen=True)
class HuggingFace:
    """The family in transformers.

    model_type, architecture   as config.json names them
    fields       our fields -> its fields; what is missing follows from the others
    names        our modules -> its modules; several of ours may stand in one, one below the other
    written      what config.json says beside the fields, always
    accepted     settings that change what is computed -> the values that we compute; the first is meant
                 where the file does not say it
    transposed   how the names of matrices end that are stored (in, out), as GPT-2's Conv1D has them
    outer_name   that all modules but the head begin with, and that the first files were written without
    default_ids  special ids that its config has where nobody has set them: bos, then each end of text
    whole_heads  whether transformers wants n_embd to be a multiple of n_head, whatever a head's width is
    choices      our settings that it leaves open besides the fields -> how it says them
    windows      how it says which layers are local; None where none is
    no_rope      how it says which layers go without rope; None where none does
    rope         what it calls the settings of rotary positions
    by_head      names of its modules in which ours stand in turn: the first head of each, the second of each, …
    old_names    earlier names of the architecture
    """

    model_type: str
    architecture: str
    fields: Mapping[str, Field]
    names: Mapping[str, str]
    written: Mapping[str, Any]
    accepted: Mapping[str, tuple[Any, ...]]
    transposed: tuple[str, ...] = ()
    outer_name: str = ""
    default_ids: tuple[int, ...] = ()
    whole_heads: bool = False
    choices: Mapping[str, Choice] = field(default_factory=dict)
    windows: Windows | None = None
    no_rope: NoRope | None = None
    rope: Rope = Rope()
    by_head: tuple[str, ...] = ()
    old_names: tuple[str, ...] = ()


def headless(architecture: str) -> str:
    """The class that AutoModel makes and saves for an architecture: the blocks alone.

    >>> headless("Qwen3ForCausalLM"), headless("GPT2LMHeadModel")
    ('Qwen3Model', 'GPT2Model')
    """
    return architecture.replace("ForCausalLM", "Model").replace("LMHeadModel", "Model")


@dataclass(frozen=True)
class GGUF:
    """The family in llama.cpp.

    architecture   general.architecture, and what its settings begin with
    fields, names, windows, no_rope  as in HuggingFace
    plus_one       whether the weights of norms are stored with the one that RMSNorm adds to them
    fixed          our settings that follow from the others there, and that no file says: functions of the fields
    permuted       whether the rows of queries and keys are in the order for a rope of neighbours (weights.py)
    pretokenizer   what tokenizer.ggml.pre means where a file does not say it; None where it has to
    ollama_engine  whether Ollama runs it with an engine of its own, which cuts a text as Qwen does
    """

    architecture: str
    fields: Mapping[str, Field]
    names: Mapping[str, str]
    windows: Windows | None = None
    no_rope: NoRope | None = None
    plus_one: bool = False
    fixed: Mapping[str, Callable[[Found], Any]] = field(default_factory=dict)
    permuted: bool = False
    pretokenizer: str | None = None
    ollama_engine: bool = False


@dataclass(frozen=True)
class Family:
    """One family.

    name              what --model and config.json call it
    settings          of GPTConfig, each a value or a function of n_layer, n_head, n_embd and head_width; none for
                      a table
    label             what it is like, for screens
    is_table          whether it is no transformer but the bigram's table
    ties_head         whether head and embedding are one table by default; None: where vocab_size > 8 n_embd,
                      for a small vocabulary can afford two
    drops_whole       whether dropout zeroes whole channels and heads' values (dropout.py), or single numbers
    drops_embedding   whether dropout also stands behind the embedding
    shrinks_branches  whether what the blocks add starts smaller by sqrt(2 n_layer) (GPT-2's initialisation)
    planned           whether the planner searches its shape and knows what loss to expect of it
    trained           whether models of it are trained from scratch; the others are opened and fine-tuned
    loss_factor       its loss over that of modern at the same size and data, from single runs beside it
    recipe            settings of a training plan that it keeps from where it comes from
    tuning_recipe     the same of a fine-tuning
    hugging_face      None where transformers has no such model
    gguf              None where llama.cpp has no such model
    """

    name: str
    settings: Mapping[str, Any] = field(default_factory=dict)
    label: str = ""
    is_table: bool = False
    ties_head: bool | None = None
    drops_whole: bool = True
    drops_embedding: bool = False
    shrinks_branches: bool = True
    planned: bool = True
    trained: bool = True
    loss_factor: float = 1.0
    recipe: Mapping[str, Any] = field(default_factory=dict)
    tuning_recipe: Mapping[str, Any] = field(default_factory=dict)
    hugging_face: HuggingFace | None = None
    gguf: GGUF | None = None

    def settings_for(self, sizes: Found) -> dict[str, Any]:
        """The settings of a model of these sizes."""
        return {name: value(sizes) if callable(value) else value for name, value in self.settings.items()}
