"""config.json: everything there and back, and what would change the model's numbers is refused by name."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from homespun.checkpoint.hf_names import from_hf, generation_to_hf, only_here, to_hf
from homespun.errors import CheckpointError
from homespun.model.config import GPTConfig
from homespun.tokenizer.special_ids import SpecialIds
from tests.checkpoint.models import EVERY_KIND, tiny


def there_and_back(config: Any) -> Any:
    return from_hf(json.loads(json.dumps(to_hf(config, special_ids=SpecialIds(), dtype="float32"))), "config.json")


@st.composite
def configs(draw: st.DrawFn) -> GPTConfig:
    family = draw(st.sampled_from(["modern", "llama", "qwen2", "gpt2", "lecture"]))
    n_kv_head = draw(st.integers(1, 4))
    return GPTConfig.of(
        family,
        vocab_size=draw(st.integers(1, 70_000)),
        context_length=draw(st.integers(1, 9000)),
        n_layer=draw(st.integers(1, 99)),
        n_head=n_kv_head * draw(st.integers(1, 4)),
        n_kv_head=n_kv_head,
        n_embd=draw(st.integers(1, 5000)),
        n_inner=draw(st.integers(1, 5000)),
        head_width=2 * draw(st.integers(1, 200)),
        tied_head=draw(st.booleans()),
        norm_eps=draw(st.floats(1e-12, 0.1)),
        dropout=draw(st.floats(0.0, 0.9)),
        **({} if family in ("gpt2", "lecture") else {"rotary_base": draw(st.floats(1.5, 1e9))}),
    )


@settings(max_examples=200, deadline=None)
@given(configs())
def test_every_config_comes_back_exactly(config: GPTConfig) -> None:
    assert there_and_back(config) == config


@pytest.mark.parametrize("family", EVERY_KIND)
def test_every_kind_of_model_comes_back_exactly(family: str) -> None:
    assert there_and_back(tiny(family)) == tiny(family)


@pytest.mark.parametrize(
    ("family", "changes", "reason"),
    [
        ("lecture", {}, "transformers has no model like lecture"),
        ("bigram", {}, "transformers has no model like bigram"),
        ("gpt2", {"n_kv_head": 2}, "GPT2LMHeadModel has keys and values for every head"),
        ("gpt2", {"head_width": 10}, "GPT2LMHeadModel has heads of width n_embd / n_head, and this model of 10"),
        ("llama", {"n_embd": 30, "head_width": 8}, "LlamaForCausalLM wants n_embd to be a multiple of n_head"),
        ("qwen2", {"n_embd": 30, "head_width": 8}, "Qwen2ForCausalLM wants n_embd to be a multiple of n_head"),
        ("qwen2", {"qkv_bias": False}, "Qwen2ForCausalLM has qkv_bias = True, and this model has False"),
        ("modern", {"qk_norm": False}, "Qwen3ForCausalLM has qk_norm = True, and this model has False"),
    ],
)
def test_a_model_that_transformers_does_not_have_says_so(
    family: str, changes: dict[str, Any], reason: str
) -> None:
    config = tiny(family, **changes)
    assert reason in only_here(config)
    values = to_hf(config, special_ids=SpecialIds(), dtype="float32")
    assert values["model_type"] == f"homespun-{family}"
    assert "opens with homespun alone" in values["about"]
    assert there_and_back(config) == config


@pytest.mark.parametrize("family", ["modern", "llama", "qwen2", "gpt2"])
def test_the_usual_models_are_those_of_transformers(family: str) -> None:
    assert only_here(tiny(family)) == ""


@pytest.mark.parametrize("family", EVERY_KIND)
def test_the_ids_of_the_ends_of_a_text_are_written_even_where_there_are_none(family: str) -> None:
    """GPT-2's default, 50256, would be no id of a small vocabulary."""
    none = to_hf(tiny(family), special_ids=SpecialIds(), dtype="float32")
    assert (none["bos_token_id"], none["eos_token_id"]) == (None, None)
    some = to_hf(tiny(family), special_ids=SpecialIds(bos=30, eos=(30,)), dtype="bfloat16")
    assert (some["bos_token_id"], some["eos_token_id"], some["dtype"]) == (30, 30, "bfloat16")


def test_the_scale_of_gemmas_scores_is_written_where_nobody_has_set_it() -> None:
    config = GPTConfig.of(
        "gemma3", vocab_size=31, context_length=12, n_layer=2, n_head=2, n_embd=32, head_width=64
    )
    assert to_hf(config, special_ids=SpecialIds(), dtype="float32")["query_pre_attn_scalar"] == 64


def test_sampling_is_written_in_foreign_words() -> None:
    told = generation_to_hf({"temperature": 0.8, "top_k": 20, "top_p": None, "max_tokens": 99})
    assert told == {"do_sample": True, "temperature": 0.8, "top_k": 20, "max_new_tokens": 99}
    assert generation_to_hf({}) == {"do_sample": False}
    assert generation_to_hf({"temperature": 0, "top_k": 20}) == {"do_sample": False}


QWEN3 = {
    "architectures": ["Qwen3ForCausalLM"],
    "model_type": "qwen3",
    "vocab_size": 100,
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 64,
    "head_dim": 8,
}
LLAMA = {**QWEN3, "architectures": ["LlamaForCausalLM"], "model_type": "llama"}
QWEN2 = {**{name: value for name, value in QWEN3.items() if name != "head_dim"}, "model_type": "qwen2"}
QWEN2["architectures"] = ["Qwen2ForCausalLM"]
SLIDING = {**QWEN3, "use_sliding_window": True}
GPT2 = {"model_type": "gpt2", "vocab_size": 100, "n_positions": 64, "n_embd": 32, "n_layer": 2, "n_head": 4}


GEMMA3 = {**LLAMA, "architectures": ["Gemma3ForCausalLM"], "model_type": "gemma3_text"}
SMOLLM3 = {**QWEN2, "architectures": ["SmolLM3ForCausalLM"], "model_type": "smollm3"}
NEOX = {**QWEN2, "architectures": ["GPTNeoXForCausalLM"], "model_type": "gpt_neox"}


def test_the_rotary_base_is_read_by_its_new_name_and_its_old_one() -> None:
    new = {"rope_parameters": {"rope_theta": 5e5, "rope_type": "default"}}
    old = {"rope_theta": 5e5, "rope_scaling": None}
    for words in (new, old, {**new, **old}):
        assert from_hf({**QWEN3, **words}, "config.json").rotary_base == 5e5
    assert from_hf(QWEN3, "config.json").rotary_base == 10_000.0


def test_what_older_files_leave_out_is_what_transformers_takes() -> None:
    old = {name: value for name, value in LLAMA.items() if name not in ("num_key_value_heads", "head_dim")}
    config = from_hf(old, "config.json")
    assert (config.n_kv_head, config.head_width, config.norm_eps, config.tied_head) == (4, 8, 1e-6, False)
    config = from_hf(GPT2, "config.json")
    assert (config.n_inner, config.dropout, config.norm_eps, config.tied_head) == (128, 0.1, 1e-5, True)


def test_a_window_that_is_as_wide_as_the_context_is_none() -> None:
    assert from_hf({**QWEN3, "use_sliding_window": False, "sliding_window": 4}, "config.json")
    assert from_hf({**SLIDING, "sliding_window": 64, "max_window_layers": 0}, "config.json")
    assert from_hf({**SLIDING, "sliding_window": 4}, "config.json")  # from layer 28 on


def refused(values: dict[str, Any]) -> str:
    with pytest.raises(CheckpointError) as caught:
        from_hf(values, "config.json")
    assert caught.value.todo
    assert len(str(caught.value)) < 500
    return caught.value.what


@pytest.mark.parametrize(
    ("values", "what"),
    [
        ({**QWEN3, "attention_bias": True}, "attention_bias is true. homespun can work with: false"),
        ({**LLAMA, "mlp_bias": True}, "mlp_bias is true. homespun can work with: false"),
        ({**QWEN3, "hidden_act": "gelu"}, 'hidden_act is "gelu". homespun can work with: "silu" or "swish"'),
        ({**QWEN2, "hidden_act": "gelu"}, 'hidden_act is "gelu"'),
        ({**GPT2, "activation_function": "relu"}, 'activation_function is "relu"'),
        ({**GPT2, "scale_attn_by_inverse_layer_idx": True}, "scale_attn_by_inverse_layer_idx is true"),
        ({**GPT2, "scale_attn_weights": False}, "scale_attn_weights is false"),
        ({**GPT2, "add_cross_attention": True}, "add_cross_attention is true"),
        (
            {**QWEN3, "rope_scaling": {"rope_type": "proportional", "factor": 4.0}},
            'config.json: rope_scaling: rope_type is "proportional". homespun can work with: default, linear',
        ),
        ({**LLAMA, "rope_scaling": {"type": "linear"}}, "rope_scaling does not say factor"),
        ({**LLAMA, "rope_scaling": {"type": "linear", "factor": -2.0}}, "rope_scaling: factor is -2.0"),
        ({**LLAMA, "rope_parameters": {"rope_type": "llama3", "rope_theta": 5e5}}, "does not say factor"),
        (
            {**LLAMA, "rope_scaling": {"type": "longrope", "short_factor": [1.0], "long_factor": [1.0]}},
            "The short factors of the rope scaling are 1, and a head has 4 pairs",
        ),
        ({**LLAMA, "use_sliding_window": True}, "use_sliding_window is true"),
        ({**SLIDING, "layer_types": ["full_attention", "linear_attention"]}, 'layer_types is "linear_attention"'),
        ({**LLAMA, "layer_types": ["full_attention", "sliding_attention"]}, "layer_types is"),
        ({**GEMMA3, "final_logit_softcapping": 30.0}, "final_logit_softcapping is 30.0"),
        ({**GEMMA3, "query_pre_attn_scalar": 0}, "query_pre_attn_scalar is 0"),
        ({**SMOLLM3, "no_rope_layers": [0, 2]}, "no_rope_layers is [0, 2]"),
        ({**NEOX, "rotary_pct": 0.05}, "partial_rotary_factor is 0.05"),
        ({**NEOX, "attention_bias": False}, "attention_bias is false"),
        ({**LLAMA, "rope_parameters": {"full_attention": {"rope_theta": 5e5}}}, "rope_parameters is"),
        ({**LLAMA, "rope_parameters": "default"}, 'rope_parameters is "default"'),
        ({**LLAMA, "rope_parameters": {"rope_theta": 5e5}, "rope_theta": 1e4}, "rope_theta is 10000.0"),
        ({**LLAMA, "partial_rotary_factor": 0.5}, "partial_rotary_factor is 0.5"),
        ({**QWEN3, "layer_types": ["full_attention", "sliding_attention"]}, "sliding_window is null"),
        ({**QWEN3, "quantization_config": {"bits": 4}}, "the weights are quantised"),
        ({**LLAMA, "architectures": ["LlamaForSequenceClassification"]}, "architectures is"),
        ({**QWEN3, "model_type": "mamba"}, 'model_type is "mamba", a kind of model that homespun does not have'),
        ({**QWEN3, "model_type": "lfm2"}, "short convolutions"),
        ({**QWEN3, "model_type": "gemma3"}, "It is known, and not computed: it takes images"),
        ({**QWEN3, "model_type": ["lfm2"]}, "a kind of model that homespun does not have"),
        ({**QWEN3, "model_type": ["qwen3"]}, 'model_type is ["qwen3"]'),
        ({**QWEN3, "model_type": "x" * 10**6}, "model_type is"),
        ({}, "model_type is null"),
        ({"model_type": "qwen3"}, "config.json does not say num_attention_heads"),
        ({**QWEN3, "num_hidden_layers": -3}, "num_hidden_layers is -3. homespun can work with: a whole"),
        ({**QWEN3, "num_hidden_layers": 10**9}, "num_hidden_layers is 1000000000"),
        ({**QWEN3, "hidden_size": "32"}, 'hidden_size is "32"'),
        ({**QWEN3, "hidden_size": 32.0}, "hidden_size is 32.0"),
        ({**QWEN3, "vocab_size": True}, "vocab_size is true"),
        ({**QWEN3, "vocab_size": 10**400}, "vocab_size is 1000"),
        ({**QWEN3, "vocab_size": [[[]]] * 5}, "vocab_size is a list of 5"),
        ({**QWEN3, "num_key_value_heads": 3}, "n_head = 4 heads cannot share n_kv_head = 3"),
        ({**QWEN3, "head_dim": 7}, "A head is 7 wide"),
        ({**QWEN3, "rms_norm_eps": "1e-6"}, 'rms_norm_eps is "1e-6"'),
        ({**QWEN3, "rms_norm_eps": float("nan")}, "rms_norm_eps is NaN"),
        ({**QWEN3, "rms_norm_eps": float("inf")}, "rms_norm_eps is Infinity"),
        ({**QWEN3, "tie_word_embeddings": "yes"}, 'tie_word_embeddings is "yes"'),
        ({**GPT2, "n_embd": 30}, "n_embd = 30 cannot be shared out among n_head = 4 heads"),
        ({**GPT2, "resid_pdrop": 1.5}, "resid_pdrop is 1.5"),
    ],
)
def test_what_homespun_cannot_honour_is_refused_by_name(values: dict[str, Any], what: str) -> None:
    assert what in refused(values)


@pytest.mark.parametrize(
    ("changes", "what"),
    [
        ({"norm": "batchnorm"}, 'norm is "batchnorm". homespun can work with: "layernorm" or "rmsnorm"'),
        ({"bias": "yes"}, 'bias is "yes"'),
        ({"n_layer": 0}, "n_layer is 0"),
        ({"n_embd": None}, "config.json does not say n_embd"),
        ({"dropout": -0.1}, "dropout is -0.1"),
    ],
)
def test_our_own_configs_are_not_trusted_either(changes: dict[str, Any], what: str) -> None:
    assert what in refused({**to_hf(tiny("lecture"), special_ids=SpecialIds(), dtype="float32"), **changes})


@settings(max_examples=200, deadline=None)
@given(
    st.sampled_from([QWEN3, LLAMA, QWEN2, GPT2, GEMMA3, SMOLLM3, NEOX]),
    st.data(),
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=9),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=9), inner, max_size=3),
        max_leaves=5,
    ),
)
def test_whatever_a_setting_says_it_is_a_config_or_a_message(
    values: dict[str, Any], data: Any, value: Any
) -> None:
    extra = [
        "rope_parameters",
        "rope_scaling",
        "rope_theta",
        "layer_types",
        "tie_word_embeddings",
        "use_sliding_window",
        "sliding_window",
        "sliding_window_pattern",
        "no_rope_layers",
        "partial_rotary_factor",
        "rotary_pct",
        "query_pre_attn_scalar",
    ]
    name = data.draw(st.sampled_from([*values, *extra]))
    try:
        config = from_hf({**values, name: value}, "config.json")
    except CheckpointError as error:
        assert len(str(error)) < 600
    else:
        assert isinstance(config, GPTConfig)
