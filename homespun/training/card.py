"""README.md of a run folder, the model card: the text, the plan, the loss, a sample, and how to use the model."""

from __future__ import annotations

from homespun.dataset.preparation import Dataset
from homespun.model.families import MODELS
from homespun.planning.plan import Plan
from homespun.training.watcher import Result

WITH_TRANSFORMERS = """
With `transformers`, which needs nothing of homespun's:

```python
from transformers import AutoModelForCausalLM, AutoTokenizer

model = AutoModelForCausalLM.from_pretrained("{folder}")
tokenizer = AutoTokenizer.from_pretrained("{folder}")
```
"""

HOMESPUN_ALONE = """
`{model}` is a model of the lessons. It has no counterpart in `transformers`: homespun alone opens this folder.
"""


def model_card(plan: Plan, result: Result, dataset: Dataset, title: str) -> str:
    name = result.out.name
    opens = WITH_TRANSFORMERS if opens_elsewhere(plan) else HOMESPUN_ALONE
    early = f" It was interrupted there; the plan had {plan.steps:,} steps." if result.interrupted else ""
    work = f"{result.steps:,} steps of {plan.tokens_per_step:,} tokens with {plan.optimizer}"
    loss = f"**{result.val_loss:.4f}** nats per token, at step {result.best_step:,}"
    return f"""---
library_name: {"transformers" if opens_elsewhere(plan) else "homespun"}
pipeline_tag: text-generation
tags: [homespun, {plan.model}]
---

# {name}

A language model of {result.parameters:,} parameters, trained with homespun on {title}.
It continues text in the manner of what it was trained on. It knows nothing else, and what it says is not true.

| | |
|---|---|
| family | {plan.model}: {shape(plan)} |
| tokenizer | {plan.tokenizer} |
| text | {dataset.characters:,} characters; held out for validation: {dataset.how} |
| trained on | {dataset.train.tokens:,} tokens; {dataset.val.tokens:,} were held out |
| training | {work}, in {result.seconds:,.0f} s.{early} |
| validation loss | {loss}: these are the weights here |
| which is | {result.bits_per_char:.3f} bits per character, {result.bits_per_byte:.3f} bits per byte |

![The losses over the run](curve.png)

## A sample

```text
{fenced(result.sample)}
```

## Use it

```sh
homespun generate {name} "Once"
```
{opens.format(folder=name, model=plan.model)}
## Make it again

`plan.toml` has every number of the run: `homespun train --plan {name}/plan.toml --out {name}-again`.
"""


def fenced(text: str) -> str:
    """The text without ``` in it, so that it can stand between code fences."""
    return text.replace("```", "'''")


def opens_elsewhere(plan: Plan) -> bool:
    return MODELS[plan.model].hugging_face is not None


def shape(plan: Plan) -> str:
    if MODELS[plan.model].is_table:
        return "one table of what follows what"
    return (
        f"{plan.n_layer} layers, {plan.n_head} heads, {plan.n_embd} wide, {plan.context_length} tokens of context"
    )
