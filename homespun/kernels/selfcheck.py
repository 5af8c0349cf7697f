"""A kernel or a dtype held to the model in float32, and how fast this machine multiplies.

`computes_gradients_of` and `same_logits` are the self-check that every kernel passes before it is used. A kernel
that computes something else, because of a compiler, a processor or a mistake of ours, is not used. The check takes
milliseconds: a few tokens on the model's own weights, and of a deep model its first blocks, for all are alike.
`check_model` and `check_compiled` try a small model of their own: they are for the machine (`homespun doctor`).
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from homespun.kernels.exchange import sharing_weights
from homespun.machine.accelerator import wait_for
from homespun.machine.device import autocast, compiler, compiler_failures, first_line
from homespun.model.config import GPTConfig
from homespun.model.gpt import GPT

SECONDS_A_RATE = 0.5

# A bfloat16 number has 8 bits of precision: one rounding is off by at most 0.4%, and many
# of them by less than their number, because they go up as often as down. What is farther
# off than this is no rounding.
LARGEST_LOSS_ERROR = 0.02
SMALLEST_AGREEMENT = 0.98

BLOCKS = 2
TOKENS = 33  # one more than a tile of the C++ operations

# Rounding: what a kernel may be off by, beside twice the error of the model itself in that dtype.
LEEWAY = {torch.float32: 1e-4, torch.bfloat16: 0.02}
# A gradient that is a smaller share of all of them than this may be off by as much as one of this share. That of a
# key's bias, or of a query in a context of one token, is zero, and what rounding makes of it is no share of zero.
LEAST = {torch.float32: 1e-2, torch.bfloat16: 1e-4}
# Of a decoding kernel's logits, by what its weights are rounded to; with int8 its activations are, too.
LOGITS_LEEWAY = {"float32": 1e-3, "bfloat16": 0.1, "int8": 0.3}


def computes_gradients_of(model: GPT, apply: Callable[[GPT], GPT], dtype: torch.dtype) -> bool:
    """Whether the model that `apply` makes of another has the loss and gradient of `model`, to rounding.

    Both are held against the model in float32, each weight's gradient by itself: with kernels it may not be much
    farther off than that of the model in `dtype` is. At the start of training a gate with GELU instead of
    SwiGLU's is off by a tenth there; rounding to bfloat16 makes two to four hundredths.
    The model, its gradients and torch's random state stay as they were.
    """
    plain = first_blocks(model)
    right = gradients_on_a_sample(plain, torch.float32)
    near, found = gradients_on_a_sample(plain, dtype), gradients_on_a_sample(apply(sharing_weights(plain)), dtype)
    least = LEAST[dtype] * float(torch.stack([gradient.norm() for gradient in right]).norm())
    return all(
        error(ours, exact, least) <= 2 * error(theirs, exact, least) + LEEWAY[dtype]
        for ours, theirs, exact in zip(found, near, right, strict=True)
    )


def same_logits(found: Tensor, right: Tensor, weights: str) -> bool:
    """Whether logits (N, V) with such weights are the model's, `right`; what all of a row share does not count."""
    found, right = (
        logits.float().cpu() - logits.float().cpu().mean(-1, keepdim=True) for logits in (found, right)
    )
    return error(found, right) <= LOGITS_LEEWAY[weights]


def error(found: Tensor, right: Tensor, least: float = 1e-30) -> float:
    """The length of the difference as a share of that of `right`, or of `least`; infinite for no number."""
    difference = float((found.float() - right.float()).norm() / right.float().norm().clamp(min=least))
    return difference if difference == difference else float("inf")


def first_blocks(model: GPT) -> GPT:
    """The model, which stays as it is, with its first blocks alone."""
    model = sharing_weights(model)
    model.blocks = model.blocks[:BLOCKS]
    return model


def sample_ids(model: GPT, tokens: int) -> Tensor:
    """ids (1, tokens), the same every time, and not drawn: the random state is the run's."""
    return (torch.arange(tokens, device=model.device) * 7919 % model.config.vocab_size)[None]


def gradients_on_a_sample(model: GPT, dtype: torch.dtype) -> list[Tensor]:
    """Of the loss of a few tokens, and that loss behind them; one gradient for each weight that is trained."""
    ids = sample_ids(model, min(TOKENS, model.config.context_length) + 1)
    weights = [weight for weight in model.parameters() if weight.requires_grad]
    with torch.random.fork_rng(), torch.enable_grad():
        torch.manual_seed(0)  # the draws of dropout
        with autocast(model.device, dtype)():
            _, loss = model.train()(ids[:, :-1], ids[:, 1:])
        gradients = torch.autograd.grad(loss, weights, allow_unused=True, materialize_grads=True)
    return [*gradients, loss.detach()]


@dataclass(frozen=True)
class ModelCheck:
    """A small model's forward and backward pass in `dtype`, beside float32 on the CPU.

    loss_error: how far the losses are apart, as a share of the loss.
    agreement: the cosine between the two gradients; 1 is the same direction.
    """

    dtype: str
    loss_error: float
    agreement: float
    passed: bool


def check_model(device: torch.device, dtype: torch.dtype) -> ModelCheck:
    """Learning in `dtype` on `device` points where float32 on the CPU points."""
    loss, gradient = loss_and_gradient(torch.device("cpu"), torch.float32)
    other_loss, other_gradient = loss_and_gradient(device, dtype)
    loss_error = abs(other_loss - loss) / loss
    agreement = cosine(gradient, other_gradient)
    passed = agree(other_loss, loss, other_gradient, gradient)
    return ModelCheck(str(dtype).removeprefix("torch."), loss_error, agreement, passed)


def agree(loss: float, right: float, gradient: Tensor, right_gradient: Tensor) -> bool:
    """Whether two ways to compute the same differ by no more than rounding does. Not a number never agrees."""
    return (
        abs(loss - right) <= LARGEST_LOSS_ERROR * abs(right)
        and cosine(gradient, right_gradient) >= SMALLEST_AGREEMENT
    )


def cosine(one: Tensor, other: Tensor) -> float:
    return float(torch.nn.functional.cosine_similarity(one.float(), other.float(), dim=0))


@dataclass(frozen=True)
class CompileCheck:
    """Whether torch.compile works here and computes what the model does. Training goes without it where not."""

    works: bool
    detail: str


def check_compiled(device: torch.device, dtype: torch.dtype) -> CompileCheck:
    """Compiles the small model, forward and backward, and compares. Takes half a minute the first time."""
    if device.type == "cpu" and compiler() is None:
        return CompileCheck(False, "there is no C++ compiler")
    began = time.perf_counter()
    try:
        loss, gradient = loss_and_gradient(device, dtype, compiled=True)
    except compiler_failures() as error:
        torch.compiler.reset()
        return CompileCheck(False, first_line(error))
    right, right_gradient = loss_and_gradient(device, dtype)
    if not agree(loss, right, gradient, right_gradient):
        return CompileCheck(False, "it computes something else than the model")
    return CompileCheck(True, f"in {time.perf_counter() - began:.0f} s")


def loss_and_gradient(device: torch.device, dtype: torch.dtype, *, compiled: bool = False) -> tuple[float, Tensor]:
    """Of a small `modern` model, its weights and text always the same; the gradient is one long vector."""
    config = GPTConfig.of("modern", vocab_size=64, context_length=64, n_layer=2, n_head=4, n_embd=64)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = GPT(config)
        ids = torch.randint(64, (4, 65))
    model, ids = model.to(device), ids.to(device)
    forward = torch.compile(model) if compiled else model
    with autocast(device, dtype)():
        _, loss = forward(ids[:, :-1], ids[:, 1:])
    assert loss is not None
    loss.backward()
    gradient = torch.cat([weight.grad.flatten() for weight in model.parameters() if weight.grad is not None])
    return float(loss.detach()), gradient.detach().float().cpu()


def matmul_rate(device: torch.device, dtype: torch.dtype, seconds: float = SECONDS_A_RATE) -> float:
    """Floating-point operations a second in products of square matrices, the best of those seen."""
    width = 1024 if device.type == "cpu" else 4096
    a, b = (torch.randn(width, width, device=device).to(dtype) for _ in range(2))
    best, end = float("inf"), time.perf_counter() + seconds
    multiply(a, b)  # the first one prepares the kernel
    while time.perf_counter() < end or best == float("inf"):
        best = min(best, multiply(a, b))
    return 2 * width**3 / best


def multiply(a: Tensor, b: Tensor) -> float:
    """How many seconds a product takes."""
    started = time.perf_counter()
    _ = a @ b
    wait_for(a.device)
    return time.perf_counter() - started
