"""Exporting a model for other programs, as one function."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from homespun.errors import UsageError

if TYPE_CHECKING:
    from homespun.interop.export import Exported
    from homespun.model.causal_lm import CausalLM
    from homespun.tokenizer.tokenizer import Tokenizer

EXPORTS = Path("exports")
FORMATS = ("gguf", "merged", "page")
DTYPES = ("float32", "bfloat16", "float16")
PRECISION = {"gguf": "f16", "page": "int8"}  # the default

OWN_TEXT = 128  # tokens that the model generates as a text for the comparison
MOST_CHARACTERS = 20_000  # of the texts given for the comparison: it is a check, not an evaluation


def export(
    model: str | Path,
    *,
    to: str,
    out: str | Path | None = None,
    quantize: str | None = None,
    dtype: str | None = None,
    check: Iterable[str | Path] = (),
    force: bool = False,
    llama_cpp: bool = True,
    prove: bool = True,
    note: Callable[[str], None] | None = None,
) -> Exported:
    """Export a model for other programs, and compare the export with the original before calling it done.

    to: "gguf" (llama.cpp, Ollama), "merged" (a plain Hugging Face folder, with an adapter merged into its base) or
    "page" (one HTML file that runs the model in a browser).
    out: the file or folder; by default in exports/. quantize: precision of a GGUF file (f16 by default) or of a
    page (int8 by default). dtype: of a folder's weights; by default the stored one. check: additional texts for
    the comparison. force: replace existing files. llama_cpp: also run a GGUF file in llama.cpp, if xllamacpp is
    installed. prove: also run a page's own code, in Node or in Chromium. note: called with progress lines.
    Raises UsageError, ModelError, TokenizerError, CheckpointError, WriteFailed.
    """
    import torch

    from homespun.checkpoint.adapter import is_adapter, read_adapter_config
    from homespun.interop.adapter import base_of
    from homespun.interop.export import Leaving, check_free, export_gguf, export_merged
    from homespun.interop.gguf.write import check_counterpart, library
    from homespun.interop.open import open_model
    from homespun.interop.origin import origin_of
    from homespun.interop.page.export import check_size
    from homespun.interop.probes import GENERAL

    tell = note or (lambda line: None)
    quantize, dtype = precision_of(to, quantize, dtype)
    tell(f"opening {model}")
    opened, tokenizer, place = open_model(model)
    stored = next(opened.parameters()).dtype
    if to == "gguf":
        check_counterpart(opened.config)
        library()
    origin = origin_of(model, place)
    if is_adapter(place):
        base = base_of(place, read_adapter_config(place))
        origin = origin.as_adapter_of(origin_of(base, base))
    target = place_for(to, origin.name, quantize, out)
    check_free(to, target, force)  # before anything that takes time
    if to == "page":
        from homespun.api.page import export_as_page

        check_size(opened.config, quantize)
        leaving = Leaving(opened.float(), tokenizer, origin, [GENERAL, *given_texts(check)])
        return export_as_page(leaving, place, target, quantize, prove=prove, note=tell)
    texts = [GENERAL, own_text(opened.float(), tokenizer), *given_texts(check)]
    leaving = Leaving(opened, tokenizer, origin, texts)
    tell(f"writing {target} and comparing it with the model")
    if to == "gguf":
        return export_gguf(leaving, target, quantize=quantize, force=force, ask_llama_cpp=llama_cpp)
    kept = getattr(torch, dtype) if dtype else stored
    return export_merged(leaving, target, dtype=kept, force=force)


def precision_of(to: str, quantize: str | None, dtype: str | None) -> tuple[str, str | None]:
    """Check the two settings; each format has one. Raises UsageError for the other one, and for unknown values."""
    from homespun.interop.gguf.write import QUANTIZATIONS
    from homespun.interop.page.weights import PRECISIONS

    if to not in FORMATS:
        raise UsageError(f"There is no format {to!r} to export to.", f"The formats are: {', '.join(FORMATS)}.")
    if to == "merged" and quantize is not None:
        raise UsageError(
            "--quantize is for GGUF files and pages.",
            "A folder's weights are whole: --dtype float32, bfloat16 or float16.",
        )
    known: Iterable[str] = PRECISIONS if to == "page" else QUANTIZATIONS
    what = "page" if to == "page" else "GGUF file"
    if to != "merged" and dtype is not None:
        raise UsageError("--dtype is for folders.", f"A {what} has --quantize: {', '.join(known)}.")
    quantize = PRECISION.get(to, "f16") if quantize is None else quantize.lower()
    if quantize not in known:
        raise UsageError(f"There is no quantization {quantize!r} for a {what}.", f"There are: {', '.join(known)}.")
    if dtype is not None and dtype not in DTYPES:
        raise UsageError(f"Weights cannot be kept as {dtype!r}.", f"They can as: {', '.join(DTYPES)}.")
    return quantize, dtype


def place_for(to: str, name: str, quantize: str, out: str | Path | None) -> Path:
    """Path of the export: `out`, or a name in exports/. If `out` is a folder, a file gets a name in it.

    >>> place_for("gguf", "book", "q8_0", None), place_for("gguf", "book", "f16", "there")
    (PosixPath('exports/book-q8_0.gguf'), PosixPath('there/book-f16.gguf'))
    >>> place_for("page", "book", "int8", None), place_for("page", "book", "int8", "mine.html")
    (PosixPath('exports/book.html'), PosixPath('mine.html'))
    """
    if to == "merged":
        return EXPORTS / name if out is None else Path(out).expanduser()
    given = EXPORTS if out is None else Path(out).expanduser()
    suffixes = (".html", ".htm") if to == "page" else (".gguf",)
    if given.suffix.lower() in suffixes:
        return given
    return given / (f"{name}.html" if to == "page" else f"{name}-{quantize}.gguf")


def own_text(model: CausalLM, tokenizer: Tokenizer) -> str:
    """A sample from the model without a prompt: the kind of text that it fits best."""
    from homespun.generation.settings import Sampling
    from homespun.generation.text import generate

    return generate(model, tokenizer, max_tokens=OWN_TEXT, sampling=Sampling(temperature=1.0, seed=1))


def given_texts(check: Iterable[str | Path]) -> list[str]:
    """The beginning of each document of the texts for the comparison."""
    from homespun.text.sources import read

    given = [str(one) for one in check]
    if not given:
        return []
    found, room = [], MOST_CHARACTERS
    for document in read(*given).documents():
        content = next(document.pieces(), "")[:room]
        found.append(content)
        room -= len(content)
        if room <= 0:
            break
    return found
