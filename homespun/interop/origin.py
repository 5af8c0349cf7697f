"""Where a model comes from, as far as it says: its name, its licence, how it wants to be sampled from."""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from homespun.checkpoint.fields import read_json
from homespun.checkpoint.special_ids import generation_config
from homespun.interop.gguf.file import read_gguf
from homespun.tokenizer.special_ids import SpecialIds

CARD = "README.md"
ADAPTER = "adapter_config.json"
LONGEST_CARD = 2**20  # bytes
LONGEST_WORD = 200  # characters of what a stranger's card says

# Our words for sampling -> those of generation_config.json, and of a GGUF file (general.sampling.…).
SAMPLING = {
    "temperature": ("temperature", "temp"),
    "top_k": ("top_k", "top_k"),
    "top_p": ("top_p", "top_p"),
    "min_p": ("min_p", "min_p"),
    "repetition_penalty": ("repetition_penalty", "penalty_repeat"),
    "max_tokens": ("max_new_tokens", ""),
}
BOUNDS = {
    "temperature": (0.0, 10.0),
    "top_k": (1, 2**20),
    "top_p": (1e-6, 1.0),
    "min_p": (0.0, 1.0),
    "repetition_penalty": (1e-3, 100.0),
    "max_tokens": (1, 2**22),
}
# What a GGUF file says of a model and is as true of a copy of it.
CARRIED = re.compile(
    r"general\.(author|organization|license|license\.name|license\.link|basename|finetune|version|url|repo_url"
    r"|source\.(url|repo_url)|base_model\.(count|\d+\.(name|organization|repo_url|version))|languages|tags)"
)


@dataclass(frozen=True)
class Origin:
    """What is known of a model besides its numbers.

    name       for people and for files
    license    as its card has it; "" where it says nothing
    sampling   by our names: temperature, top_k, top_p, min_p, repetition_penalty, max_tokens
    general    settings of a GGUF file about where the model comes from
    generation what its generation_config.json says besides the ids, in its words
    """

    name: str
    license: str = ""
    sampling: dict[str, Any] = field(default_factory=dict)
    general: dict[str, Any] = field(default_factory=dict)
    generation: dict[str, Any] = field(default_factory=dict)

    def as_adapter_of(self, base: Origin) -> Origin:
        """How to write with the model that it is worked into, where the adapter does not say otherwise."""
        sampling, generation = base.sampling | self.sampling, base.generation | self.generation
        return replace(self, sampling=sampling, generation=generation)


def origin_of(model: str | Path, place: Path) -> Origin:
    """What the model says of itself. model: what the person called it; place: where it was found."""
    if place.is_file():
        return origin_of_gguf(name_of(model, place), place)
    said = {**adapted(place), **front_matter(place / CARD)}
    general: dict[str, Any] = {}
    if "license" in said:
        general["general.license"] = said["license"]
    if "base_model" in said:
        general |= {"general.base_model.count": 1, "general.base_model.0.name": said["base_model"]}
    ids = SpecialIds().to_json()
    generation = {name: value for name, value in generation_config(place).items() if name not in ids}
    return Origin(name_of(model, place), said.get("license", ""), sampling_of(generation), general, generation)


def adapted(folder: Path) -> dict[str, str]:
    """The model that an adapter was made for, by the last part of its name."""
    if not (folder / ADAPTER).is_file():
        return {}
    base = read_json(folder / ADAPTER).get("base_model_name_or_path")
    name = base.replace("\\", "/").rstrip("/").rpartition("/")[2] if isinstance(base, str) else ""
    return {"base_model": name[:LONGEST_WORD]} if name else {}


def origin_of_gguf(name: str, place: Path) -> Origin:
    settings = read_gguf(place).settings
    general = {key: value for key, value in settings.items() if CARRIED.fullmatch(key) and is_sound(value)}
    found = {ours: settings.get(f"general.sampling.{theirs}") for ours, (_, theirs) in SAMPLING.items() if theirs}
    return Origin(name, str(general.get("general.license", "")), sound_sampling(found), general)


def is_sound(value: Any) -> bool:
    if isinstance(value, list):
        return 0 < len(value) <= 100 and all(isinstance(one, str) and is_sound(one) for one in value)
    return isinstance(value, int) or (isinstance(value, str) and 0 < len(value) <= LONGEST_WORD)


def name_of(model: str | Path, place: Path) -> str:
    """A name that a file can have. A path gives its last part, `org/name@revision` its name.

    >>> name_of("HuggingFaceTB/SmolLM2-135M@main", Path("/cache/snapshots/93ef"))
    'SmolLM2-135M'
    >>> name_of("smollm2", Path("/packages/model.Q4_1.gguf")), name_of("a/b.gguf", Path("a/b.gguf"))
    ('smollm2', 'b')
    """
    given = Path(model).expanduser()
    if given == place:
        path = place if place.suffix == ".gguf" else place.resolve()
        name = path.stem if path.suffix.lower() == ".gguf" else path.name
    else:
        name = str(model).partition("@")[0].rpartition("/")[2]
    return re.sub(r"[^\w.-]+", "-", name).strip("-.")[:100] or "model"


def sampling_of(generation: dict[str, Any]) -> dict[str, Any]:
    """What the content of a generation_config.json says of sampling."""
    return sound_sampling({ours: generation.get(theirs) for ours, (theirs, _) in SAMPLING.items()})


def sound_sampling(found: dict[str, Any]) -> dict[str, Any]:
    """
    >>> sound_sampling({"temperature": 0.6, "top_k": "many", "top_p": 9.0})
    {'temperature': 0.6}
    """
    sound = {}
    for name, value in found.items():
        least, most = BOUNDS[name]
        if isinstance(value, (int, float)) and not isinstance(value, bool) and least <= value <= most:
            sound[name] = int(value) if isinstance(least, int) else round(float(value), 7)
    return sound


def front_matter(card: Path) -> dict[str, str]:
    """The licence and the base model that a model card names in its head. No YAML is needed for these two."""
    try:
        with card.open("rb") as file:
            text = file.read(LONGEST_CARD).decode("utf-8", "replace")
    except OSError:
        return {}
    head = re.match(r"---\r?\n(.*?)\r?\n---", text, re.DOTALL)
    said = {}
    for name in ("license", "base_model"):
        line = head and re.search(rf"^{name}:[ \t]*(?:\r?\n-[ \t]*)?([^\s#][^\r\n]*)$", head[1], re.MULTILINE)
        if line and len(value := line[1].strip().strip("'\"[]")) <= LONGEST_WORD and value:
            said[name] = value
    return said
