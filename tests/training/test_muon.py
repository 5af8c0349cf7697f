from __future__ import annotations

import pytest
import torch
from torch import nn

from homespun.training.muon import Muon, by_shape, orthogonalise


@pytest.mark.parametrize("shape", [(3, 16, 16), (2, 8, 24), (2, 24, 8), (1, 1, 5)])
def test_orthogonalising_brings_every_singular_value_near_one(shape: tuple[int, ...]) -> None:
    made = orthogonalise(torch.randn(shape, generator=torch.Generator().manual_seed(1)))
    values = torch.linalg.svdvals(made)
    assert made.shape == shape
    assert values.min() > 0.6 and values.max() < 1.3


def test_orthogonalising_keeps_the_directions() -> None:
    matrix = torch.randn(1, 12, 12, generator=torch.Generator().manual_seed(2))
    u, _, vh = torch.linalg.svd(matrix[0])
    back = u.T @ orthogonalise(matrix, iterations=5)[0] @ vh.T
    assert (back - torch.diag(back.diag())).abs().max() < 1e-3


def test_a_gradient_of_zeros_is_no_step_and_no_nan() -> None:
    weight = nn.Parameter(torch.ones(4, 4))
    weight.grad = torch.zeros(4, 4)
    Muon([weight], learning_rate=0.1).step()
    assert torch.equal(weight, torch.ones(4, 4))


def test_matrices_of_one_shape_together_step_as_each_would_alone() -> None:
    torch.manual_seed(3)
    values, gradients = [torch.randn(6, 4) for _ in range(3)], [torch.randn(6, 4) for _ in range(3)]

    def stepped(groups: list[list[int]]) -> list[torch.Tensor]:
        weights = [nn.Parameter(value.clone()) for value in values]
        for _ in range(2):
            for weight, gradient in zip(weights, gradients, strict=True):
                weight.grad = gradient.clone()
            optimizers = made.setdefault(
                str(groups), [Muon([weights[i] for i in g], learning_rate=0.1) for g in groups]
            )
            for optimizer in optimizers:
                optimizer.step()
        return [weight.detach() for weight in weights]

    made: dict[str, list[Muon]] = {}
    for one, other in zip(stepped([[0, 1, 2]]), stepped([[0], [1], [2]]), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-5, atol=1e-6)


def test_a_step_has_the_size_of_one_of_adamw() -> None:
    weight = nn.Parameter(torch.zeros(64, 256))
    weight.grad = torch.randn(64, 256, generator=torch.Generator().manual_seed(4))
    Muon([weight], learning_rate=1.0).step()
    # Orthogonal rows: the mean square of the entries is rows / (rows * columns), and 0.2² · columns of it.
    assert 0.15 < weight.detach().square().mean().sqrt() < 0.25


def test_weight_decay_pulls_towards_zero() -> None:
    weight = nn.Parameter(torch.full((4, 4), 2.0))
    weight.grad = torch.zeros(4, 4)
    Muon([weight], learning_rate=0.5, weight_decay=0.1).step()
    torch.testing.assert_close(weight.detach(), torch.full((4, 4), 1.9))


def test_parameters_without_a_gradient_are_left_out() -> None:
    seen, unseen = nn.Parameter(torch.zeros(2, 2)), nn.Parameter(torch.zeros(2, 2))
    seen.grad = torch.ones(2, 2)
    assert len(by_shape([seen, unseen])) == 1 and len(by_shape([seen, unseen])[0]) == 1
