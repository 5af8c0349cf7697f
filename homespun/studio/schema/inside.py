"""What is inside of a model: requests and answers of /api/inside. Places are those of the ids, from 0.

The views are in web/views/types.ts; an answer here has the same fields, with arrays as `Numbers`.
"""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Field

from homespun.studio.schema.values import Answer, Ids, Numbers, Request, RunPath, Text

Place = Annotated[int, Field(ge=1, description="The place of the token that was predicted; the end has one, too.")]


class Cell(Answer):
    """A piece of text that one or more tokens complete. place: of the first of them. bits: surprise, -log2 of the
    probability of what stands there; null where nothing was predicted. rank: how many tokens were likelier, -1 for
    none known."""

    text: str
    place: int
    tokens: int
    bits: float | None
    rank: int


class SamplingSettings(Request):
    """How one token is chosen. null: off. Temperature 0 always takes the likeliest."""

    temperature: Annotated[float, Field(ge=0, le=100)] = 0.8
    top_k: Annotated[int, Field(ge=1, le=2**20)] | None = None
    top_p: Annotated[float, Field(gt=0, le=1)] | None = None
    min_p: Annotated[float, Field(ge=0, le=1)] | None = None
    repetition_penalty: Annotated[float, Field(gt=0, le=100)] | None = None


class ModelRequest(Request):
    """A question to the model of a run."""

    run: RunPath


class TextRequest(ModelRequest):
    """A text for a model."""

    text: Text


class PlaceRequest(ModelRequest):
    """A place of a text. ids: all of the text's, as /api/inside/surprise gives them."""

    ids: Ids
    place: Place


class Surprise(Answer):
    """
    ids      of the text, with what the tokenizer puts before one; hidden: how many of these there are
    cells    the text in pieces that can be shown
    unknown  characters that the model has no token for; then there is nothing else
    bits     mean surprise a token
    """

    ids: list[int]
    hidden: int
    cells: list[Cell]
    unknown: list[str]
    bits: float | None
    context_length: int


class DistributionRequest(PlaceRequest):
    """with_logits: also the logits, so that a page can weigh them anew without asking."""

    sampling: SamplingSettings = Field(default_factory=SamplingSettings)
    choices: Annotated[int, Field(ge=1, le=1000)] = 10
    with_logits: bool = False


class TokenChoice(Answer):
    """probability: by the model. weighed: as the sampling settings leave it."""

    id: int
    token: str
    probability: float
    weighed: float


class DistributionView(Answer):
    """How the token at a place is distributed. choices: the likeliest first. left: how many tokens the settings
    leave. entropy: bits, by the model. logits: (V) float16."""

    place: int
    choices: list[TokenChoice]
    left: int
    entropy: float
    logits: Numbers | None


class AttentionView(Answer):
    """What the model attended to when it predicted the token at a place: weights (layers, heads, place - start)
    float16; start: the first place that could be attended to; each row adds up to one."""

    place: int
    start: int
    layers: int
    heads: int
    weights: Numbers


class MapsRequest(PlaceRequest):
    """size: how many places before that one, at most."""

    size: Annotated[int, Field(ge=1, le=256)] = 40


class AttentionMaps(Answer):
    """Places before a place, as each attends to the others: (layers, heads, size, size) float16."""

    size: int
    layers: int
    heads: int
    weights: Numbers


class LensRequest(PlaceRequest):
    places: Annotated[int, Field(ge=1, le=256)] = 40


class LensView(Answer):
    """What the head would say of the residual stream before each block, and behind the last one.

    first      the place that the first column predicts
    ids        (layers, places) int32: the likeliest token; logprobs (layers, places) float32: of it
    tokens     the same as text, row by row; came: the token that stands there, "" where none does
    """

    first: int
    places: int
    layers: int
    ids: Numbers
    logprobs: Numbers
    tokens: list[str]
    came: list[str]


class EmbeddingViewRequest(ModelRequest):
    """ids: the tokens that are shown; null takes all where they are few, else the first ones."""

    ids: Ids | None = None


class EmbeddingView(Answer):
    """Rows of the token embedding on the two directions in which they vary most (PCA): points (ids, 2) float32;
    shares of the variance; nearest: of each token the most similar others."""

    ids: list[int]
    tokens: list[str]
    points: Numbers
    shares: tuple[float, float]
    nearest: list[list[str]]


class EmbeddingFilm(Answer):
    """The embedding at each evaluation of the run, all on the directions of the last: points (steps, ids, 2)
    float16. steps is empty where the run has kept none."""

    steps: list[int]
    ids: list[int]
    tokens: list[str]
    points: Numbers
    shares: tuple[float, float]


class HeadCard(Answer):
    """What a head does, measured on held-out text.

    scores    name -> mean share of attention of that kind, 0 to 1: one back, same token, induction, …
    entropy   mean, bits: 0 where it attends to one place
    examples  where it is surest: text before the place, the place, and what it attends to
    says      in a sentence
    """

    layer: int
    head: int
    scores: dict[str, float]
    entropy: float
    says: str
    examples: list[dict[str, Any]]


class HeadCards(Answer):
    """about: what each score means, by its name. tokens: how many of the held-out text were looked at."""

    heads: list[HeadCard]
    about: dict[str, str]
    tokens: int


class AblationRequest(ModelRequest):
    """heads: (layer, head) of those that are switched off. text: null takes held-out text of the run."""

    heads: Annotated[list[tuple[int, int]], Field(min_length=1, max_length=1000)]
    text: Text | None = None


class Ablation(Answer):
    """Losses in nats per token, with all heads and without those."""

    loss: float
    loss_without: float
    tokens: int


class NeuronsRequest(ModelRequest):
    """layer: whose MLP. count: how many, those first that one class of characters explains best."""

    layer: Annotated[int, Field(ge=0)]
    text: Text | None = None
    count: Annotated[int, Field(ge=1, le=200)] = 40


class Neuron(Answer):
    """told: the class of characters that its activation tells best; score: how well, from 0 to 1."""

    neuron: int
    told: str
    score: float


class Neurons(Answer):
    """cells: the text in pieces. activations (neurons, cells) float16, of these neurons."""

    layer: int
    neurons: list[Neuron]
    cells: list[Cell]
    activations: Numbers


class ParameterPart(Answer):
    """A tensor. layer: null where it belongs to none. role: what it does, in a word or two. trainable, stored in
    shape."""

    name: str
    layer: int | None
    role: str
    shape: list[int]
    parameters: int


class ParameterTable(Answer):
    total: int
    parts: list[ParameterPart]


class Matrix(Answer):
    """A tensor as a picture of at most `most` rows and columns, each the mean of a block: (rows, columns) float16.
    smallest, largest, rms: of the tensor itself."""

    name: str
    shape: list[int]
    block: list[int]
    values: Numbers
    smallest: float
    largest: float
    rms: float


class Copied(Answer):
    """A piece of the text that stands in the training text: tokens from `place` on. count: how often it is there.
    around: what surrounds it there."""

    place: int
    tokens: int
    text: str
    count: int
    around: str


class Copies(Answer):
    """least: shorter pieces are not shown. share: of the tokens, of those in such pieces; held_out_share: the same
    of held-out text, which nobody can have copied."""

    ids: list[int]
    hidden: int
    cells: list[Cell]
    copied: list[Copied]
    least: int
    share: float
    held_out_share: float | None
