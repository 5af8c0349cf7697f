"""What is inside of a model, over HTTP: the numbers are those of homespun.insight, and of the engine."""

from __future__ import annotations

import base64
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from homespun.checkpoint.folder import load_model
from homespun.generation.decoding import decoded
from homespun.insight.probabilities import attention, token_probabilities
from tests.studio.conftest import make_run
from tests.studio.running import RunningStudio

TEXT = "The old king sees the moon."


def array(said: dict[str, Any]) -> Any:
    found = np.frombuffer(base64.b64decode(said["data"]), np.dtype(said["dtype"]).newbyteorder("<"))
    return found.reshape(said["shape"])


def ask(studio: RunningStudio, what: str, status: int = 200, **body: Any) -> Any:
    return studio.post(f"/api/inside/{what}", status, **{"run": "runs/one", **body})


@pytest.fixture(scope="module")
def ids(studio: RunningStudio) -> list[int]:
    return list(ask(studio, "surprise", text=TEXT)["ids"])


@pytest.fixture(scope="module")
def model(shared_folder: Path) -> Any:
    return load_model(shared_folder / "runs" / "one")


def test_every_piece_of_a_text_has_its_surprise(studio: RunningStudio, model: Any) -> None:
    text = "Ein Häuschen, 漢!"
    found = ask(studio, "surprise", text=text)
    assert "".join(cell["text"] for cell in found["cells"]) == text
    assert [cell["tokens"] for cell in found["cells"] if cell["text"] in "ä漢"] == [2, 3]
    expected = token_probabilities(*model, found["ids"])
    for cell in found["cells"]:
        own = expected.logprobs[cell["place"] : cell["place"] + cell["tokens"]]
        bits = None if math.isnan(own.sum()) else -own.sum() / math.log(2)
        assert cell["bits"] == (None if bits is None else pytest.approx(bits, abs=1e-3))
        assert cell["rank"] == expected.ranks[cell["place"]]
    assert sum(cell["tokens"] for cell in found["cells"]) == len(found["ids"]) - found["hidden"]


def test_a_model_with_rounded_weights_answers_beside_the_model_itself(studio: RunningStudio, model: Any) -> None:
    own = ask(studio, "surprise", text=TEXT)
    rounded = ask(studio, "surprise", text=TEXT, run="runs/one@int8")
    ids = torch.tensor([own["ids"]])
    expected = -decoded(model[0], "int8", wait=False)(ids)[0].log_softmax(-1)[0, :-1] / math.log(2)  # (T - 1, V)
    bits = [cell["bits"] for cell in rounded["cells"] if cell["bits"] is not None]
    assert bits == pytest.approx(expected.gather(1, ids[0, 1:, None])[:, 0].tolist(), abs=1e-4)
    assert bits != [cell["bits"] for cell in own["cells"] if cell["bits"] is not None]
    assert ask(studio, "surprise", text=TEXT) == own, "the model itself has been rounded"
    asked = {"prompt": TEXT, "max_tokens": 4, "temperature": 0}
    written = studio.post("/v1/completions", model="runs/one@int8", **asked)
    assert written["model"] == "runs/one@int8" and written["choices"][0]["text"]
    assert studio.post("/api/inside/surprise", 404, text=TEXT, run="runs/one@int4")["code"] == "run_not_found"
    for what, asked in (("maps", {"place": 5}), ("lens", {"place": 5})):
        assert ask(studio, what, 400, run="runs/one@int8", ids=own["ids"], **asked)["code"] == "rounded"
    assert studio.get("/api/inside/parameters", 400, run="runs/one@int8")["code"] == "rounded"


def test_a_distribution_is_weighed_as_the_engine_weighs_it(
    studio: RunningStudio, model: Any, ids: list[int]
) -> None:
    found = ask(studio, "distribution", ids=ids, place=5, choices=8, with_logits=True)
    with torch.inference_mode():
        logits = model[0](torch.tensor([ids[:5]]))[0][0, -1]
    assert np.allclose(array(found["logits"]), logits[: len(array(found["logits"]))].numpy(), atol=0.05)
    shares = logits.softmax(-1)
    assert [choice["probability"] for choice in found["choices"]] == pytest.approx(shares.topk(8).values.tolist())
    assert found["entropy"] == pytest.approx(float(-(shares * shares.log2()).sum()), abs=1e-3)
    cold = ask(studio, "distribution", ids=ids, place=5, choices=3, sampling={"temperature": 0})
    assert [choice["weighed"] for choice in cold["choices"]] == [1.0, 0.0, 0.0] and cold["left"] == 1
    few = ask(studio, "distribution", ids=ids, place=5, choices=5, sampling={"temperature": 1, "top_k": 2})
    weighed = [choice["weighed"] for choice in few["choices"]]
    assert sum(weighed) == pytest.approx(1) and weighed[2:] == [0, 0, 0] and few["left"] == 2


def test_attention_of_a_place_and_of_all_heads(studio: RunningStudio, model: Any, ids: list[int]) -> None:
    found = ask(studio, "attention", ids=ids, place=9)
    weights = array(found["weights"])
    assert weights.shape == (2, 2, 9) and np.allclose(weights.sum(-1), 1, atol=0.01)
    expected = attention(model[0], ids[:9], 1)[:, :, 0]
    assert np.allclose(weights, expected.numpy(), atol=2e-3)
    maps = ask(studio, "maps", ids=ids, place=9, size=4)
    assert array(maps["weights"]).shape == (2, 2, 4, 4)
    assert np.allclose(array(maps["weights"])[:, :, -1], expected.numpy()[..., -4:], atol=2e-3)


def test_the_lens_ends_with_what_the_model_says(studio: RunningStudio, ids: list[int]) -> None:
    found = ask(studio, "lens", ids=ids, place=len(ids), places=3)
    assert array(found["ids"]).shape == (3, 3) and found["came"][-1] == ""
    likeliest = ask(studio, "distribution", ids=ids, place=len(ids))["choices"][0]
    assert array(found["ids"])[-1, -1] == likeliest["id"]
    assert found["tokens"][-1] == likeliest["token"]


def test_the_embedding_is_a_point_for_each_token(studio: RunningStudio, ids: list[int]) -> None:
    found = ask(studio, "embedding", ids=ids)
    assert array(found["points"]).shape == (len(set(ids)), 2) and len(found["nearest"][0]) == 6
    assert len(ask(studio, "embedding")["ids"]) > 200


@pytest.mark.parametrize("place", [0, 10_000])
def test_places_that_were_not_predicted_are_refused(studio: RunningStudio, ids: list[int], place: int) -> None:
    for what in ("distribution", "attention", "lens", "maps"):
        assert ask(studio, what, 400, ids=ids, place=place)["param"] == "place"
    ask(studio, "attention", 400, ids=[2**20], place=1)


def test_the_models_of_the_runs_answer_as_homespun_serve_does(studio: RunningStudio) -> None:
    models = [one["id"] for one in studio.get("/v1/models")["data"]]
    assert set(models) == {"runs/one", "runs/two"}
    asked = {"model": "runs/one", "prompt": TEXT, "max_tokens": 5, "seed": 1, "logprobs": 2}
    first = studio.post("/v1/completions", **asked)["choices"][0]
    assert len(first["logprobs"]["tokens"]) == 5
    assert studio.post("/v1/completions", **asked)["choices"][0]["text"] == first["text"]
    assert studio.post("/tokenize", model="runs/one", prompt="ab")["count"] == 2
    assert studio.post("/v1/completions", 404, model="runs/none", prompt="a")["code"] == "run_not_found"


def test_better_weights_are_opened_when_training_has_written_them(
    studio: RunningStudio, shared_folder: Path
) -> None:
    asked = {"model": "runs/three", "prompt": TEXT, "max_tokens": 8, "temperature": 0}
    make_run(shared_folder / "runs" / "three")
    before = studio.post("/v1/completions", **asked)
    from tests.server.running import make_model

    make_model(shared_folder / "runs" / "three", context=64, seed=2)
    after = studio.post("/v1/completions", **asked)
    assert before["system_fingerprint"] != after["system_fingerprint"]
