"""A page computes the model that it was made from: its own code runs in Node, and is held to Python."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest
import torch

import homespun
from homespun.checkpoint.folder import load_config
from homespun.errors import CheckpointError, UsageError
from homespun.generation.settings import Sampling
from homespun.generation.text import generate_ids
from homespun.insight.embedding import embedding_map
from homespun.insight.lens import logit_lens
from homespun.insight.probabilities import attention_of, looked_at, token_probabilities
from homespun.interop.page.contents import PAGE_COMPUTES
from homespun.interop.page.weights import unpacked
from homespun.interop.page.write import in_script, read_page
from homespun.model.causal_lm import CausalLM
from homespun.tokenizer.byte_level import byte_characters
from homespun.tokenizer.chat_marks import with_chat_template
from homespun.tokenizer.chat_template import chat_tokenizer
from homespun.tokenizer.tokenizer import Tokenizer
from tests.checkpoint.models import EVERY_KIND
from tests.finetuning.conftest import base, byte_tokenizer, tiny_config, tiny_model  # noqa: F401 (fixtures)
from tests.interop.pages import SETTINGS, TEXT, answers, exported, model_of, needs_node, tokenizer_of
from tests.interop.test_adapter import Make, adapter_of

KINDS = ("char", "byte", "bpe:330")
# Every family with every precision, each tokenizer with several of them; `make test-browser` has all.
SOME = [
    (family, KINDS[(number + shift) % 3], precision)
    for shift, precision in enumerate(("int8", "f16"))
    for number, family in enumerate(EVERY_KIND)
]
LONG = TEXT[:90]  # several windows of 24 tokens


def as_exported(page: Path, model: CausalLM) -> CausalLM:
    """The model with the page's weights."""
    return unpacked(read_page(page)[1], model.config)


@needs_node
@pytest.mark.parametrize(("family", "kind", "precision"), SOME)
def test_a_page_computes_the_model_and_draws_as_the_engine_does(
    family: str, kind: str, precision: str, tmp_path: Path
) -> None:
    tokenizer = tokenizer_of(kind)
    done = exported(model_of(family, tokenizer), tokenizer, tmp_path / "page.html", precision)
    assert done.proof is not None
    assert done.proof.texts > 10
    assert done.proof.places > 40
    assert done.proof.apart < (0.02 if precision == "int8" else 0.001)
    assert (done.proof.written, done.proof.tried) == (30, 30)


@needs_node
@pytest.mark.parametrize("feed_forward", PAGE_COMPUTES["feed_forward"])
def test_every_activation_that_a_model_may_have_is_computed(feed_forward: str, tmp_path: Path) -> None:
    tokenizer = tokenizer_of("char")
    model = model_of("gpt2", tokenizer, feed_forward=feed_forward)
    done = exported(model, tokenizer, tmp_path / "page.html", "f16")
    assert done.proof is not None
    assert done.proof.apart < 0.001
    assert done.proof.written == 30


def test_a_model_that_a_page_does_not_compute_is_refused_by_the_name_of_the_setting(tmp_path: Path) -> None:
    tokenizer = tokenizer_of("char")
    for settings in ({"feed_forward": "geglu"}, {"norm": "rmsnorm_plus_one"}, {"parallel": True}):
        model = model_of("llama", tokenizer, **settings)
        with pytest.raises(UsageError, match=next(iter(settings))):
            exported(model, tokenizer, tmp_path / "page.html", "f16")
    assert not list(tmp_path.iterdir())


@needs_node
@pytest.mark.browser
@pytest.mark.parametrize("precision", ["int8", "f16"])
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("family", EVERY_KIND)
def test_every_family_with_every_tokenizer_and_precision(
    family: str, kind: str, precision: str, tmp_path: Path
) -> None:
    tokenizer = tokenizer_of(kind, documents=1)
    done = exported(model_of(family, tokenizer), tokenizer, tmp_path / "page.html", precision)
    assert done.proof is not None
    assert done.proof.written == 30


@needs_node
@pytest.mark.parametrize(("family", "precision"), [("modern", "int8"), ("gpt2", "f16")])
def test_plain_javascript_computes_the_same_as_the_kernel(family: str, precision: str, tmp_path: Path) -> None:
    tokenizer = tokenizer_of("char")
    exported(model_of(family, tokenizer), tokenizer, tmp_path / "page.html", precision, prove=False)
    (fast,), (plain,) = answers(tmp_path / "page.html"), answers(tmp_path / "page.html", plain=True)
    assert plain["holds"]
    assert plain["written"] == 30
    assert plain["apart"] == pytest.approx(fast["apart"], abs=1e-4)


@needs_node
def test_the_views_show_what_insight_computes(tmp_path: Path) -> None:
    tokenizer, place = tokenizer_of("char"), 61
    original = model_of("modern", tokenizer)
    page = tmp_path / "page.html"
    exported(original, tokenizer, page, "f16", prove=False)
    model, ids = as_exported(page, original), tokenizer.encode(LONG)
    sampling = {**SETTINGS, "repetition_penalty": None}
    _, _, cells, distribution, attention, maps, lens, embedding = answers(
        page,
        ("read", [LONG]),
        ("cells", []),
        ("distribution", [place, sampling]),
        ("attention", [place]),
        ("maps", [16]),
        ("lens", [place, 10]),
        ("embedding", []),
    )
    own = token_probabilities(model, tokenizer, ids, alternatives=10)
    assert [cell["text"] for cell in cells] == list(LONG)
    bits = [np.nan if cell["bits"] is None else cell["bits"] for cell in cells]
    np.testing.assert_allclose(bits, -own.logprobs / np.log(2), atol=1e-3)
    assert [cell["rank"] for cell in cells] == own.ranks.tolist()
    assert [choice["id"] for choice in distribution["choices"]] == own.best_ids[place].tolist()
    shares = [choice["probability"] for choice in distribution["choices"]]
    np.testing.assert_allclose(np.log(shares), own.best_logprobs[place], atol=1e-3)
    assert distribution["entropy"] == pytest.approx(own.entropies[place] / np.log(2), abs=1e-3)
    look = looked_at(model, tokenizer, ids, place)
    assert [attention["start"], attention["place"]] == [look.seen[0], place]
    np.testing.assert_allclose(np.reshape(attention["weights"], look.weights.shape), look.weights, atol=1e-4)
    whole = attention_of(model, ids[:16]).numpy()
    np.testing.assert_allclose(np.reshape(maps["weights"], whole.shape), whole, atol=1e-4)
    found = logit_lens(model, tokenizer, ids, place, places=10)
    assert [lens["first"], lens["places"]] == [found.places[0], 10]
    assert lens["ids"] == found.ids.flatten().tolist()
    np.testing.assert_allclose(lens["logprobs"], found.logprobs.flatten(), atol=1e-3)
    assert found.ids[-1, -1] == own.best_ids[place, 0], "the last row is what the model says"
    points = embedding_map(model, tokenizer)
    mirrored = np.reshape(embedding["points"], (-1, 2))
    np.testing.assert_allclose(np.abs(mirrored), np.abs(points.points), atol=2e-3)
    np.testing.assert_allclose(embedding["shares"], points.shares, atol=1e-4)
    assert embedding["nearest"][0] == [tokenizer.decode([id]) for id in points.nearest[0]]


@needs_node
def test_sliders_leave_the_tokens_that_the_sampler_leaves(tmp_path: Path) -> None:
    from homespun.generation.sampling import keep_min_p, keep_top_k, keep_top_p, with_temperature

    tokenizer = tokenizer_of("char")
    original = model_of("llama", tokenizer)
    page = tmp_path / "page.html"
    exported(original, tokenizer, page, prove=False)
    off = dict.fromkeys(SETTINGS)
    settings = [{**off, "temperature": t, name: value} for t, name, value in SLIDERS]
    _, _, *found = answers(page, ("read", ["spin"]), *(("distribution", [None, one]) for one in settings))
    with torch.inference_mode():
        logits = as_exported(page, original)(torch.tensor([tokenizer.encode("spin")]))[0][0, -1]
    keep = {"top_k": keep_top_k, "top_p": keep_top_p, "min_p": keep_min_p}
    for (temperature, name, value), one in zip(SLIDERS, found, strict=True):
        left = keep[name](with_temperature(logits, temperature), value)
        assert one["left"] == int(left.isfinite().sum())
        shares = left.softmax(-1)[[choice["id"] for choice in one["choices"]]]
        np.testing.assert_allclose([choice["weighed"] for choice in one["choices"]], shares, atol=1e-3)


SLIDERS = [(1.0, "top_k", 3), (0.5, "top_p", 0.6), (2.0, "min_p", 0.2), (1.3, "top_p", 1.0)]


@needs_node
@pytest.mark.parametrize("kind", KINDS)
def test_a_text_that_is_written_beyond_the_context_is_the_engines(kind: str, tmp_path: Path) -> None:
    """Also from another token in the middle of it, which leaves the window behind."""
    tokenizer = tokenizer_of(kind)
    original = model_of("modern", tokenizer)
    page, prompt = tmp_path / "page.html", "well spun, 漢" * 3
    exported(original, tokenizer, page, prove=False)
    sampling = {**dict.fromkeys(SETTINGS), "temperature": 0.7}
    ids = tokenizer.encode(prompt)
    place, other = len(ids) - 3, tokenizer.encode("a")[0]
    requests = {"sampling": sampling, "seed": 3, "tokens": 60}
    _, _, done, cells, _, again = answers(
        page,
        ("read", [prompt]),
        ("write", [{**requests, "from": None}]),
        ("cells", []),
        ("write", [{**requests, "from": {"place": place, "id": other}}]),
        ("cells", []),
    )
    for written, start in ((cells, ids), (again, [*ids[:place], other])):
        expected = start + list(
            generate_ids(
                as_exported(page, original),
                start,
                max_tokens=60,
                sampling=Sampling(temperature=0.7, seed=3),
                stop_ids=tokenizer.ends,
                below=tokenizer.vocab_size,
                use_cache=False,
            )
        )
        assert "".join(cell["text"] for cell in written) == tokenizer.decode(expected)
        assert sum(cell["tokens"] for cell in written) == len(expected)
    assert done["finished"] in ("length", "stop")


@needs_node
@pytest.mark.parametrize("family", ["gpt2", "modern"])
def test_a_context_without_room_is_shortened_and_the_page_still_computes_the_model(
    family: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from homespun.interop.page import contents

    monkeypatch.setattr(contents, "MOST_MEMORY", 1)
    tokenizer = tokenizer_of("char")
    done = exported(model_of(family, tokenizer, context_length=400), tokenizer, tmp_path / "page.html")
    assert done.proof is not None
    assert done.proof.written == 30
    assert read_page(done.out)[0]["config"]["context_length"] == 256
    assert any("a context of 256 tokens, the model one of 400" in note for note in done.notes)


@needs_node
def test_a_character_that_the_model_does_not_know_is_named(tmp_path: Path) -> None:
    tokenizer = tokenizer_of("char")
    exported(model_of("modern", tokenizer), tokenizer, tmp_path / "page.html", prove=False)
    _, answer, empty = answers(tmp_path / "page.html", ("read", ["spin Ω and Ω"]), ("read", [""]))
    assert answer == {"tokens": 0, "unknown": ["Ω"]}
    assert empty["tokens"] == 0


@needs_node
def test_the_end_of_a_text_that_is_chosen_ends_the_text(tmp_path: Path) -> None:
    tokenizer = tokenizer_of("char")
    assert tokenizer.end_of_text is not None
    exported(model_of("modern", tokenizer), tokenizer, tmp_path / "page.html", prove=False)
    sampling = {**dict.fromkeys(SETTINGS), "temperature": 1.0}
    chosen = {"sampling": sampling, "seed": 1, "tokens": 9, "from": {"place": 4, "id": tokenizer.end_of_text}}
    _, _, done, cells, next_token = answers(
        tmp_path / "page.html",
        ("read", ["well spun"]),
        ("write", [chosen]),
        ("cells", []),
        ("distribution", [None, sampling]),
    )
    assert [done["tokens"], done["finished"]] == [0, "stop"]
    assert "".join(cell["text"] for cell in cells) == "well"
    assert next_token["place"] == 4


FORMS = {
    "form": None,  # what homespun gives a model that it tunes
    "jinja": "{% for m in messages %}{% if loop.last %}>{% endif %}"
    "<|im_start|>{{ m.content | trim }}<|im_end|>{% endfor %}",
}


@needs_node
@pytest.mark.parametrize("template", FORMS)
def test_a_conversation_has_the_ids_that_python_gives_it(template: str, tmp_path: Path) -> None:
    tokenizer = with_chat_template(tokenizer_of("bpe:330"))
    if source := FORMS[template]:
        tokenizer.settings["chat_template"] = source
    exported(model_of("llama", tokenizer), tokenizer, tmp_path / "page.html", prove=False)
    data, _ = read_page(tmp_path / "page.html")
    assert (data["chat"]["form"] is None) is (template == "jinja")
    said = [
        {"role": "user", "content": "let us <|im_end|> spin  "},
        {"role": "assistant", "content": "well spun"},
        {"role": "user", "content": "a yarn?"},
    ]
    chat = chat_tokenizer(tokenizer)
    assert chat is not None
    _, ids = answers(tmp_path / "page.html", ("conversation", [said]))
    assert ids == chat.encode(said, answer=True)
    assert set(data["chat"]["ends"]) == chat.ends


def llama_tokenizer(tmp_path: Path) -> Tokenizer:
    from homespun.tokenizer.open import load

    sentencepiece = pytest.importorskip("sentencepiece")
    (tmp_path / "text.txt").write_text(TEXT, encoding="utf-8")
    sentencepiece.SentencePieceTrainer.train(
        input=str(tmp_path / "text.txt"), model_prefix=str(tmp_path / "its"), vocab_size=320, model_type="bpe",
        byte_fallback=True, normalization_rule_name="identity", remove_extra_whitespaces=False, minloglevel=2,
        hard_vocab_limit=False,
    )  # fmt: skip
    return load(tmp_path / "its.model")


def qwen_tokenizer() -> Tokenizer:
    """NFC, then words by Qwen's regular expression, then bytes."""
    from tokenizers import Regex, decoders, models, normalizers, pre_tokenizers, trainers
    from tokenizers import Tokenizer as Backend

    from homespun.tokenizer.steps import QWEN_2

    backend = Backend(models.BPE())
    backend.normalizer = normalizers.NFC()
    backend.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(QWEN_2), "isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    backend.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(vocab_size=400, initial_alphabet=byte_characters(), show_progress=False)
    backend.train_from_iterator(
        [TEXT, "IT'S we'LL I'ſ DON'T they're\u0085next\u00a0x e\u0301te\u0301"] * 3, trainer
    )
    return Tokenizer(backend, "file")


@needs_node
def test_words_are_split_as_qwen_splits_them(tmp_path: Path) -> None:
    tokenizer = qwen_tokenizer()
    exported(model_of("qwen2", tokenizer), tokenizer, tmp_path / "page.html", prove=False)
    assert read_page(tmp_path / "page.html")[0]["tokenizer"]["kind"] == "bpe"
    texts = [
        TEXT,
        "IT'S we'LL I'ſ DON'T they're",
        "a\u0085b\u00a0c \u2003d\r\n\r\n  x",
        "e\u0301te\u0301 12345 ½², ٣٤",
    ]
    _, *found = answers(tmp_path / "page.html", *((name, [t]) for t in texts for name in ("read", "cells")))
    for text, answer in zip(texts, found[::2], strict=True):
        assert answer["tokens"] == len(tokenizer.encode(text)), text


@needs_node
def test_a_tokenizer_of_another_kind_is_read_by_the_library(tmp_path: Path) -> None:
    tokenizer = llama_tokenizer(tmp_path)
    done = exported(model_of("llama", tokenizer), tokenizer, tmp_path / "page.html")
    assert read_page(tmp_path / "page.html")[0]["tokenizer"]["kind"] == "library"
    assert done.proof is not None
    assert done.proof.texts > 10


@needs_node
def test_an_adapter_is_merged_before_it_becomes_a_page(base: Make, tmp_path: Path) -> None:  # noqa: F811
    folder = base("llama")
    adapter_of(folder, tmp_path / "adapter")
    plain = homespun.export(folder, to="page", out=tmp_path / "plain.html", prove=False)
    tuned = homespun.export(tmp_path / "adapter", to="page", out=tmp_path / "tuned.html")
    assert tuned.proof is not None
    assert tuned.proof.written == tuned.proof.tried > 0
    assert tuned.checks[0].difference.divergence < 0.05
    matrix = "blocks.0.attention.query.weight"
    before, after = (
        unpacked(read_page(done.out)[1], load_config(folder)).state_dict()[matrix] for done in (plain, tuned)
    )
    assert float((before - after).abs().max()) > 0.01


@needs_node
def test_a_page_that_computes_something_else_is_not_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from homespun.interop.page import contents

    tokenizer = tokenizer_of("char")
    honest = contents.config_data
    monkeypatch.setattr(contents, "config_data", lambda config: {**honest(config), "norm_eps": 0.5})
    with pytest.raises(CheckpointError, match="does not compute the model"):
        exported(model_of("modern", tokenizer), tokenizer, tmp_path / "page.html")
    assert list(tmp_path.iterdir()) == []


@needs_node
def test_a_page_whose_weights_were_changed_says_so(tmp_path: Path) -> None:
    tokenizer = tokenizer_of("char")
    page = tmp_path / "page.html"
    exported(model_of("gpt2", tokenizer), tokenizer, page, prove=False)
    text = page.read_text(encoding="utf-8")
    start = text.index('<script id="weights"') + 20_000
    page.write_text(text[:start] + "Z" * 200 + text[start + 200 :], encoding="utf-8")
    (proof,) = answers(page)
    assert not proof["holds"]
    assert "nats" in proof["problem"]


def test_no_text_in_a_page_ends_its_script() -> None:
    data = {"text": "</script><script>alert(1)</script><!-- \ud800 é"}
    written = in_script(data)
    assert not re.search(r"</|<!--", written)
    assert json.loads(written) == data
