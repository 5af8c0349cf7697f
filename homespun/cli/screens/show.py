"""What `homespun show` shows."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from rich.text import Text

from homespun.cli.screens.curve import TRAINED, VALIDATED, curve
from homespun.cli.screens.plain import shows_unicode, visible
from homespun.cli.screens.terminal import console, facts, size_in_words
from homespun.dataset.finding import percent
from homespun.model.families import MODELS
from homespun.model.layers import LOCAL, NOPE

if TYPE_CHECKING:
    from rich.console import Console

    from homespun.api.portrait import Adapter, Portrait, Tokens, Training

KINDS = {
    "run": "a run of homespun",
    "folder": "a model folder",
    "file": "a GGUF file",
    "adapter": "an adapter (LoRA)",
}
MOST_SPECIAL = 6  # tokens by name
CURVE_WIDTH = 72

Rows = list[tuple[str, str]]


def show(portrait: Portrait) -> None:
    out = console()
    out.print(Text.assemble((visible(portrait.model), "bold"), (f"  {KINDS[portrait.kind]}", "dim")))
    if portrait.adapter:
        section(out, "changes", adapter_rows(portrait.adapter, portrait))
    section(out, "base" if portrait.adapter else "model", model_rows(portrait))
    if portrait.tokenizer:
        section(out, "tokenizer", tokenizer_rows(portrait.tokenizer))
    section(out, "origin", origin_rows(portrait))
    if portrait.training:
        section(out, "training", training_rows(portrait.training))
        if len(portrait.training.curve) > 1:
            show_curve(out, portrait.training)
    for note in portrait.notes:
        out.print(Text(f"note: {visible(note)}", "yellow"))


def section(out: Console, title: str, rows: Sequence[tuple[str, str]]) -> None:
    if rows:
        out.print()
        out.print(facts(rows, title))


def adapter_rows(adapter: Adapter, portrait: Portrait) -> Rows:
    share = f", {adapter.parameters / portrait.parameters.total:.1%} of its base" if portrait.parameters else ""
    return [
        ("base", adapter.base + ("" if adapter.base_is_here else " (not here)")),
        ("rank", f"{adapter.rank}, alpha {adapter.alpha:g}"),
        ("matrices", ", ".join(adapter.modules)),
        ("parameters", f"{adapter.parameters:,}{share}"),
        ("stored", stored_in_words(portrait)),
    ]


def model_rows(portrait: Portrait) -> Rows:
    """Nothing for an adapter whose base is not here."""
    if not (portrait.shape and portrait.parameters and portrait.memory and portrait.flops):
        return []
    shape, parameters, memory, flops = portrait.shape, portrait.parameters, portrait.memory, portrait.flops
    family = MODELS[portrait.family]
    rows = [("family", f"{family.name}, {family.label}" if family.label else family.name)]
    if not family.is_table:
        groups = (
            "" if shape["n_kv_head"] == shape["n_head"] else f" that share {shape['n_kv_head']} keys and values"
        )
        rows.append(
            (
                "shape",
                f"{shape['n_layer']} layers, {shape['n_head']} heads of {shape['head_width']}{groups}, "
                f"{shape['n_embd']:,} wide, {shape['n_inner']:,} in the feed-forward layers",
            )
        )
        rows += layer_rows(shape)
    rows.append(("context", f"{shape['context_length']:,} tokens"))
    rows.append(
        (
            "parameters",
            f"{parameters.total:,}; {parameters.without_embedding:,} without the tables of tokens and positions",
        )
    )
    if not portrait.adapter:
        rows.append(("stored", stored_in_words(portrait)))
    weights = ", ".join(f"{size_in_words(size)} in {kind}" for kind, size in memory.weights.items())
    rows.append(("memory", weights))
    if memory.cache:
        rows.append(("cache", f"{size_in_words(memory.cache)} for a full context, half beside rounded weights"))
    rows += work_rows(flops.first, flops.last)
    return rows


def layer_rows(shape: Mapping[str, Any]) -> Rows:
    """What kinds of layers there are, where there are several or all have a window; how positions are stretched.

    >>> layer_rows({"layers": ("local", "local", "global"), "window": 512, "rope_scaling": None})
    [('layers', 'local, local, global, and so on; a local one attends to 512 tokens')]
    """
    rows, kinds = [], tuple(shape.get("layers") or ())
    if LOCAL in kinds or NOPE in kinds:
        named = ", ".join("without rope" if kind == NOPE else kind for kind in kinds)
        window = f"; a local one attends to {shape['window']:,} tokens" if LOCAL in kinds else ""
        rows.append(("layers", f"{named}, and so on{window}" if len(kinds) > 1 else f"{named}{window}"))
    if scaling := shape.get("rope_scaling"):
        rows.append(("rope scaling", scaling["kind"]))
    return rows


def work_rows(first: int, last: int) -> Rows:
    if not last:
        return [("work", "none: a token is looked up in a table")]
    return [
        ("work", f"{operations(first)} a token, {operations(last)} at the end of a full context"),
        ("", "2 x matrix entries + 4 x layers x heads x width x tokens before"),
    ]


def operations(count: int) -> str:
    """
    >>> operations(2_657_280), operations(269_000_000_000)
    ('2.7 MFLOP', '269 GFLOP')
    """
    for size, letter in ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k")):
        if count >= size:
            return f"{count / size:.{0 if count >= 99.5 * size else 1}f} {letter}FLOP"
    return f"{count} FLOP"


def stored_in_words(portrait: Portrait) -> str:
    stored = portrait.stored
    total = sum(stored.types.values())
    shares = {kind: percent(count / total) for kind, count in stored.types.items()}
    kinds = ", ".join(kind if len(shares) == 1 else f"{kind} {share}" for kind, share in shares.items())
    files = "" if stored.files == 1 else f" in {stored.files} files"
    return f"{size_in_words(stored.bytes)}{files}, {kinds}"


def tokenizer_rows(tokens: Tokens) -> Rows:
    named = ", ".join(list(tokens.special)[:MOST_SPECIAL])
    more = f" and {len(tokens.special) - MOST_SPECIAL:,} more" if len(tokens.special) > MOST_SPECIAL else ""
    ends = tokens.ends or ((tokens.end_of_text,) if tokens.end_of_text else ())
    rows = [
        ("kind", f"{tokens.kind}, {tokens.vocab_size:,} tokens"),
        ("special", f"{named}{more}" if named else "none"),
        (
            "text ends",
            f"with {' or '.join(ends)}" if ends else "nowhere: it writes until it is stopped",
        ),
        (
            "chat",
            "it has a template: homespun chat talks to it"
            if tokens.chat_template
            else "no template: it completes text",
        ),
    ]
    if tokens.opening:
        names = {id: name for name, id in tokens.special.items()}
        rows.append(("text begins", "with " + " ".join(names.get(id, f"#{id}") for id in tokens.opening)))
    return rows


def origin_rows(portrait: Portrait) -> Rows:
    origin = portrait.origin
    return [
        ("name", origin.name),
        ("licence", origin.license or "the model does not say"),
        *([("made from", origin.base)] if origin.base else []),
        *([("revision", origin.revision)] if origin.revision else []),
        ("place", str(portrait.stored.path)),
    ]


def training_rows(training: Training) -> Rows:
    rows = [("text", ", ".join(training.text))] if training.text else []
    if training.plan:
        plan = training.plan
        minutes = f" (--minutes {training.minutes:g})" if training.minutes else ""
        tokens = plan["batch_size"] * plan["context_length"]
        rows.append(("plan", f"{training.steps:,} steps of {tokens:,} tokens with {plan['optimizer']}{minutes}"))
    if training.loss is not None and training.bits_per_char is not None and training.bits_per_byte is not None:
        bits = f"{training.bits_per_char:.3f} bits per character, {training.bits_per_byte:.3f} per byte"
        rows.append(("validation", f"loss {training.loss:.4f} nats a token; {bits}"))
    if training.seconds is not None and training.tokens is not None:
        rows.append(("time", f"{training.seconds:,.0f} s, {training.tokens:,} tokens read"))
    if training.missing:
        rows.append(("missing", training.missing))
    return rows


def show_curve(out: Console, training: Training) -> None:
    out.print()
    out.print(Text.assemble(("loss  ", "bold"), ("validation", VALIDATED), (" over training", TRAINED)))
    width = min(out.width, CURVE_WIDTH)
    for line in curve(training.curve, width, unicode=shows_unicode(sys.stdout)):
        out.print(line, no_wrap=True, overflow="crop")
