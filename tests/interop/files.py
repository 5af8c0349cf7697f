"""Small GGUF files, written by the format's own library."""

from __future__ import annotations

import json
import struct
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import torch
from gguf.quants import quantize

from homespun.interop.gguf.write import add_settings
from homespun.model.gpt import GPT
from homespun.tokenizer.make import build as build_tokenizer
from homespun.tokenizer.tokenizer import Tokenizer

ARCHITECTURES = {"modern": "qwen3", "llama": "llama", "qwen2": "qwen2", "gpt2": "gpt2"}
TEXT = "come, let us spin a yarn, and another!\nwell spun, 1234 times.\n" * 30
# A template as files have it; what it says is not run here.
TEMPLATE = "{% for message in messages %}{{ message['content'] }}{% endfor %}"


def bpe(size: int = 300) -> Tokenizer:
    counts = dict.fromkeys(TEXT, 1)
    return build_tokenizer(f"bpe:{size}", alphabet=counts, documents=2, pieces=lambda: iter([TEXT]))


def llama_cpp_order(weight: torch.Tensor, heads: int) -> torch.Tensor:
    """As llama.cpp's converter of Llama models has it."""
    rows = weight.shape[0]
    return weight.reshape(heads, 2, rows // heads // 2, -1).swapaxes(1, 2).reshape(weight.shape)


def foreign_tensors(model: GPT) -> dict[str, np.ndarray]:
    """The model's weights by llama.cpp's names and in its order, written down by hand, one by one."""
    config, own = model.config, model.state_dict()
    found = {"token_embd.weight": own["token_embedding.weight"]}
    if config.family == "gpt2":
        found["position_embd.weight"] = own["position_embedding.weight"]
    for name in ("weight", "bias"):
        if f"final_norm.{name}" in own:
            found[f"output_norm.{name}"] = own[f"final_norm.{name}"]
    if not config.tied_head:
        found["output.weight"] = own["head.weight"]
    for layer in range(config.n_layer):
        here, there = f"blocks.{layer}.", f"blk.{layer}."
        for kind in ("weight", "bias"):
            q, k, v = (own.get(f"{here}attention.{part}.{kind}") for part in ("query", "key", "value"))
            if config.family == "gpt2":
                found[f"{there}attn_qkv.{kind}"] = torch.cat([q, k, v])
            elif q is not None:
                permuted = config.family == "llama"
                found[f"{there}attn_q.{kind}"] = llama_cpp_order(q, config.n_head) if permuted else q
                found[f"{there}attn_k.{kind}"] = llama_cpp_order(k, config.n_kv_head) if permuted else k
                found[f"{there}attn_v.{kind}"] = v
            for ours, theirs in (
                ("attention_norm", "attn_norm"),
                ("attention.output", "attn_output"),
                ("attention.query_norm", "attn_q_norm"),
                ("attention.key_norm", "attn_k_norm"),
                ("feed_forward_norm", "ffn_norm"),
                ("feed_forward.gate", "ffn_gate"),
                ("feed_forward.up", "ffn_up"),
                ("feed_forward.down", "ffn_down"),
            ):
                if f"{here}{ours}.{kind}" in own:
                    found[f"{there}{theirs}.{kind}"] = own[f"{here}{ours}.{kind}"]
    return {name: tensor.detach().float().numpy() for name, tensor in found.items()}


def settings_of(model: GPT, tokenizer: Tokenizer, pre: str = "smollm") -> dict[str, Any]:
    config = model.config
    shape = ARCHITECTURES[config.family]
    eps = "layer_norm_epsilon" if config.family == "gpt2" else "layer_norm_rms_epsilon"
    values: dict[str, Any] = {
        f"{shape}.context_length": config.context_length,
        f"{shape}.embedding_length": config.n_embd,
        f"{shape}.block_count": config.n_layer,
        f"{shape}.feed_forward_length": config.n_inner,
        f"{shape}.attention.head_count": config.n_head,
        f"{shape}.attention.{eps}": config.norm_eps,
    }
    if config.family != "gpt2":
        values[f"{shape}.attention.head_count_kv"] = config.n_kv_head
        values[f"{shape}.attention.key_length"] = config.head_width
        values[f"{shape}.attention.value_length"] = config.head_width
        values[f"{shape}.rope.freq_base"] = config.rotary_base
    model_json = json.loads(tokenizer._backend.to_str())["model"]
    tokens = sorted(tokenizer._backend.get_vocab(with_added_tokens=True).items(), key=lambda item: item[1])
    special = set(tokenizer.special_tokens)
    values |= {
        "tokenizer.ggml.model": "gpt2",
        "tokenizer.ggml.pre": pre,
        "tokenizer.ggml.tokens": [token for token, _ in tokens],
        "tokenizer.ggml.token_type": [3 if token in special else 1 for token, _ in tokens],
        "tokenizer.ggml.merges": [" ".join(pair) for pair in model_json["merges"]],
        "tokenizer.ggml.eos_token_id": tokenizer.end_of_text,
        "tokenizer.chat_template": TEMPLATE,
    }
    return values


def write_gguf(
    path: Path,
    architecture: str,
    settings: dict[str, Any],
    tensors: dict[str, np.ndarray],
    type: str = "F32",
) -> Path:
    """A file with the matrices of the type that is wanted; vectors are float32, as llama.cpp has them."""
    writer = gguf.GGUFWriter(path, architecture)
    add_settings(writer, settings)
    kind = gguf.GGMLQuantizationType[type]
    for name, tensor in tensors.items():
        if tensor.ndim < 2 or type == "F32":
            writer.add_tensor(name, tensor.astype(np.float32))
        elif type == "F16":
            writer.add_tensor(name, tensor.astype(np.float16))
        else:
            stored = blocks(tensor, type)
            writer.add_tensor(name, stored, raw_dtype=kind)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def blocks(tensor: np.ndarray, type: str) -> np.ndarray:
    """The tensor in few bits. What the library cannot write (K-quants) is blocks of random bytes, small scales."""
    kind = gguf.GGMLQuantizationType[type]
    try:
        return quantize(tensor, kind)
    except NotImplementedError:
        block, width = gguf.GGML_QUANT_SIZES[kind]
        dice = np.random.default_rng(0)
        rows = (*tensor.shape[:-1], tensor.shape[-1] // block, width)
        stored = dice.integers(0, 256, rows, dtype=np.uint8)
        tiny = np.frombuffer(struct.pack("<e", 0.001), np.uint8)
        for at in {"Q2_K": (80, 82), "Q3_K": (108,), "Q4_K": (0, 2), "Q5_K": (0, 2), "Q6_K": (208,)}[type]:
            stored[..., at : at + 2] = tiny
        return stored.reshape(*tensor.shape[:-1], -1)


def gguf_of(path: Path, model: GPT, tokenizer: Tokenizer, type: str = "F32", **changes: Any) -> Path:
    """That model as a GGUF file. changes: settings that are other than they should be; None leaves one out."""
    changed = {name.replace("__", "."): value for name, value in changes.items()}
    settings = {**settings_of(model, tokenizer), **changed}
    kept = {name: value for name, value in settings.items() if value is not None}
    return write_gguf(path, ARCHITECTURES[model.config.family], kept, foreign_tensors(model), type)
