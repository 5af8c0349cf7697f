"""What is inside of a model: requests and answers of /api/inside. Places are those of the ids, from 0.

The views are in web/views, their values in types.ts and inside.ts there; an answer here has the same fields, with
arrays as `Numbers`.
"""

from __future__ import annotations

from typing import Annotated

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


class EmbeddingHistory(Answer):
    """The embedding at each evaluation of the run, all on the directions of the last: points (steps, ids, 2)
    float16. shares: of the variance at each step; moved: since the step before, relative to the rows' length.
    steps is empty where the run has kept none."""

    steps: list[int]
    ids: list[int]
    tokens: list[str]
    points: Numbers
    shares: list[tuple[float, float]]
    moved: list[float]


class RoleScore(Answer):
    """How much of a head's attention goes where a role says, 0 to 1; null where the text has no place for it.

    chance, by_distance  what uniform attention would give, and the same attention to each distance
    above                score minus the larger of the two; queries: how many places it was measured at
    """

    role: str
    score: float | None
    chance: float | None
    by_distance: float | None
    above: float | None
    queries: int


class Surest(Answer):
    """A place where a head attends mostly to one token. query, at: from which character of `text`, of `around`, up
    to which the two tokens are."""

    place: int
    key: int
    weight: float
    tokens: tuple[str, str]
    text: str
    query: tuple[int, int]
    around: str
    at: tuple[int, int]


class HeadCard(Answer):
    """What a head does. role: that stands out, null for none; back: the k of "k tokens back"; entropy: bits."""

    layer: int
    head: int
    role: str | None
    back: int
    entropy: float
    roles: list[RoleScore]
    surest: list[Surest]


class HeadRoles(Answer):
    """Every head, measured on so many tokens of held-out text. uniform_entropy: of uniform attention, bits."""

    tokens: int
    uniform_entropy: float
    heads: list[HeadCard]


class HeadAblations(Answer):
    """The loss without each head, one at a time, in nats per token: change (layers)(heads), error: its standard
    error. tokens: predictions."""

    loss: float
    replacement: str
    tokens: int
    change: list[list[float]]
    error: list[list[float]]


class AblationRequest(ModelRequest):
    """heads: (layer, head) of those that are switched off. text: null takes held-out text of the run."""

    heads: Annotated[list[tuple[int, int]], Field(min_length=1, max_length=1000)]
    text: Text | None = None


class SwitchedOff(Answer):
    """Losses in nats per token, with all heads and without those. tokens: predictions."""

    heads: list[tuple[int, int]]
    replacement: str
    loss: float
    without: float
    change: float
    tokens: int


class Peak(Answer):
    """Where a neuron is most active. token: from which character of the text up to which its token is."""

    place: int
    value: float
    text: str
    token: tuple[int, int]


class Neuron(Answer):
    """property: that explains its activation best, null for a neuron that is never active.

    correlation  with it, on text on which it was not chosen; auc: null where the property is a count
    active       the share of places with an activation above zero; mean, std: of the activation
    """

    layer: int
    neuron: int
    property: str | None
    correlation: float | None
    auc: float | None
    active: float
    mean: float
    std: float
    peaks: list[Peak]


class PropertyShare(Answer):
    """A property of text: the share of tokens that have it, and of how many neurons it is the best explanation."""

    property: str
    share: float
    neurons: int


class Neurons(Answer):
    """The neurons of all feed-forward layers that a property explains best, those first. width: of a layer."""

    tokens: int
    layers: int
    width: int
    properties: list[PropertyShare]
    neurons: list[Neuron]


class ActivationsRequest(ModelRequest):
    """text: null takes held-out text of the run."""

    layer: Annotated[int, Field(ge=0)]
    neuron: Annotated[int, Field(ge=0)]
    text: Text | None = None


class Activations(Answer):
    """A neuron over a text. tokens: its pieces, each of whole characters; values (pieces) float32."""

    layer: int
    neuron: int
    tokens: list[str]
    values: Numbers


class Tensor(Answer):
    """layer: null where it belongs to none. kind: what it is for. count: of its parameters. shared: other names of
    the same tensor."""

    name: str
    layer: int | None
    kind: str
    shape: list[int]
    count: int
    mean: float
    std: float
    shared: list[str]


class Parameters(Answer):
    total: int
    tensors: list[Tensor]


class MatrixPicture(Answer):
    """A tensor as a picture: values (height, width) float16. smallest, largest, std: of the tensor itself.
    A pixel is the mean of a block, or its number with the largest magnitude (how)."""

    name: str
    shape: tuple[int, int]
    height: int
    width: int
    values: Numbers
    block: tuple[int, int]
    how: str
    smallest: float
    largest: float
    std: float


class CopiedPiece(Answer):
    """A piece of the text that stands in the training text: `length` tokens from `start` on.

    characters  of the text: from, and up to
    place       in the training text, in tokens, of one occurrence; count: how many there are
    before, after  what stands around it there
    """

    start: int
    length: int
    characters: tuple[int, int]
    place: int
    count: int
    before: str
    after: str


class CopiedPieces(Answer):
    """least: shorter pieces are not shown. share: of the tokens, of those in such pieces; longest: tokens of the
    longest copy; expected, expected_longest: the same of held-out text, which nobody can have copied."""

    text: str
    tokens: int
    least: int
    pieces: list[CopiedPiece]
    share: float
    longest: int
    expected: float | None
    expected_longest: int | None
