"""The training form of a model for sequences that may hold several documents: it returns the loss, no logits."""

from __future__ import annotations

from torch import Tensor, nn

from homespun.kernels.head_loss import head_loss
from homespun.machine.device import to_device
from homespun.model.causal_lm import CausalLM
from homespun.model.context import Causal
from homespun.model.gpt import GPT


class Learner(nn.Module):
    """`learner(ids, targets) -> (None, loss)`; for packed sequences also with documents and positions.

    model           the model to train, possibly with LoRA
    context_length  of the sequences, at most that of the model
    separator       the separator id, if the sequences are cut from a text of several documents: attention
                    and positions do not cross it
    """

    def __init__(self, model: CausalLM, context_length: int, separator: int | None = None) -> None:
        super().__init__()
        self.model = model
        self.config = model.config.with_(context_length=context_length)
        self.separator = separator

    def forward(
        self, ids: Tensor, targets: Tensor, documents: Tensor | None = None, positions: Tensor | None = None
    ) -> tuple[None, Tensor]:
        """ids, targets, documents, positions (B, T) -> the mean loss over targets that are not negative.

        The tensors may be on the CPU while the model is on a GPU: where documents begin and which targets count
        is then found out without waiting for the GPU.
        """
        device = self.model.device
        if not isinstance(self.model, GPT):
            return None, self.model(to_device(ids, device), to_device(targets, device))[1]
        if documents is None and self.separator is not None:
            documents = documents_of(ids, self.separator)
        counted = (targets.flatten() >= 0).nonzero()[:, 0]  # (N,)
        wanted = to_device(targets.flatten()[counted], device)
        context = Causal(*(None if part is None else to_device(part, device) for part in (documents, positions)))
        x = self.model.features(to_device(ids, device), context).flatten(0, 1)  # (B T, C)
        head = self.model.head
        return None, head_loss(x[to_device(counted, device)], head.weight, head.bias, wanted)


def documents_of(ids: Tensor, separator: int) -> Tensor | None:
    """The document number of each token, (B, T), where `separator` starts one; None if every row has only one.

    The separator between two texts ends one and starts the other: it is predicted at the end of the
    first, and the first token of the second is predicted from it.

    >>> import torch
    >>> documents_of(torch.tensor([[5, 6, 0, 7, 0, 8]]), separator=0).tolist()
    [[0, 0, 1, 1, 2, 2]]
    """
    separators = ids == separator
    if not bool(separators[:, 1:].any()):
        return None
    return separators.cumsum(dim=1)
