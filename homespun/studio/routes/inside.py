"""What is inside of a model. Nothing here writes; the larger questions wait while a training has the computer."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, TypeVar

from fastapi import APIRouter

from homespun.studio import inside as answered
from homespun.studio.models import model_itself
from homespun.studio.schema import inside
from homespun.studio.state import State

if TYPE_CHECKING:
    from homespun.model.causal_lm import CausalLM
    from homespun.tokenizer.tokenizer import Tokenizer

B = TypeVar("B", bound=inside.ModelRequest)
T = TypeVar("T")


def routes(state: State) -> APIRouter:
    router = APIRouter(prefix="/api/inside", tags=["inside"])

    async def asked(function: Callable[[CausalLM, Tokenizer, B], T], body: B, *, is_of_text: bool = False) -> T:
        """Of the model of that run, in the thread that computes with it. is_of_text: also with rounded weights."""
        served = await state.server.models.get(body.run)
        chosen = state.models.as_it_writes if is_of_text else model_itself
        return await state.server.engines.call(lambda: function(chosen(served), served.tokenizer, body))

    @router.post("/surprise")
    async def surprise(body: inside.TextRequest) -> inside.Surprise:
        """How surprised the model is by each token of a text, and the ids that the other questions take."""
        return await asked(answered.surprise, body, is_of_text=True)

    @router.post("/distribution")
    async def distribution(body: inside.DistributionRequest) -> inside.DistributionView:
        """What could stand at a place, and how likely it is."""
        return await asked(answered.distribution, body, is_of_text=True)

    @router.post("/attention")
    async def attention(body: inside.PlaceRequest) -> inside.AttentionView:
        """What every head attended to when the token at a place was predicted."""
        return await asked(answered.attended, body)

    @router.post("/maps")
    async def maps(body: inside.MapsRequest) -> inside.AttentionMaps:
        """All heads' attention among the places before a place."""
        return await asked(answered.maps, body)

    @router.post("/lens")
    async def lens(body: inside.LensRequest) -> inside.LensView:
        """The logit lens up to a place."""
        return await asked(answered.lens, body)

    @router.post("/embedding")
    async def embedding(body: inside.EmbeddingViewRequest) -> inside.EmbeddingView:
        """The token embedding in two dimensions."""
        return await asked(answered.embedding, body)

    return router
