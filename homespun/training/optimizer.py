"""Which optimizer updates which weights: Muon the blocks' matrices, AdamW everything else."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from homespun.training.adamw import AdamW
from homespun.training.muon import Muon
from homespun.training.world import OneProcess, World


class Optimizers:
    """The optimizers of all trainable parameters of a model, driven as one.

    Muon updates the matrices of the blocks. AdamW updates embeddings, the head, norms and biases,
    which act row by row or value by value. Norms, biases and embeddings have no weight
    decay.

    world: processes that divide Muon's matrices between them. AdamW is computed by each of them: on a CPU that
    takes less time than to hand the results round.
    """

    def __init__(
        self,
        model: nn.Module,
        *,
        kind: str,
        learning_rate: float,
        weight_decay: float,
        dtype: torch.dtype,
        world: World | None = None,
    ) -> None:
        self.world: World = world or OneProcess()
        self.named = {name: weight for name, weight in model.named_parameters() if weight.requires_grad}
        matrices, decayed, others = [], [], []
        for name, weight in self.named.items():
            in_block = name.startswith("blocks.") and weight.ndim == 2
            if in_block and kind == "muon":
                matrices.append(weight)
            elif in_block:
                decayed.append(weight)
            else:
                others.append(weight)
        self.learning_rate = learning_rate
        self.all: list[AdamW | Muon] = [
            AdamW(decayed, learning_rate=learning_rate, weight_decay=weight_decay),
            AdamW(others, learning_rate=learning_rate),
            Muon(
                matrices,
                learning_rate=learning_rate,
                weight_decay=weight_decay,
                dtype=dtype,
                rank=self.world.rank,
                size=self.world.size,
            ),
        ]

    def step(self, share: float) -> None:
        """One update from the current gradients, at `share` of the learning rate."""
        for optimizer in self.all:
            optimizer.learning_rate = self.learning_rate * share
            optimizer.step()
            if isinstance(optimizer, Muon):
                self.world.hand_round(optimizer.moved)

    uses_native_kernels = False

    def use_native_kernels(self) -> None:
        """Compute Muon's updates with the native kernel from here on; it has to be available."""
        self.uses_native_kernels = True
        for optimizer in self.all:
            if isinstance(optimizer, Muon):
                optimizer.uses_native_kernels = True

    def zero_grad(self) -> None:
        """Free the gradients."""
        for weight in self.named.values():
            weight.grad = None

    def state(self) -> dict[str, Tensor]:
        """The state of the optimizers, under keys "what/name.of.the.weight", whatever the number of processes.

        All ranks call it at the same place.
        """
        return {
            f"{what}/{name}": self.gathered(optimizer, weight, what, tensor)
            for name, weight in self.named.items()
            for optimizer in self.all
            for what, tensor in sorted(optimizer.state.get(weight, {}).items())
        }

    def gathered(self, optimizer: AdamW | Muon, weight: Tensor, what: str, tensor: Tensor) -> Tensor:
        if isinstance(optimizer, Muon) and what == "momentum":
            return self.world.sum_tensor(optimizer.whole(weight, tensor))
        return tensor

    def restore(self, tensors: dict[str, Tensor]) -> None:
        """Load a result of `state`."""
        for optimizer in self.all:
            mine = {id(weight) for weight in optimizer.weights}
            optimizer.state.clear()
            for key, tensor in tensors.items():
                what, _, name = key.partition("/")
                weight = self.named[name]
                if id(weight) in mine:
                    if isinstance(optimizer, Muon) and what == "momentum":
                        tensor = optimizer.part(weight, tensor)
                    # Muon counts its turns on the CPU: on a GPU, reading the count would wait for the device.
                    is_count = isinstance(optimizer, Muon) and not tensor.ndim
                    optimizer.state[weight][what] = tensor if is_count else tensor.to(weight.device)
