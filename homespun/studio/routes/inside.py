"""What is inside of a model. Nothing here writes; the larger questions wait while a training has the computer."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query

from homespun.studio.schema import inside
from homespun.studio.schema.values import RunPath
from homespun.studio.state import State, later

Wanted = Annotated[RunPath, Query()]


def routes(state: State) -> APIRouter:
    router = APIRouter(prefix="/api/inside", tags=["inside"])

    @router.post("/surprise")
    async def surprise(body: inside.TextRequest) -> inside.Surprise:
        """How surprised the model is by each token of a text, and the ids that the other questions take."""
        raise later()

    @router.post("/distribution")
    async def distribution(body: inside.DistributionRequest) -> inside.DistributionView:
        """What could stand at a place, and how likely it is."""
        raise later()

    @router.post("/attention")
    async def attention(body: inside.PlaceRequest) -> inside.AttentionView:
        """What every head attended to when the token at a place was predicted."""
        raise later()

    @router.post("/maps")
    async def maps(body: inside.MapsRequest) -> inside.AttentionMaps:
        """All heads' attention among the places before a place."""
        raise later()

    @router.post("/lens")
    async def lens(body: inside.LensRequest) -> inside.LensView:
        """The logit lens up to a place."""
        raise later()

    @router.post("/embedding")
    async def embedding(body: inside.EmbeddingViewRequest) -> inside.EmbeddingView:
        """The token embedding in two dimensions."""
        raise later()

    @router.get("/film")
    async def film(run: Wanted) -> inside.EmbeddingFilm:
        """The token embedding at each evaluation of the run."""
        raise later()

    @router.get("/heads")
    async def heads(run: Wanted, anyway: bool = False) -> inside.HeadCards:
        """What each head does, on held-out text. anyway: also while a training runs."""
        raise later()

    @router.post("/ablation")
    async def ablation(body: inside.AblationRequest, anyway: bool = False) -> inside.Ablation:
        """The loss with and without some heads. anyway: also while a training runs."""
        raise later()

    @router.post("/neurons")
    async def neurons(body: inside.NeuronsRequest, anyway: bool = False) -> inside.Neurons:
        """The neurons of an MLP, and their activations on a text. anyway: also while a training runs."""
        raise later()

    @router.get("/parameters")
    async def parameters(run: Wanted) -> inside.ParameterTable:
        """Where the parameters are."""
        raise later()

    @router.get("/matrix")
    async def matrix(
        run: Wanted,
        name: Annotated[str, Query(min_length=1, max_length=200)],
        most: Annotated[int, Query(ge=8, le=512)] = 256,
    ) -> inside.Matrix:
        """A tensor as a picture."""
        raise later()

    @router.post("/copies")
    async def copies(body: inside.TextRequest, anyway: bool = False) -> inside.Copies:
        """The longest pieces of a text that stand in the training text. anyway: also while a training runs."""
        raise later()

    return router
