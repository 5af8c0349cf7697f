"""README.md of a fine-tuned folder: the base model, the text, the result, and how to open the model."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from homespun.planning.tuning_plan import TuningPlan
from homespun.training.card import WITH_TRANSFORMERS, fenced

if TYPE_CHECKING:
    from homespun.finetuning.recipe import TuningResult

WAYS = {
    "lora": "LoRA: small matrices beside those of the model, which stays as it is",
    "qlora": "QLoRA: small matrices beside those of the model, which was kept in four bits meanwhile",
    "full": "all weights of the model",
}
WITH_PEFT = """
This folder holds the changes only. With `peft`, which needs nothing of homespun's:

```python
from peft import PeftModel
from transformers import AutoModelForCausalLM, AutoTokenizer

base = AutoModelForCausalLM.from_pretrained("{base}")
model = PeftModel.from_pretrained(base, "{folder}")
tokenizer = AutoTokenizer.from_pretrained("{folder}")
```

As a whole model, in a folder of its own: `homespun export {folder} --to merged`.
"""


def tuning_card(plan: TuningPlan, result: TuningResult, dataset: Any, title: str) -> str:
    """The model card as Markdown. title: the display name of the text."""
    folder = result.out.name
    base = base_for_others(plan)
    library = "transformers" if plan.method == "full" else "peft"
    opens = WITH_TRANSFORMERS if plan.method == "full" else WITH_PEFT
    early = f" It was interrupted there; the plan had {plan.steps:,} steps." if result.interrupted else ""
    size = (
        f"rank {plan.rank}, alpha {plan.alpha:g}: {result.trainable_parameters:,} trainable parameters"
        if plan.rank
        else ""
    )
    what = "answers of the conversations" if plan.conversations else "text"
    verb = "chat" if plan.conversations else "generate"
    return f"""---
library_name: {library}
pipeline_tag: text-generation
base_model: {base}
tags: [homespun, {plan.method}]
---

# {folder}

{base}, fine-tuned with homespun on {title}.

| | |
|---|---|
| way | {WAYS[plan.method]} |
{f"| size | {size} |" if size else f"| size | {result.parameters:,} parameters |"}
| text | held out for validation: {dataset.how} |
| training | {result.steps:,} steps of {plan.tokens_per_step:,} tokens, in {result.seconds:,.0f} s.{early} |
| loss on {what} held out | {result.val_loss_before:.4f} before, **{result.val_loss:.4f}** nats per token after |
| which is | {result.bits_per_byte_before:.3f} before, {result.bits_per_byte:.3f} bits per byte after |
| on a general text | {result.general_before:.3f} before, {result.general:.3f} bits per byte after |

![The losses over the run](curve.png)

## A sample, before and after

```text
{fenced(result.sample_before)}
```

```text
{fenced(result.sample)}
```

## Use it

```sh
homespun {verb} {folder}
```
{opens.format(folder=folder, base=base)}
## Make it again

`plan.toml` has every number of the run: `homespun finetune --plan {folder}/plan.toml --out {folder}-again`.
"""


def base_for_others(plan: TuningPlan) -> str:
    """The name of the base for other users: a hub id, or only the name of a local folder, which others lack."""
    return plan.base if not Path(plan.base).is_absolute() else Path(plan.base).name
