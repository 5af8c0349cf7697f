"""A model leaves: as a GGUF file, or as a plain folder. It is opened again and compared before it has its name.

An export is whole or it is not there. What is written is read back by homespun, and a GGUF file is run by
llama.cpp too where that is installed; ids must be equal, and what the models expect must be as close as the
precision allows. Otherwise nothing is left of it.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import torch

from homespun.checkpoint.folder import load_model, save_model
from homespun.checkpoint.place import CONFIG
from homespun.errors import CheckpointError, UsageError
from homespun.interop import llama_cpp
from homespun.interop.compare import (
    Cost,
    Difference,
    Text,
    compared,
    compared_with_candidates,
    rarest_token,
    text_of,
    windows,
)
from homespun.interop.export_card import export_card
from homespun.interop.gguf.file import read_gguf
from homespun.interop.gguf.load import load_gguf
from homespun.interop.gguf.tokenizer import STAND_IN
from homespun.interop.gguf.write import BLOCK, QUANTIZATIONS, WHOLE, write_gguf
from homespun.interop.gguf.write_pieces import SPACE, spares_spaces
from homespun.interop.gguf.write_tokenizer import ends_by_role, tokenizer_settings
from homespun.interop.modelfile import modelfile
from homespun.interop.origin import SAMPLING, Origin
from homespun.interop.probes import known_part, trials
from homespun.machine.atomic import replacing_files
from homespun.model.causal_lm import CausalLM
from homespun.model.families import MODELS
from homespun.tokenizer.tokenizer import Tokenizer

# How far what the models expect may be apart, in nats a token (Kullback-Leibler), before it is no copy any more.
# Measured exports stay ten times below. For few bits it is what no one would call the same model.
MOST_DIVERGENCE = {
    **dict.fromkeys(("f32", "float32"), 1e-4),
    **dict.fromkeys(("f16", "float16"), 5e-3),
    **dict.fromkeys(("bf16", "bfloat16"), 2e-2),
    "q8_0": 5e-2,
    **dict.fromkeys(("q5_1", "q5_0"), 0.3),
    **dict.fromkeys(("q4_1", "q4_0"), 0.7),
}
FINER_DTYPES = ("float32", "float16", "bfloat16")  # of a folder's weights, the finest first
TWO_BYTES = 0x7FF  # the last character that UTF-8 writes in two bytes
ASKED_OF_LLAMA_CPP = 32  # positions of each text: each is a request


@dataclass(frozen=True)
class Check:
    """What came of comparing. by: who read the export; texts: how many had the same ids in both."""

    by: str
    texts: int
    difference: Difference
    cost: Cost | None = None

    def as_object(self) -> dict[str, Any]:
        """The comparison as JSON."""
        return {"by": self.by, "texts_with_the_same_ids": self.texts, **vars(self.difference)}


@dataclass
class Exported:
    """An export that was written and found to be the model.

    out         the file or folder; files: everything that was written
    precision   f32, q8_0, …, or the dtype of a folder's weights
    checks      what it was compared by
    notes       what a person should know of it
    proof       what a page found when its own code ran its probes; None where it is no page, or did not run
    """

    out: Path
    to: str
    precision: str
    files: list[Path]
    bytes: int
    checks: list[Check]
    notes: list[str] = field(default_factory=list)
    proof: Proof | None = None

    def as_object(self) -> dict[str, Any]:
        """The export as JSON."""
        cost = self.checks[0].cost
        assert cost is not None, "the comparison in homespun itself always measures the cost"
        return {
            "out": self.out,
            "to": self.to,
            "precision": self.precision,
            "files": self.files,
            "bytes": self.bytes,
            "checks": [check.as_object() for check in self.checks],
            "tokens": cost.tokens,
            "loss_before": cost.loss(cost.before),
            "loss": cost.loss(cost.after),
            "bits_per_byte_before": cost.bits_per_byte(cost.before),
            "bits_per_byte": cost.bits_per_byte(cost.after),
            "notes": self.notes,
            **({"proof": self.proof and vars(self.proof)} if self.to == "page" else {}),
        }


@dataclass(frozen=True)
class Proof:
    """What a page found when its own code ran its probes.

    by         what ran it
    places     predictions that were compared
    apart      nats between the page's log-probabilities and the original's, on average
    texts      whose ids are equal
    written    tokens that a seed gives as in Python, of `tried`
    """

    by: str
    places: int
    apart: float
    texts: int
    written: int
    tried: int


@dataclass(frozen=True)
class Leaving:
    """A model about to be exported: in float32, with its tokenizer, and the texts that it is compared on."""

    model: CausalLM
    tokenizer: Tokenizer
    origin: Origin
    texts: Sequence[str]

    @property
    def opening(self) -> list[int]:
        return self.tokenizer.opening

    @cached_property
    def spares_spaces(self) -> bool:
        """Whether the tokenizer puts a space before a text only where it does not begin with one."""
        return spares_spaces(json.loads(self.tokenizer.files()["tokenizer.json"]))

    def trials_of_gguf(self) -> list[str]:
        """The texts whose ids are compared in llama.cpp's way: without a space in front, where that makes a
        difference, which is then reported."""
        tried = trials(self.tokenizer, self.texts)
        bare = [text.lstrip(f" {SPACE}") for text in tried] if self.spares_spaces else tried
        return list(dict.fromkeys(text for text in bare if text))

    def measured(self) -> list[Text]:
        kept = (known_part(self.tokenizer, text) for text in self.texts)
        return [text for text in (text_of(self.tokenizer, one) for one in kept if one) if text.ids]


def export_gguf(leaving: Leaving, out: Path, *, quantize: str, force: bool, ask_llama_cpp: bool) -> Exported:
    """Writes the model to out, a .gguf file, and a Modelfile for Ollama beside it.

    quantize: one of QUANTIZATIONS. force: write over what is there.
    Raises ModelError, TokenizerError (llama.cpp has no such thing), UsageError, WriteFailed, MissingExtra, and
    CheckpointError where what was written is not the model.
    """
    check_free("gguf", out, force)
    beside = beside_of(out)
    model, texts = leaving.model, leaving.measured()
    below = leaving.tokenizer.vocab_size
    rarest, share = rarest_token(model, texts, leaving.opening, below) if needs_end(leaving) else (0, 0.0)
    words = tokenizer_settings(leaving.tokenizer, rows=model.config.vocab_size, rarest=rarest)
    origin = leaving.origin
    general = {"general.name": origin.name, **origin.general, **sampling_settings(origin)}
    with replacing_files(out.parent, seal=out.name) as stage:
        write_gguf(stage / out.name, model, words, general, quantize)
        said = modelfile(out.name, leaving.tokenizer, origin.sampling, model.config.context_length, origin.license)
        (stage / beside.name).write_text(said, encoding="utf-8")
        checks = checked_gguf(leaving, texts, stage / out.name, quantize, ask_llama_cpp)
    notes = [*notes_of(leaving, words, share, ask_llama_cpp), *kept_whole(out, quantize)]
    return Exported(out, "gguf", quantize, [out, beside], out.stat().st_size, checks, notes)


def export_merged(leaving: Leaving, out: Path, *, dtype: torch.dtype, force: bool) -> Exported:
    """Writes the model to a Hugging Face folder, with its tokenizer, settings for sampling and a card."""
    check_free("merged", out, force)
    precision = str(dtype).removeprefix("torch.")
    origin = leaving.origin
    with replacing_files(out, seal=CONFIG) as stage:
        save_model(
            stage,
            leaving.model,
            leaving.tokenizer,
            generation=origin.sampling,
            generation_config=origin.generation,
            dtype=dtype,
        )
        (stage / "README.md").write_text(export_card(origin, leaving.model, precision), encoding="utf-8")
        opened, tokenizer = load_model(stage, dtype=torch.float32)
        checks = [checked_by_reading(leaving, leaving.measured(), opened, tokenizer, precision)]
        names = sorted(path.name for path in stage.iterdir())
    files = [out / name for name in names]
    return Exported(out, "merged", precision, files, sum(file.stat().st_size for file in files), checks)


def check_free(to: str, out: Path, force: bool) -> None:
    """Raises UsageError where something is there already, and nobody said that it may be written over."""
    taken = [path for path in ([out, beside_of(out)] if to == "gguf" else [out]) if path.exists()]
    if to == "merged" and out.is_dir() and not any(out.iterdir()):
        return
    if taken and not force:
        raise UsageError(
            f"{taken[0]} is there already.", "Choose another name with --out, or write over it with --force."
        )


def beside_of(out: Path) -> Path:
    """Where the Modelfile of a GGUF file goes."""
    return out.with_suffix(".Modelfile")


def sampling_settings(origin: Origin) -> dict[str, Any]:
    names = {name: theirs for name, (_, theirs) in SAMPLING.items() if theirs}
    return {f"general.sampling.{names[n]}": value for n, value in origin.sampling.items() if n in names}


def needs_end(leaving: Leaving) -> bool:
    return not leaving.tokenizer.ends


# ---- is it the model? ----


def checked_gguf(
    leaving: Leaving, texts: Sequence[Text], file: Path, quantize: str, ask_llama_cpp: bool
) -> list[Check]:
    opened, tokenizer = load_gguf(file, dtype=torch.float32)
    ends = list(ends_by_role(leaving.tokenizer).values())
    checks = [checked_by_reading(leaving, texts, opened, tokenizer, quantize, ends)]
    del opened
    if ask_llama_cpp and llama_cpp.is_installed():
        checks += filter(None, [checked_by_llama_cpp(leaving, texts, file, quantize)])
    return checks


def checked_by_reading(
    leaving: Leaving,
    texts: Sequence[Text],
    opened: CausalLM,
    tokenizer: Tokenizer,
    precision: str,
    ends: Sequence[int] | None = None,
) -> Check:
    """Of what homespun reads back. ends: the ids that end a text there; None where they are all of the model's."""
    tried = trials(leaving.tokenizer, leaving.texts) if ends is None else leaving.trials_of_gguf()
    check_ids("homespun", leaving.tokenizer, tried, (tokenizer.encode(text) for text in tried))
    check_roles(leaving.tokenizer, leaving.tokenizer.ends if ends is None else ends, tokenizer)
    difference, cost = compared(leaving.model, opened, texts, leaving.opening)
    check_close("homespun", difference, precision)
    return Check("homespun", len(tried), difference, cost)


def checked_by_llama_cpp(leaving: Leaving, texts: Sequence[Text], file: Path, quantize: str) -> Check | None:
    context = leaving.model.config.context_length
    most = min(ASKED_OF_LLAMA_CPP, context - 2)  # it wants room for what it writes
    if most < 1:
        return None
    tried = leaving.trials_of_gguf()
    sequences = [next(windows(text.ids, leaving.opening, context))[:most] for text in texts]
    special = set(leaving.tokenizer.special_tokens.values())
    ordinary = next(id for id in range(leaving.tokenizer.vocab_size) if id not in special)
    answer = llama_cpp.ask(file, tried, sequences, vocab_size=leaving.model.config.vocab_size, ordinary=ordinary)
    if answer is None:
        return None
    who = f"llama.cpp ({llama_cpp.PACKAGE} {answer.version})"
    check_ids("llama.cpp", leaving.tokenizer, tried, answer.tokens)
    difference = compared_with_candidates(leaving.model, sequences, answer.candidates)
    check_close("llama.cpp", difference, quantize)
    return Check(who, len(tried), difference)


def check_ids(reader: str, tokenizer: Tokenizer, texts: Sequence[str], found: Any) -> None:
    """Raises CheckpointError for the first text that gets other ids from the export."""
    for text, theirs in zip(texts, found, strict=True):
        ours = tokenizer.encode(text)
        if ours != theirs:
            at = next((at for at, (a, b) in enumerate(zip(ours, theirs, strict=False)) if a != b), len(theirs))
            raise not_the_model(
                f"of {text[:40]!r} {reader} makes other ids, from place {at} on: "
                f"{str(theirs[at : at + 8])[:80]} for {str(ours[at : at + 8])[:80]}"
            )


def check_roles(tokenizer: Tokenizer, ends: Sequence[int], exported: Tokenizer) -> None:
    """Raises CheckpointError where a text begins or ends with other ids there. ends: those that were written."""
    if exported.opening != tokenizer.opening:
        raise not_the_model(f"a text begins with the ids {exported.opening}, and not with {tokenizer.opening}")
    if sorted(exported.ends) != sorted(ends):
        raise not_the_model(f"a text ends with the ids {sorted(exported.ends)}, and not with {sorted(ends)}")


def check_close(reader: str, difference: Difference, precision: str) -> None:
    most = MOST_DIVERGENCE[precision]
    if not difference.divergence <= most or difference.largest == float("inf"):
        raise not_the_model(
            f"what {reader} expects of it is {difference.divergence:.4g} nats a token from the original, "
            f"and for {precision} {most:g} is the most (largest difference of a log-probability: "
            f"{difference.largest:.4g}, same choice at {difference.same_choice} of {difference.positions})",
            precision,
        )


def not_the_model(reason: str, precision: str = "") -> CheckpointError:
    """precision: of the weights, where it may be the reason."""
    finer = FINER_DTYPES if precision in FINER_DTYPES else tuple(QUANTIZATIONS)
    finer = finer[: finer.index(precision)] if precision in finer else ()
    option = "--dtype" if precision in FINER_DTYPES else "--quantize"
    return CheckpointError(
        f"The export is not the model, so nothing was written: {reason}.",
        f"With more bits it may be: {option} {finer[0]}. If not even so, that is a bug of homespun."
        if finer
        else "That is a bug of homespun: please report it.",
    )


def kept_whole(file: Path, quantize: str) -> list[str]:
    """A word on matrices that could not be had in so few bits, where these are most of the model."""
    wanted = QUANTIZATIONS[quantize][0]
    sizes = {tensor: math.prod(tensor.shape) for tensor in read_gguf(file).tensors.values()}
    whole = sum(size for tensor, size in sizes.items() if tensor.type in ("F16", "F32"))
    if wanted in WHOLE or whole < sum(sizes.values()) / 2:
        return []
    return [f"most of it is kept in 16 bits: blocks of {quantize} need rows whose length is a multiple of {BLOCK}"]


def notes_of(leaving: Leaving, words: dict[str, Any], share: float, ask_llama_cpp: bool) -> list[str]:
    notes = []
    if words.get(STAND_IN):
        token = leaving.tokenizer.token(words["tokenizer.ggml.eos_token_id"])
        notes.append(
            f"the model has no token that ends a text, and llama.cpp wants one: it takes {token!r}, which the "
            f"model expects {'never' if share < 1e-9 else f'{share:.2g} of the time'}"
        )
    elif needs_end(leaving):
        notes.append(
            "the model has no token that ends a text; older versions of llama.cpp may not open a file without one"
        )
    written = ends_by_role(leaving.tokenizer).values()
    if left := [leaving.tokenizer.token(id) for id in leaving.tokenizer.ends if id not in written]:
        notes.append(
            f"the model names {len(leaving.tokenizer.ends)} tokens that end a text, and a GGUF file has room for "
            f"{len(written)}: {', '.join(left)} stand in the Modelfile only"
        )
    if leaving.spares_spaces:
        notes.append(
            "a text that begins with a space gets another one before it in llama.cpp, as in SentencePiece; "
            "here it does not"
        )
    if getattr(leaving.tokenizer, "alphabet", ""):
        notes.append("a character that the model does not know is an error here; llama.cpp leaves it out silently")
    long = {character for character in getattr(leaving.tokenizer, "alphabet", "") if ord(character) > TWO_BYTES}
    theirs = MODELS[leaving.model.config.family].gguf
    if long and theirs and theirs.ollama_engine:
        notes.append(
            f"Ollama runs this shape with an engine of its own, which does not see {len(long):,} of the "
            "characters in a prompt (docs/export.md); llama.cpp does. For Ollama, train with --model llama"
        )
    if getattr(leaving.model.config, "feed_forward", "") == "gelu_exact":
        notes.append(
            "llama.cpp computes GELU by its tanh approximation, and this model was trained with GELU itself"
        )
    if ask_llama_cpp and not llama_cpp.is_installed():
        notes.append("not tried in llama.cpp itself, which is not installed here (pip install xllamacpp)")
    return notes
