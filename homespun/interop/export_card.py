"""README.md of an exported folder: what it is, where it comes from, and how to use it."""

from __future__ import annotations

from homespun.checkpoint.hf_names import only_here
from homespun.interop.origin import Origin
from homespun.model.causal_lm import CausalLM

CARD = """\
---
library_name: {library}
pipeline_tag: text-generation
tags: [homespun, {family}]{license}
---

# {name}

A language model of {parameters:,} parameters ({family}), exported with homespun from {name};
weights in {precision}.
{said}
## Use it

```sh
homespun generate . "Once"
```
{transformers}"""
WITH_TRANSFORMERS = """
```python
from transformers import AutoModelForCausalLM, AutoTokenizer

model = AutoModelForCausalLM.from_pretrained(".")
tokenizer = AutoTokenizer.from_pretrained(".")
```
"""


def export_card(origin: Origin, model: CausalLM, precision: str) -> str:
    alone = only_here(model.config)
    return CARD.format(
        library="homespun" if alone else "transformers",
        family=model.config.family,
        license=f"\nlicense: {origin.license}" if origin.license else "",
        name=origin.name,
        parameters=model.number_of_parameters(),
        precision=precision,
        said=about(origin),
        transformers="" if alone else WITH_TRANSFORMERS,
    )


def about(origin: Origin) -> str:
    """What its own card says of where it comes from."""
    lines = []
    if base := origin.general.get("general.base_model.0.name"):
        lines.append(f"It was made from {base}.")
    if maker := origin.general.get("general.organization") or origin.general.get("general.author"):
        lines.append(f"The model is by {maker}.")
    if origin.license:
        lines.append(f"Its licence is {origin.license}.")
    return "".join(f"{line}\n" for line in lines)
