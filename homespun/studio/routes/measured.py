"""What is measured of a model: its heads, neurons, parameters, copies; its embedding over the course of the run.

The larger measurements take seconds of all that the studio may use: while a training has the computer they are
refused, as long as nobody says `anyway`.
"""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query

from homespun.server.errors import ApiError
from homespun.studio.schema import inside
from homespun.studio.schema.values import RunPath
from homespun.studio.state import State

Wanted = Annotated[RunPath, Query()]


def later() -> ApiError:
    return ApiError("This version of the studio cannot do that yet.", status=501, kind="server_error")


def routes(state: State) -> APIRouter:
    router = APIRouter(prefix="/api/inside", tags=["inside"])

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
