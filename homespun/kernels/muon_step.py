"""One step of Muon for all matrices by native kernels, in float32 or in bfloat16."""

from __future__ import annotations

import ctypes
from collections.abc import Sequence

import torch
from torch import Tensor

from homespun.kernels.float32 import operations as float32
from homespun.kernels.training import operations as training


class Matrix(ctypes.Structure):
    """One of those that Muon takes a step with; see muon_step.h."""

    _fields_ = (
        *((name, ctypes.c_void_p) for name in ("weight", "gradient", "momentum")),
        *((name, ctypes.c_int32) for name in ("rows", "columns", "walks")),
    )


Quintic = ctypes.c_float * 3


class Rates(ctypes.Structure):
    """What is the same for all of them; see muon_step.h."""

    _fields_ = (
        *((name, ctypes.c_float) for name in ("momentum", "step", "kept", "leeway")),
        ("iterations", ctypes.c_int32),
        ("quintics", Quintic * 8),
    )

    @classmethod
    def of(cls, quintics: Sequence[tuple[float, float, float]], **others: float) -> Rates:
        return cls(iterations=len(quintics), quintics=(Quintic * 8)(*(Quintic(*q) for q in quintics)), **others)


def muon_step(
    weights: Sequence[Tensor],
    gradients: Sequence[Tensor],
    momenta: Sequence[Tensor],
    walking: Sequence[bool],
    rates: Rates,
    dtype: torch.dtype,
) -> None:
    """Updates all momenta, and the weights that are walking; all are (rows, columns) in float32, in place.

    dtype: of the orthogonalisation. The library of training steps in that dtype has to be available.
    """
    gradients = [gradient.contiguous() for gradient in gradients]
    matrices = [
        Matrix(weight.data_ptr(), gradient.data_ptr(), momentum.data_ptr(), *weight.shape, walks)
        for weight, gradient, momentum, walks in zip(weights, gradients, momenta, walking, strict=True)
    ]
    matrices.sort(
        key=lambda matrix: (-matrix.walks, -matrix.rows * matrix.columns)
    )  # the long ones first: no core waits at the end
    given = (Matrix * len(matrices))(*matrices), len(matrices), ctypes.byref(rates)
    if dtype == torch.float32:
        float32.library().muon_step(*given, torch.get_num_threads())
    else:
        training.library().muon_step(*given)
