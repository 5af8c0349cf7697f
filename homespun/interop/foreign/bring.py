"""`homespun import`: a checkpoint of the lecture's repositories becomes a model folder."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch

from homespun.checkpoint.folder import load_model, save_model
from homespun.checkpoint.hf_names import only_here
from homespun.checkpoint.place import CONFIG
from homespun.errors import CheckpointError, UsageError
from homespun.interop.export_card import WITH_TRANSFORMERS
from homespun.interop.foreign.checkpoint import Opened, open_checkpoint
from homespun.interop.foreign.names import Wishes
from homespun.interop.foreign.vocabulary import tokenizer_for
from homespun.machine.atomic import replacing_files
from homespun.model.causal_lm import CausalLM
from homespun.model.config import GPTConfig
from homespun.tokenizer.tokenizer import Tokenizer

LEAST_DIFFERENCE = 0.01  # nats per token between two shapes of a model that was trained
WINDOWS = 16  # of the text, on which rival shapes are compared
CARD = """\
---
library_name: {library}
pipeline_tag: text-generation
tags: [homespun, {family}]
---

# {name}

A language model of {parameters:,} parameters ({family}), imported with homespun from {kind}, {file}.
Its tokenizer is {tokenizer}.

```sh
homespun generate . "Once"
```
{transformers}"""


@dataclass(frozen=True)
class Imported:
    """What was made of a checkpoint. kind: what it was; tokenizer: where that is from; notes: what was guessed."""

    out: Path
    kind: str
    family: str
    parameters: int
    vocab_size: int
    context_length: int
    tokenizer: str
    notes: tuple[str, ...]


def import_checkpoint(
    path: Path, out: Path, *, tokenizer: str | None = None, wishes: Wishes | None = None, force: bool = False
) -> Imported:
    """Write the model folder of a checkpoint, and open it again.

    tokenizer: gpt2, or the file that says what its tokens are; None to look for it beside the checkpoint.
    force: write over what is in `out`. Raises CheckpointError, TokenizerError, UsageError, WriteFailed,
    DownloadFailed, MissingExtra.
    """
    wishes = wishes or Wishes()
    if wishes.gelu not in ("", "exact", "tanh"):
        raise UsageError(f"There is no GELU {wishes.gelu!r}.", "Take exact or tanh.")
    if out.exists() and not force and not (out.is_dir() and not any(out.iterdir())):
        raise UsageError(
            f"{out} is there already.", "Choose another folder with --out, or write over it with --force."
        )
    opened = open_checkpoint(path, wishes)
    named = tokenizer if tokenizer is not None else opened.tokenizer
    chosen = tokenizer_for(path, opened.what.config.vocab_size, opened.data_set, named)
    model, notes = best_of(opened, chosen.tokenizer, chosen.text)
    alone = only_here(model.config)
    card = CARD.format(
        library="homespun" if alone else "transformers",
        family=model.config.family,
        name=out.name,
        parameters=model.number_of_parameters(),
        kind=opened.what.kind,
        file=path.name,
        tokenizer=Path(chosen.source).name,
        transformers="" if alone else WITH_TRANSFORMERS,
    )
    with replacing_files(out, seal=CONFIG) as stage:
        save_model(stage, model, chosen.tokenizer)
        (stage / "README.md").write_text(card, encoding="utf-8")
        check_same(model, load_model(stage)[0])
    return Imported(
        out,
        opened.what.kind,
        model.config.family,
        model.number_of_parameters(),
        model.config.vocab_size,
        model.config.context_length,
        chosen.source,
        (*opened.notes, *notes),
    )


def best_of(opened: Opened, tokenizer: Tokenizer, text: str) -> tuple[CausalLM, list[str]]:
    """The model; where its weights fit several configs, the one that predicts the text best."""
    rivals = opened.what.rivals
    model = opened.model()
    if not rivals:
        return model, []
    assert isinstance(model.config, GPTConfig)
    models = [model, *(opened.model(number) for number in range(len(rivals)))]
    names = ["the root of a head's width", "the root of n_embd, as in the video"]
    if not text:
        return model, [
            f"the file does not say what its scores are divided by: {names[0]} is taken, as in the lecture's "
            "repository. With the text as --tokenizer, homespun measures which it is"
        ]
    losses = [loss_on(one, tokenizer.encode(text[: 4 * WINDOWS * model.config.context_length])) for one in models]
    best = min(range(len(models)), key=losses.__getitem__)
    if losses[0] - losses[best] < LEAST_DIFFERENCE:
        best = 0  # nothing to tell them apart by
    measured = " and ".join(f"{loss:.3f}" for loss in losses)
    return models[best], [
        f"its scores are divided by {names[best]}: the loss on its text is {measured} with the two"
    ]


@torch.inference_mode()
def loss_on(model: CausalLM, ids: list[int]) -> float:
    """The mean loss in nats per token on the first windows of a text."""
    length = model.config.context_length
    windows = [ids[start : start + length + 1] for start in range(0, len(ids) - 1, length)][:WINDOWS]
    losses = []
    for window in windows:
        row = torch.tensor([window])
        _, loss = model(row[:, :-1], row[:, 1:])
        assert loss is not None
        losses.append(float(loss))
    return sum(losses) / len(losses)


@torch.inference_mode()
def check_same(model: CausalLM, written: CausalLM) -> None:
    """Raises CheckpointError where the folder gives other logits than what was imported."""
    length = min(8, model.config.context_length)
    ids = torch.arange(length)[None] % model.config.vocab_size
    if not torch.equal(model(ids)[0], written(ids)[0]):
        raise CheckpointError(
            "What was written is not the model, so nothing was written.",
            "That is a bug of homespun: please report it.",
        )
