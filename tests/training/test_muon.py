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
    back = u.T @ orthogonalise(matrix)[0] @ vh.T
    assert (back - torch.diag(back.diag())).abs().max() < 1e-3


def test_a_gradient_of_zeros_is_no_step_and_no_nan() -> None:
    weight = nn.Parameter(torch.ones(4, 4))
    weight.grad = torch.zeros(4, 4)
    Muon([weight], learning_rate=0.1).step()
    assert torch.equal(weight, torch.ones(4, 4))


def test_half_of_the_matrices_of_a_shape_step_at_a_time_from_the_momentum_of_all_gradients() -> None:
    torch.manual_seed(3)
    start = [torch.randn(6, 4) for _ in range(3)]
    gradients = [[torch.randn(6, 4) for _ in range(3)] for _ in range(4)]
    weights = [nn.Parameter(value.clone()) for value in start]
    optimizer = Muon(weights, learning_rate=0.1, weight_decay=0.2)
    for of_step in gradients:
        for weight, gradient in zip(weights, of_step, strict=True):
            weight.grad = gradient.clone()
        optimizer.step()

    for number, (weight, value) in enumerate(zip(weights, start, strict=True)):
        momentum = torch.zeros(6, 4)
        for step, of_step in enumerate(gradients):
            momentum = 0.95 * momentum + 0.05 * of_step[number]
            if (number >= 1) == (step % 2 == 0):  # the last two, the first, the last two, …
                ahead = 0.05 * of_step[number] + 0.95 * momentum
                value = value * (1 - 2 * 0.1 * 0.2) - 2 * 0.1 * 0.2 * 6**0.5 * orthogonalise(ahead[None])[0]
        torch.testing.assert_close(weight.detach(), value, rtol=1e-4, atol=1e-5)


def test_whose_turn_it_is_is_part_of_the_state() -> None:
    def stepped(interrupted: bool) -> list[torch.Tensor]:
        torch.manual_seed(4)
        weights = [nn.Parameter(torch.randn(4, 4)) for _ in range(2)]
        optimizer = Muon(weights, learning_rate=0.1)
        for step in range(3):
            if interrupted and step == 1:
                state, optimizer = optimizer.state, Muon(weights, learning_rate=0.1)
                for weight, kept in state.items():
                    optimizer.state[weight] = {name: tensor.clone() for name, tensor in kept.items()}
            for weight in weights:
                weight.grad = torch.randn(4, 4)
            optimizer.step()
        return [weight.detach() for weight in weights]

    for one, other in zip(stepped(True), stepped(False), strict=True):
        assert torch.equal(one, other)


def test_a_matrix_that_is_alone_of_its_shape_steps_every_other_time() -> None:
    weight = nn.Parameter(torch.zeros(4, 6))
    optimizer = Muon([weight], learning_rate=0.1)
    seen = []
    for _ in range(4):
        before = weight.detach().clone()
        weight.grad = torch.ones(4, 6)
        optimizer.step()
        seen.append(not torch.equal(before, weight.detach()))
    assert seen == [True, False, True, False]


def test_a_step_has_the_size_of_one_of_adamw() -> None:
    weight = nn.Parameter(torch.zeros(64, 256))
    weight.grad = torch.randn(64, 256, generator=torch.Generator().manual_seed(4))
    Muon([weight], learning_rate=1.0).step()
    # Orthogonal rows: the mean square of the entries is rows / (rows * columns), and 0.2² · columns of it.
    assert 0.15 < weight.detach().square().mean().sqrt() / 2 < 0.25  # twice as far, every other time


def test_weight_decay_pulls_towards_zero() -> None:
    weight = nn.Parameter(torch.full((4, 4), 2.0))
    weight.grad = torch.zeros(4, 4)
    Muon([weight], learning_rate=0.5, weight_decay=0.1).step()
    torch.testing.assert_close(weight.detach(), torch.full((4, 4), 1.8))


def test_parameters_without_a_gradient_are_left_out() -> None:
    seen, unseen = nn.Parameter(torch.zeros(2, 2)), nn.Parameter(torch.zeros(2, 2))
    seen.grad = torch.ones(2, 2)
    assert len(by_shape([seen, unseen])) == 1 and len(by_shape([seen, unseen])[0]) == 1
