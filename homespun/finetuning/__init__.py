"""Fine-tuning: a model that is there learns a text of yours, or to answer as your conversations do.

What is learnt: `lora` (small matrices beside the model's), `nf4` (the model itself in four bits), `growing` (rows
for new tokens). From what: `conversations`, `found`, `rendering`, `encoding`, `preparing`, `packing`. How:
`planner` makes a `plan` of `facts` (`speed` measures, `memory` counts), `learner` and `head_loss` compute, and
`loop` and `run` are those of training with this inside. `general_text` shows what was forgotten.
"""
