"""A model as a page: what it was trained on, whether it memorised it, and what the page is held to."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING

from homespun.errors import HomespunError

if TYPE_CHECKING:
    from homespun.evaluation.memorisation import Memorisation
    from homespun.interop.export import Exported, Leaving
    from homespun.interop.page.contents import Sample
    from homespun.model.causal_lm import CausalLM

SAMPLE_TOKENS, SEED = 48, 1
LONGEST_QUOTE = 80  # characters of a copied passage


def export_as_page(
    leaving: Leaving, place: Path, out: Path, precision: str, *, prove: bool, note: Callable[[str], None]
) -> Exported:
    """place: the folder or file of the model. Everything else as in `export`."""
    from homespun.api.export import own_text
    from homespun.generation.text import first_id
    from homespun.interop.page.export import About, export_page

    note("looking for memorised passages")
    memorised = memorisation_notes(leaving, place)
    note(f"writing {out} and comparing it with the model")
    own = own_text(leaving.model, leaving.tokenizer)
    first = first_id(leaving.tokenizer)
    about = About(
        facts=facts_of(place),
        texts=[leaving.texts[0], own],
        sample=lambda rounded: sample_of(rounded, leaving, first),
        first=first,
    )
    leaving = replace(leaving, texts=[*leaving.texts, own])
    exported = export_page(leaving, about, out, precision=precision, prove=prove)
    exported.notes += memorised
    return exported


def sample_of(model: CausalLM, leaving: Leaving, first: int) -> Sample:
    """What the engine generates from nothing with a seed."""
    from homespun.generation.settings import Sampling
    from homespun.generation.text import generate_ids
    from homespun.interop.page.contents import Sample

    tokenizer = leaving.tokenizer
    prompt = tokenizer.opening or [first]
    sampling = Sampling(seed=SEED)
    ids = generate_ids(
        model,
        prompt,
        max_tokens=SAMPLE_TOKENS,
        sampling=sampling,
        stop_ids=tokenizer.ends,
        below=tokenizer.vocab_size,
    )
    names = ("temperature", "top_k", "top_p", "min_p", "repetition_penalty")
    return Sample(SEED, list(prompt), list(ids), {name: getattr(sampling, name) for name in names})


def facts_of(place: Path) -> list[tuple[str, str]]:
    """What a run says of its training: the text's name without its folder, the loss, the date."""
    from homespun.api.past_run import training_of
    from homespun.checkpoint.place import WEIGHTS

    training = training_of(place)
    if training is None:
        return []
    facts = []
    if training.text:
        facts.append(("text", ", ".join(name_of(text) for text in training.text)))
    if training.loss is not None:
        bits = "" if training.bits_per_char is None else f" ({training.bits_per_char:.2f} bits per character)"
        facts.append(("loss", f"{training.loss:.3f} nats per token{bits}"))
    weights = place / WEIGHTS
    if weights.is_file():
        made = datetime.fromtimestamp(weights.stat().st_mtime, tz=timezone.utc)
        facts.append(("trained", made.date().isoformat()))
    return facts


def name_of(text: str) -> str:
    """The last part of a path or an address: a page that is given away says no more of where the text was.

    >>> name_of("/home/anna/letters/1987.txt"), name_of("shakespeare"), name_of("https://example.org/a/b.txt?key=1")
    ('1987.txt', 'shakespeare', 'b.txt')
    """
    plain = re.sub(r"[?#].*", "", text) if "://" in text else text
    return plain.replace("\\", "/").rstrip("/").rpartition("/")[2] or "a text"


def memorisation_notes(leaving: Leaving, place: Path) -> list[str]:
    """What the model knows by memorisation of the text that it was trained on: who has the page has it too."""
    from homespun.api.language_model import LanguageModel
    from homespun.api.report import written
    from homespun.evaluation.memorisation import memorisation
    from homespun.training.log_lines import Noted

    if not (place / "plan.toml").is_file():
        return [
            "the text that the model was trained on is not known here: whether it memorised it was not measured"
        ]
    opened = LanguageModel(leaving.model, leaving.tokenizer, place, watcher=Noted())
    try:
        dataset = opened.dataset()
        found = memorisation(dataset, leaving.tokenizer, written(opened, dataset.val.ids))
    except HomespunError as error:
        return [f"whether the model memorised its text was not measured: {error.what}"]
    return [in_words(found)]


def in_words(found: Memorisation) -> str:
    model, held_out = found.texts["model"], found.texts["held out"]
    quoted = " ".join(model.longest_text.split())
    quoted = quoted if len(quoted) <= LONGEST_QUOTE else f"{quoted[:LONGEST_QUOTE]}…"
    finding = (
        "it has memorised passages, and gives them to whoever has the page"
        if model.share > held_out.share
        else "no more than an author repeats himself"
    )
    return (
        f"memorisation: {model.share:.1%} of what the model writes stands in its training text in passages of "
        f"{found.least} tokens or more; of held-out text it is {held_out.share:.1%}: {finding}. "
        f"The longest copy has {model.longest} tokens: {quoted!r}"
    )
