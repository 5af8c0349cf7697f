"""homespun export: a model for llama.cpp, Ollama, a browser, or as a folder, checked against the original."""

from __future__ import annotations

import shlex
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from homespun.cli.screens.plain import json_option, print_json

if TYPE_CHECKING:
    from homespun.interop.export import Check, Exported, Proof


@click.command()
@click.argument("model")
@click.option(
    "--to",
    type=click.Choice(["gguf", "merged", "page"]),
    required=True,
    help="gguf: one file for llama.cpp and Ollama. merged: a plain Hugging Face folder; an adapter is worked into "
    "its model. page: one HTML file that runs the model in any browser, offline.",
)
@click.option(
    "--quantize",
    type=click.Choice(["f32", "f16", "bf16", "q8_0", "q5_1", "q5_0", "q4_1", "q4_0", "int8"]),
    help="How the numbers of a GGUF file are kept: whole (f), or in so many bits each (q); of a page: int8 or f16."
    " [default: f16; int8 for a page]",
)
@click.option(
    "--dtype",
    type=click.Choice(["float32", "bfloat16", "float16"]),
    help="What the weights of a folder are kept as. [default: as they are now]",
)
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    metavar="PATH",
    help="The .gguf or .html file, or a folder. [default: in exports/, under the model's name]",
)
@click.option(
    "--check",
    multiple=True,
    metavar="TEXT",
    help="Compare on this text too (its first 20,000 characters): a file, a folder, a name. Can be given several "
    "times.",
)
@click.option("--force", is_flag=True, help="Write over what is there.")
@click.option(
    "--llama-cpp/--no-llama-cpp",
    default=True,
    help="Run a GGUF file in llama.cpp, where the package xllamacpp is installed. [default: do]",
)
@click.option(
    "--prove/--no-prove",
    default=True,
    help="Run a page's own code, where Node or Chromium is installed. [default: do]",
)
@json_option
def command(model: str, as_json: bool, **options: Any) -> None:
    """Write MODEL for other programs, and see that it is the same model there.

    What was written is opened again before it gets its name: its tokenizer has to give the same ids, and what
    it expects on some texts has to be what the original expects, as closely as the numbers allow. The texts are a
    general one, one that the model writes itself, and those of --check. Otherwise nothing is written.

    \b
    Examples:
      homespun export runs/shakespeare --to gguf
      homespun export runs/shakespeare --to gguf --quantize q8_0 --check shakespeare
      homespun export runs/shakespeare --to page
      homespun export smollm2 --to merged --dtype bfloat16 --out smollm2-folder
    """
    import homespun
    from homespun.cli.screens.terminal import working

    started = time.monotonic()
    with working("exporting, and comparing with the model"):
        exported = homespun.export(model, **options)
    seconds = round(time.monotonic() - started, 1)
    if as_json:
        print_json({**exported.as_object(), "model": model, "seconds": seconds})
    else:
        show(exported, seconds)


def show(exported: Exported, seconds: float) -> None:
    """What was written, what it was compared by, what it costs, and how to use it."""
    from homespun.cli.screens.terminal import size_in_words

    size = size_in_words(exported.bytes)
    click.echo(f"{exported.out}: {size} in {exported.precision}, {seconds:,.1f} s\n")
    for check in exported.checks:
        click.echo(sentence(check))
    if exported.proof:
        click.echo(proof_in_words(exported.proof))
    click.echo(cost_in_words(exported))
    for note in exported.notes:
        click.echo(f"note: {note}")
    click.echo(f"\n{how_to_use(exported)}")


def sentence(check: Check) -> str:
    """
    >>> from homespun.interop.compare import Difference
    >>> from homespun.interop.export import Check
    >>> print(sentence(Check("homespun", 20, Difference(100, 0.0123, 99, 0.0004))))
    read by homespun: the same ids for all of 20 texts; of 100 next tokens the same choice for 99 (99.0%),
      log-probabilities at most 0.012 apart (tokens of 1% and more), 0.0004 nats on average (KL)
    """
    found = check.difference
    same_ids = f"the same ids for all of {check.texts} texts; " if check.texts else ""
    share = found.same_choice / max(1, found.positions)
    who = "read by" if check.by == "homespun" else "run by"
    return (
        f"{who} {check.by}: {same_ids}of {found.positions:,} next tokens "
        f"the same choice for {found.same_choice:,} ({share:.1%}),\n  log-probabilities at most "
        f"{found.largest:.2g} apart (tokens of 1% and more), {found.divergence:.2g} nats on average (KL)"
    )


def proof_in_words(proof: Proof) -> str:
    """What the page's own code found."""
    return (
        f"run by {proof.by}, the page's own code: the same ids for all of {proof.texts} texts; log-probabilities "
        f"{proof.apart:.2g} nats apart\n  on average over {proof.places} tokens; with the same seed the same text "
        f"for {proof.written} of {proof.tried} tokens"
    )


def cost_in_words(exported: Exported) -> str:
    """What the precision costs on the texts that were compared on."""
    cost = exported.checks[0].cost
    assert cost is not None
    before, after = cost.loss(cost.before), cost.loss(cost.after)
    bits = cost.bits_per_byte(cost.before), cost.bits_per_byte(cost.after)
    return (
        f"loss on these {cost.tokens:,} tokens: {before:.4f} before, {after:.4f} as exported "
        f"({after - before:+.4f}); bits per byte {bits[0]:.4f}, {bits[1]:.4f}"
    )


def how_to_use(exported: Exported) -> str:
    out = shlex.quote(str(exported.out))
    if exported.to == "page":
        return f"Use it: open {out} in a browser, or send it to someone. It needs no server and no network."
    if exported.to == "merged":
        return f'Use it:\n  homespun generate {out} "Once"\nand in transformers: from_pretrained("{exported.out}")'
    name, beside = shlex.quote(exported.out.stem.lower()), shlex.quote(str(exported.files[1]))
    return (
        f'Use it:\n  llama-cli -m {out} -p "Once"\n'
        f"  ollama create {name} -f {beside} && ollama run {name}\n"
        f'  homespun generate {out} "Once"'
    )
