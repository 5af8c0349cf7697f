"""What is measured of a model: its heads, neurons, parameters, copies; its embedding over the course of the run.

The larger measurements take seconds of all that the studio may use: while a training has the computer they are
refused, as long as nobody says `anyway`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeVar

from fastapi import APIRouter, Query

from homespun.server.errors import ApiError
from homespun.studio import acting
from homespun.studio import measured as answered
from homespun.studio.schema import inside
from homespun.studio.schema.values import RunPath
from homespun.studio.state import State

if TYPE_CHECKING:
    from homespun.model.causal_lm import CausalLM
    from homespun.tokenizer.tokenizer import Tokenizer

Wanted = Annotated[RunPath, Query()]


T = TypeVar("T")
AGAIN = 30  # seconds


def routes(state: State) -> APIRouter:
    router = APIRouter(prefix="/api/inside", tags=["inside"])

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
        return await state.server.engines.call(lambda: function(served.engine.model, served.tokenizer))

    def folder_of(run: str) -> Path:
        return state.run_list.place(run)

    @router.get("/film")
    async def film(run: Wanted) -> inside.EmbeddingFilm:
        """The token embedding at each evaluation of the run."""
        return await asked(run, lambda model, tokenizer: answered.film(folder_of(run), tokenizer), is_light=True)

    @router.get("/heads")
    async def heads(run: Wanted, anyway: bool = False) -> inside.HeadCards:
        """What each head does, on held-out text. anyway: also while a training runs."""

        def answer(model: CausalLM, tokenizer: Tokenizer) -> inside.HeadCards:
            return answered.heads(model, tokenizer, answered.dataset_of(folder_of(run), tokenizer).val.ids)

        return await asked(run, answer, is_light=anyway)

    @router.post("/ablation")
    async def ablation(body: inside.AblationRequest, anyway: bool = False) -> inside.Ablation:
        """The loss with and without some heads. anyway: also while a training runs."""

        def answer(model: CausalLM, tokenizer: Tokenizer) -> inside.Ablation:
            text = body.text or answered.dataset_of(folder_of(body.run), tokenizer).val.ids
            return answered.ablation(model, tokenizer, text, body.heads)

        return await asked(body.run, answer, is_light=anyway)

    @router.post("/neurons")
    async def neurons(body: inside.NeuronsRequest, anyway: bool = False) -> inside.Neurons:
        """The neurons of an MLP, and their activations on a text. anyway: also while a training runs."""

        def answer(model: CausalLM, tokenizer: Tokenizer) -> inside.Neurons:
            held_out = answered.dataset_of(folder_of(body.run), tokenizer).val.ids
            return answered.neurons(model, tokenizer, body.text, held_out, body.layer, body.count)

        return await asked(body.run, answer, is_light=anyway)

    @router.get("/parameters")
    async def parameters(run: Wanted) -> inside.ParameterTable:
        """Where the parameters are."""
        return await asked(run, lambda model, tokenizer: answered.parameters(model), is_light=True)

    @router.get("/matrix")
    async def matrix(
        run: Wanted,
        name: Annotated[str, Query(min_length=1, max_length=200)],
        most: Annotated[int, Query(ge=8, le=512)] = 256,
    ) -> inside.Matrix:
        """A tensor as a picture."""
        return await asked(run, lambda model, tokenizer: answered.matrix(model, name, most), is_light=True)

    @router.post("/copies")
    async def copies(body: inside.TextRequest, anyway: bool = False) -> inside.Copies:
        """The longest pieces of a text that stand in the training text. anyway: also while a training runs."""

        def answer(model: CausalLM, tokenizer: Tokenizer) -> inside.Copies:
            return answered.copies(
                model, tokenizer, body.text, answered.dataset_of(folder_of(body.run), tokenizer)
            )

        return await asked(body.run, answer, is_light=anyway)

    return router
