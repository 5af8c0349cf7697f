"""From a model to what other programs open, as one function."""

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
FORMATS = ("gguf", "merged")
DTYPES = ("float32", "bfloat16", "float16")
PRECISION = "f16"  # of a GGUF file, unless it is said

OWN_TEXT = 128  # tokens that the model writes itself, to be compared on
MOST_CHARACTERS = 20_000  # of the texts given to compare on: a measurement, not an evaluation


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
    note: Callable[[str], None] | None = None,
) -> Exported:
    """Writes a model for other programs, and compares what was written with the model before it is called done.

    to: "gguf" (llama.cpp, Ollama) or "merged" (a plain Hugging Face folder, an adapter worked into its model).
    out: the file or folder; left out, it goes to exports/. quantize: of a GGUF file, f16 unless given.
    dtype: of a folder's weights; left out, as they are stored now. check: texts to compare on besides.
    force: write over what is there. llama_cpp: run a GGUF file there too, where xllamacpp is installed.
    note: hears what is done. Raises UsageError, ModelError, TokenizerError, CheckpointError, WriteFailed.
    """
    import torch

    from homespun.interop.export import Leaving, check_free, export_gguf, export_merged
    from homespun.interop.gguf.write import check_counterpart, library
    from homespun.interop.open import open_model
    from homespun.interop.origin import origin_of
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
    target = place_for(to, origin.name, quantize, out)
    check_free(to, target, force)  # told before anything takes time
    texts = [GENERAL, own_text(opened.float(), tokenizer), *given_texts(check)]
    leaving = Leaving(opened, tokenizer, origin, texts)
    tell(f"writing {target} and comparing it with the model")
    if to == "gguf":
        return export_gguf(leaving, target, quantize=quantize, force=force, ask_llama_cpp=llama_cpp)
    kept = getattr(torch, dtype) if dtype else stored
    return export_merged(leaving, target, dtype=kept, force=force)


def precision_of(to: str, quantize: str | None, dtype: str | None) -> tuple[str, str | None]:
    """The two settings, of which each format has one. Raises UsageError for the other, and for unknown words."""
    from homespun.interop.gguf.write import QUANTIZATIONS

    if to not in FORMATS:
        raise UsageError(f"There is no format {to!r} to export to.", f"The formats are: {', '.join(FORMATS)}.")
    if to == "merged" and quantize is not None:
        raise UsageError(
            "--quantize is for GGUF files.", "A folder's weights are whole: --dtype float32, bfloat16 or float16."
        )
    if to == "gguf" and dtype is not None:
        raise UsageError("--dtype is for folders.", f"A GGUF file has --quantize: {', '.join(QUANTIZATIONS)}.")
    quantize = PRECISION if quantize is None else quantize.lower()
    if quantize not in QUANTIZATIONS:
        raise UsageError(f"There is no quantization {quantize!r}.", f"There are: {', '.join(QUANTIZATIONS)}.")
    if dtype is not None and dtype not in DTYPES:
        raise UsageError(f"Weights cannot be kept as {dtype!r}.", f"They can as: {', '.join(DTYPES)}.")
    return quantize, dtype


def place_for(to: str, name: str, quantize: str, out: str | Path | None) -> Path:
    """Where the export goes: what was said, else a name in exports/. A folder for a GGUF file gets one in it.

    >>> place_for("gguf", "book", "q8_0", None), place_for("gguf", "book", "f16", "there")
    (PosixPath('exports/book-q8_0.gguf'), PosixPath('there/book-f16.gguf'))
    """
    if to == "merged":
        return EXPORTS / name if out is None else Path(out).expanduser()
    given = EXPORTS if out is None else Path(out).expanduser()
    return given if given.suffix.lower() == ".gguf" else given / f"{name}-{quantize}.gguf"


def own_text(model: CausalLM, tokenizer: Tokenizer) -> str:
    """What the model writes when nothing is said: there is no text that it has more to say about."""
    from homespun.generation.settings import Sampling
    from homespun.generation.text import generate

    return generate(model, tokenizer, max_tokens=OWN_TEXT, sampling=Sampling(temperature=1.0, seed=1))


def given_texts(check: Iterable[str | Path]) -> list[str]:
    """The beginning of each document of the texts to compare on."""
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
