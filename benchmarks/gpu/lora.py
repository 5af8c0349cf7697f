"""Tokens/s of a LoRA step on SmolLM2-135M's shape, beside transformers and peft on the same GPU.

The weights are drawn: what they are does not change the time. Both sides: rank 16 on every matrix of the blocks,
AdamW, bfloat16, rows of full length.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path

import torch

from benchmarks.gpu.result import Asked, Row, asked, finish, seconds_of
from homespun.checkpoint.folder import load_model, save_model
from homespun.finetuning.learner import Learner
from homespun.finetuning.lora import add_lora
from homespun.machine.accelerator import peak_memory_on
from homespun.machine.device import autocast, choose_dtype
from homespun.model.config import GPTConfig
from homespun.model.gpt import GPT
from homespun.tokenizer.byte import ByteTokenizer
from homespun.training.optimizer import Optimizers

SMOLLM2 = {
    **{"vocab_size": 49152, "context_length": 1024, "n_layer": 30, "n_head": 9, "n_kv_head": 3},
    **{"n_embd": 576, "n_inner": 1536},
}
TINY = {"vocab_size": 5000, "context_length": 32, "n_layer": 1, "n_head": 2, "n_kv_head": 1, "n_embd": 32}
RANK, ROWS, RATE = 16, 16, 1e-4


def our_step(folder: Path, ids: torch.Tensor, wanted: Asked) -> Callable[[], None]:
    device, dtype = wanted.device, choose_dtype("auto", wanted.device)
    model, _ = load_model(folder, device=str(device))
    assert isinstance(model, GPT)
    add_lora(model, rank=RANK, alpha=2.0 * RANK, dtype=dtype)
    learner = Learner(model.to(device), ids.size(1) - 1).train()
    optimizers = Optimizers(model, kind="adamw", learning_rate=RATE, weight_decay=0.0, dtype=dtype)
    context = autocast(device, dtype)

    def step() -> None:
        with context():
            _, loss = learner(ids[:, :-1], ids[:, 1:])
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizers.step(1.0)
        optimizers.zero_grad()

    return step


def their_step(folder: Path, ids: torch.Tensor, wanted: Asked) -> Callable[[], None]:
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM

    device = wanted.device
    base = AutoModelForCausalLM.from_pretrained(folder, dtype=choose_dtype("auto", device)).to(device)
    model = get_peft_model(base, LoraConfig(r=RANK, lora_alpha=2 * RANK, target_modules="all-linear")).train()
    weights = [weight for weight in model.parameters() if weight.requires_grad]
    optimizer = torch.optim.AdamW(weights, lr=RATE, fused=True)
    there = ids[:, :-1].to(device)

    def step() -> None:
        model(input_ids=there, labels=there).loss.backward()
        torch.nn.utils.clip_grad_norm_(weights, 1.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)

    return step


def rows_of(wanted: Asked) -> list[Row]:
    torch.manual_seed(0)
    config = GPTConfig.of("llama", **wanted.pick(SMOLLM2, TINY))
    rows: list[Row] = []
    with tempfile.TemporaryDirectory() as name:
        save_model(Path(name), GPT(config), ByteTokenizer())
        number = wanted.pick(ROWS, 2)
        ids = torch.randint(256, (number, config.context_length + 1))
        for side, make in (("ours", our_step), ("transformers + peft", their_step)):
            if wanted.device.type == "cuda":
                torch.cuda.reset_peak_memory_stats(wanted.device)
            seconds = seconds_of(make(Path(name), ids, wanted), wanted.device, wanted.pick(20, 1), warmup=1)
            memory = peak_memory_on(wanted.device) / 1e9 or None
            rows.append({"side": side, "tokens/s": number * config.context_length / seconds, "GB": memory})
    return rows


def main(arguments: list[str] | None = None) -> int:
    wanted = asked(__doc__, arguments)
    rows = rows_of(wanted)
    finish(wanted, "lora", rows, ratio=rows[0]["tokens/s"] / rows[1]["tokens/s"])
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
