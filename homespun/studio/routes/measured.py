"""What is measured of a model: its heads, neurons, parameters, copies; its embedding over the course of the run.

The larger measurements take seconds of all that the studio may use: while a training has the computer they are
refused, as long as nobody says `anyway`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar, cast
from weakref import WeakKeyDictionary

from fastapi import APIRouter, Query

from homespun.server.errors import ApiError
from homespun.studio import acting
from homespun.studio import measured as answered
from homespun.studio.models import model_itself
from homespun.studio.schema import inside
from homespun.studio.schema.values import Answer, RunPath
from homespun.studio.state import State

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from homespun.model.causal_lm import CausalLM
    from homespun.tokenizer.tokenizer import Tokenizer

Wanted = Annotated[RunPath, Query()]


T = TypeVar("T")
A = TypeVar("A", bound=Answer)
AGAIN = 30  # seconds


def routes(state: State) -> APIRouter:
    router = APIRouter(prefix="/api/inside", tags=["inside"])
    # By model, not by run: a run that has been trained on is another model, and one that is let go is forgotten.
    known: WeakKeyDictionary[CausalLM, dict[str, Any]] = WeakKeyDictionary()

    async def asked(run: str, function: Callable[[CausalLM, Tokenizer], T], *, is_light: bool = False) -> T:
        """Of the model of that run, in the thread that computes with it. ApiError while a training goes on."""
        if not is_light and await asyncio.to_thread(acting.is_training, state):
            raise ApiError(
                "A training is going on, and this would take some of its processor for seconds.",
                "Ask when it has ended, or say that you want it anyway.",
                status=503,
                kind="server_error",
                code="training",
                headers={"retry-after": str(AGAIN)},
            )
        served = await state.server.models.get(run)
        return await state.server.engines.call(lambda: function(model_itself(served), served.tokenizer))

    def folder_of(run: str) -> Path:
        return state.run_list.place(run)

    async def remembered(
        run: str, what: str, function: Callable[[CausalLM, Tokenizer, NDArray[Any]], A], *, anyway: bool
    ) -> A:
        """What is measured on held-out text, once for each model that is held in memory."""

        def answer(model: CausalLM, tokenizer: Tokenizer) -> A:
            found = known.setdefault(model, {})
            if what not in found:
                held_out = answered.dataset_of(folder_of(run), tokenizer).val.ids
                found[what] = function(model, tokenizer, held_out)
            return cast("A", found[what])

        served = await state.server.models.get(run)
        return await asked(run, answer, is_light=anyway or what in known.get(model_itself(served), {}))

    @router.get("/film")
    async def film(run: Wanted) -> inside.EmbeddingHistory:
        """The token embedding at each evaluation of the run."""
        return await asked(run, lambda model, tokenizer: answered.film(folder_of(run), tokenizer), is_light=True)

    @router.get("/heads")
    async def heads(run: Wanted, anyway: bool = False) -> inside.HeadRoles:
        """What each head does, on held-out text. anyway: also while a training runs."""
        return await remembered(run, "heads", answered.heads, anyway=anyway)

    @router.get("/ablations")
    async def ablations(run: Wanted, anyway: bool = False) -> inside.HeadAblations:
        """The loss without each head, one at a time. anyway: also while a training runs."""
        return await remembered(run, "ablations", answered.ablations, anyway=anyway)

    @router.post("/ablation")
    async def ablation(body: inside.AblationRequest, anyway: bool = False) -> inside.SwitchedOff:
        """The loss with and without some heads. anyway: also while a training runs."""

        def answer(model: CausalLM, tokenizer: Tokenizer) -> inside.SwitchedOff:
            text = body.text or answered.dataset_of(folder_of(body.run), tokenizer).val.ids
            return answered.ablation(model, tokenizer, text, body.heads)

        return await asked(body.run, answer, is_light=anyway)

    @router.get("/neurons")
    async def neurons(run: Wanted, anyway: bool = False) -> inside.Neurons:
        """What the neurons of all layers do. anyway: also while a training runs."""
        return await remembered(run, "neurons", answered.neurons, anyway=anyway)

    @router.post("/activations")
    async def activations(body: inside.ActivationsRequest) -> inside.Activations:
        """A neuron over a text."""

        def answer(model: CausalLM, tokenizer: Tokenizer) -> inside.Activations:
            text = body.text or answered.dataset_of(folder_of(body.run), tokenizer).val.ids
            return answered.activations(model, tokenizer, text, body.layer, body.neuron)

        return await asked(body.run, answer, is_light=True)

    @router.get("/parameters")
    async def parameters(run: Wanted) -> inside.Parameters:
        """Where the parameters are."""
        return await asked(run, lambda model, tokenizer: answered.parameters(model), is_light=True)

    @router.get("/matrix")
    async def matrix(
        run: Wanted,
        name: Annotated[str, Query(min_length=1, max_length=200)],
        most: Annotated[int, Query(ge=8, le=512)] = 256,
    ) -> inside.MatrixPicture:
        """A tensor as a picture."""
        return await asked(run, lambda model, tokenizer: answered.matrix(model, name, most), is_light=True)

    @router.post("/copies")
    async def copies(body: inside.TextRequest, anyway: bool = False) -> inside.CopiedPieces:
        """The longest pieces of a text that stand in the training text. anyway: also while a training runs."""

        def answer(model: CausalLM, tokenizer: Tokenizer) -> inside.CopiedPieces:
            return answered.copies(tokenizer, body.text, answered.dataset_of(folder_of(body.run), tokenizer))

        return await asked(body.run, answer, is_light=anyway)

    return router
