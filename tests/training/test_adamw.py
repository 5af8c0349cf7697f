from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch import nn

from homespun.training.adamw import BETAS, AdamW
from homespun.training.optimizer import Optimizers


@pytest.mark.parametrize("weight_decay", [0.0, 0.3])
def test_it_walks_as_the_one_of_pytorch_does(weight_decay: float) -> None:
    torch.manual_seed(0)
    start = [torch.randn(5, 3), torch.randn(7)]
    ours, theirs = ([nn.Parameter(value.clone()) for value in start] for _ in range(2))
    one = AdamW(ours, learning_rate=0.01, weight_decay=weight_decay)
    other = torch.optim.AdamW(theirs, lr=0.01, betas=BETAS, weight_decay=weight_decay, fused=True)
    for step in range(5):
        one.learning_rate = other.param_groups[0]["lr"] = 0.01 / (1 + step)
        for mine, its in zip(ours, theirs, strict=True):
            mine.grad = torch.randn_like(mine)
            its.grad = mine.grad.clone()
        one.step()
        other.step()
    for mine, its in zip(ours, theirs, strict=True):
        assert torch.equal(mine, its)
        assert one.state[mine].keys() == other.state[its].keys()


def test_a_weight_without_a_gradient_stays_and_one_that_has_none_at_all_is_no_error() -> None:
    weight, idle = nn.Parameter(torch.ones(2)), nn.Parameter(torch.ones(2))
    optimizer = AdamW([weight, idle], learning_rate=0.1)
    optimizer.step()
    assert torch.equal(weight, torch.ones(2)) and not optimizer.state
    weight.grad = torch.ones(2)
    optimizer.step()
    assert (weight < 1).all() and torch.equal(idle, torch.ones(2)) and idle not in optimizer.state


def test_what_the_optimizers_remember_goes_on_to_the_bit() -> None:
    def model() -> nn.Module:
        torch.manual_seed(1)
        return nn.ModuleDict({"blocks": nn.ModuleList([nn.Linear(4, 4)]), "head": nn.Linear(4, 2)})

    def stepped(model: nn.Module, optimizers: Optimizers, seed: int) -> None:
        torch.manual_seed(seed)
        for weight in model.parameters():
            weight.grad = torch.randn_like(weight)
        optimizers.step(1.0)
        optimizers.zero_grad()
        assert all(weight.grad is None for weight in model.parameters())

    def made(model: nn.Module) -> Optimizers:
        return Optimizers(model, kind="muon", learning_rate=0.01, weight_decay=0.1, dtype=torch.float32)

    whole = model()
    optimizers = made(whole)
    stepped(whole, optimizers, 2)
    weights = {name: weight.detach().clone() for name, weight in whole.named_parameters()}
    kept = {name: tensor.clone() for name, tensor in optimizers.state().items()}
    assert {"step/head.weight", "exp_avg/head.bias", "momentum/blocks.0.weight"} <= kept.keys()
    stepped(whole, optimizers, 3)

    again = model()
    again.load_state_dict(weights)
    optimizers = made(again)
    optimizers.restore(kept)
    stepped(again, optimizers, 3)
    for one, other in zip(whole.parameters(), again.parameters(), strict=True):
        assert torch.equal(one, other)


def test_a_run_that_compiles_nothing_does_not_load_the_compiler(tmp_path: Path) -> None:
    """It is a second of every start."""
    (tmp_path / "book.txt").write_text("A cat sees the moon.\n" * 200)
    program = """
import sys, homespun
homespun.train("book.txt", minutes=0.1, settings={"n_layer": 1}, out="run")
print(*{"torch._dynamo", "torch._inductor"} & sys.modules.keys())
"""
    done = subprocess.run([sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True)
    assert "done after" in done.stderr and not done.stdout.strip()
