"""One side's step of fine-tuning with LoRA, in a process of its own, which does what it is told on standard input.

steps N     takes N steps       -> {"seconds": …, "loss": …}
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor, nn

from homespun.machine.device import autocast, choose_dtype
from homespun.planning.tuning_plan import TuningPlan
from homespun.training.optimizer import Optimizers

BATCHES = 8
LEARNING_RATE = 1e-4
CLIP = 1.0
ALPHA = 2.0  # times the rank

Step = Callable[[Tensor], float]
Way = tuple[Step, int, int]  # the step, how many ids the model has, and how many numbers it learns


def our_way(folder: Path, rank: int, rows: int, length: int) -> Way:
    """The step as `homespun finetune` takes it."""
    from homespun.checkpoint.folder import load_config, load_model
    from homespun.finetuning.learner import Learner
    from homespun.finetuning.methods import prepared_model
    from homespun.kernels.select import worth_compiling

    dtype = choose_dtype("auto", "cpu")
    computed_in = str(dtype).removeprefix("torch.")
    plan = TuningPlan(
        text=(),
        base=str(folder),
        method="lora",
        context_length=length,
        steps=1,
        batch_size=rows,
        learning_rate=LEARNING_RATE,
        warmup_steps=0,
        rank=rank,
        alpha=ALPHA * rank,
        dtype=computed_in,
        quick=worth_compiling(load_config(folder), "cpu", computed_in),
    )
    model = prepared_model(plan, lambda kind: load_model(folder, dtype=kind)[0])
    learner, context = Learner(model, length).train(), autocast("cpu", dtype)
    optimizers = Optimizers(model, kind="adamw", learning_rate=LEARNING_RATE, weight_decay=0.0, dtype=dtype)

    def step(ids: Tensor) -> float:
        with context():
            loss = learner(ids[:, :-1], ids[:, 1:])[1]
        loss.backward()
        value = loss.item()
        nn.utils.clip_grad_norm_(model.parameters(), CLIP)
        optimizers.step(1.0)
        optimizers.zero_grad()
        return value

    learning = sum(weight.numel() for weight in model.parameters() if weight.requires_grad)
    return step, model.config.vocab_size, learning


def their_way(folder: Path, rank: int) -> Way:
    """The step as the examples of `peft` have it: float32, LoRA beside all linear layers of the blocks, AdamW."""
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM

    base = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    settings = LoraConfig(r=rank, lora_alpha=ALPHA * rank, target_modules="all-linear", task_type="CAUSAL_LM")
    model = get_peft_model(base, settings).train()
    learning = [weight for weight in model.parameters() if weight.requires_grad]
    optimizer = torch.optim.AdamW(learning, lr=LEARNING_RATE, weight_decay=0.0)

    def step(ids: Tensor) -> float:
        loss = model(input_ids=ids, labels=ids, use_cache=False).loss
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(learning, CLIP)
        optimizer.step()
        return loss.item()

    return step, base.config.vocab_size, sum(weight.numel() for weight in learning)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("side", choices=["ours", "plain"])
    parser.add_argument("folder", type=Path)
    for name in ("rank", "rows", "length"):
        parser.add_argument(f"--{name}", type=int, required=True)
    asked = parser.parse_args()
    torch.manual_seed(0)
    if asked.side == "ours":
        step, vocab_size, trainable = our_way(asked.folder, asked.rank, asked.rows, asked.length)
    else:
        step, vocab_size, trainable = their_way(asked.folder, asked.rank)
    batches = torch.randint(vocab_size, (BATCHES, asked.rows, asked.length + 1))
    tell(threads=torch.get_num_threads(), trainable=trainable)
    for line in sys.stdin:
        began, loss = time.perf_counter(), 0.0
        number = int(line.split()[1])
        for index in range(number):
            # Both predict as many tokens: transformers shifts the labels itself.
            loss = step(batches[index % BATCHES])
        tell(seconds=time.perf_counter() - began, loss=loss)


def tell(**facts: float) -> None:
    print(json.dumps(facts), flush=True)


if __name__ == "__main__":
    main()
