"""A model leaves as a page: written, opened again, compared with the original, and run where there is a Node."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from homespun.errors import CheckpointError, UsageError
from homespun.interop.compare import Difference, compared
from homespun.interop.export import Check, Exported, Leaving, Proof
from homespun.interop.page.contents import Sample, check_settings, contents, fitting_context
from homespun.interop.page.proof import proved
from homespun.interop.page.weights import packed, unpacked
from homespun.interop.page.write import MOST_BYTES, page_of, read_page
from homespun.interop.probes import known_part
from homespun.machine.atomic import replacing_files
from homespun.model.causal_lm import CausalLM
from homespun.model.config import ModelConfig

BASE64 = 4 / 3
BYTES_EACH = {"int8": 1, "f16": 2}
# How far what the page's weights predict may be from the original (Kullback-Leibler, nats a token).
MOST_DIVERGENCE = {"int8": 5e-2, "f16": 5e-3}
# How far the page's log-probabilities may be from the original's on average, in nats.
MOST_APART = {"int8": 0.25, "f16": 0.02}


@dataclass(frozen=True)
class About:
    """What the page says of the model beside its numbers.

    facts   pairs of words, such as ("loss", "1.43 nats per token")
    texts   that the page is held to; they stand in it, so none of the user's is among them
    sample  generates with the page's weights: what the page has to generate too
    first   the id that an empty text starts from
    """

    facts: Sequence[tuple[str, str]]
    texts: Sequence[str]
    sample: Callable[[CausalLM], Sample]
    first: int


def export_page(leaving: Leaving, about: About, out: Path, *, precision: str, prove: bool = True) -> Exported:
    """Writes the page to out, an .html file. precision: int8 or f16.

    Raises UsageError for a model that is too large for a page, WriteFailed, and CheckpointError where what was
    written is not the model.
    """
    model, tokenizer = leaving.model, leaving.tokenizer
    check_settings(model.config)
    check_size(model.config, precision)
    config = model.config.with_(context_length=fitting_context(model.config))
    weights = packed(model, precision, config.context_length)
    rounded = unpacked(weights, config)
    sample = about.sample(rounded)
    texts = [text for text in (known_part(tokenizer, one) for one in about.texts) if text]
    data = contents(
        model, rounded, tokenizer, leaving.origin, texts, about.facts, sample, about.first, precision,
        MOST_APART[precision],
    )  # fmt: skip
    with replacing_files(out.parent, seal=out.name) as stage:
        written = stage / out.name
        written.write_text(page_of(data, weights), encoding="utf-8", newline="\n")
        again, its = read_page(written)
        assert again == data, "the page's contents should come back as they were written"
        difference, cost = compared(model, unpacked(its, config), leaving.measured(), leaving.opening)
        check_close(difference, precision)
        proof = proved(written, len(sample.ids)) if prove else None
    checks = [Check("homespun", 0, difference, cost)]
    notes = notes_of(config, model.config, proof, asked=prove)
    return Exported(out, "page", precision, [out], out.stat().st_size, checks, notes, proof)


def check_size(config: ModelConfig, precision: str) -> None:
    """Raises UsageError for a model whose page would be too large, with what to use instead."""
    size = config.number_of_parameters() * BYTES_EACH[precision] * BASE64
    if size <= MOST_BYTES:
        return
    smaller = config.number_of_parameters() * BASE64 <= MOST_BYTES and precision != "int8"
    raise UsageError(
        f"The page would have {size / 1e6:,.0f} MB; {MOST_BYTES / 1e6:,.0f} MB is the most that is written.",
        "Half as much: --quantize int8."
        if smaller
        else "llama.cpp runs a model of this size, and llama-server has a page: --to gguf --quantize q8_0.",
    )


def check_close(difference: Difference, precision: str) -> None:
    """Raises CheckpointError where the rounded weights are no copy of the model any more."""
    most = MOST_DIVERGENCE[precision]
    if difference.divergence <= most and difference.largest < float("inf"):
        return
    finer = "Keep 16 bits of each weight: --quantize f16." if precision == "int8" else "That is a bug of homespun."
    raise CheckpointError(
        f"The page is not the model, so nothing was written: in {precision} its predictions are "
        f"{difference.divergence:.4g} nats a token from the original, and {most:g} is the most.",
        finer,
    )


def notes_of(config: ModelConfig, original: ModelConfig, proof: Proof | None, *, asked: bool) -> list[str]:
    notes = []
    if config.context_length < original.context_length:
        notes.append(
            f"the page has a context of {config.context_length:,} tokens, the model one of "
            f"{original.context_length:,}: a browser has no memory for more"
        )
    if proof is None:
        why = ": there is neither Node nor Chromium" if asked else ""
        notes.append(
            f"the page's own code was not run here{why}. "
            "It checks itself when it is opened, and says so at the top"
        )
    return notes
