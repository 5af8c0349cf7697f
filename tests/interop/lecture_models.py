"""The lecture's models written anew with torch alone, and saved as their repositories save them: what imports are
held against."""

from __future__ import annotations

import struct
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

TEXT = "Hello there! How are you doing?\nI am fine, thanks. And the weather is good.\n" * 30
CHARACTERS = sorted(set(TEXT))
V, T, C, HEADS = len(CHARACTERS), 16, 32, 4


def lively(model: nn.Module) -> Any:
    torch.manual_seed(1)
    for weight in model.parameters():
        nn.init.normal_(weight, std=0.3)
    return model.eval()


class LayerNorm(nn.Module):
    """nanoGPT's, whose bias may be left out."""

    def __init__(self, bias: bool) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(C))
        self.bias = nn.Parameter(torch.zeros(C)) if bias else None

    def forward(self, x: Tensor) -> Tensor:
        return F.layer_norm(x, self.weight.shape, self.weight, self.bias, 1e-5)


class Attention(nn.Module):
    def __init__(self, bias: bool, mask: bool) -> None:
        super().__init__()
        self.c_attn, self.c_proj = nn.Linear(C, 3 * C, bias=bias), nn.Linear(C, C, bias=bias)
        if mask:
            self.register_buffer("bias", torch.tril(torch.ones(T, T)).view(1, 1, T, T))

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = (part.unflatten(-1, (HEADS, -1)).transpose(1, 2) for part in self.c_attn(x).split(C, dim=2))
        out = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        return self.c_proj(out.transpose(1, 2).flatten(2))


class MLP(nn.Module):
    def __init__(self, bias: bool, approximate: str) -> None:
        super().__init__()
        self.c_fc, self.c_proj = nn.Linear(C, 4 * C, bias=bias), nn.Linear(4 * C, C, bias=bias)
        self.gelu = nn.GELU(approximate=approximate)

    def forward(self, x: Tensor) -> Tensor:
        return self.c_proj(self.gelu(self.c_fc(x)))


class Block(nn.Module):
    def __init__(self, bias: bool, approximate: str, mask: bool) -> None:
        super().__init__()
        self.ln_1, self.ln_2 = LayerNorm(bias), LayerNorm(bias)
        self.attn, self.mlp = Attention(bias, mask), MLP(bias, approximate)

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.attn(self.ln_1(x))
        return x + self.mlp(self.ln_2(x))


class NanoGPT(nn.Module):
    """nanoGPT (bias, exact GELU, tied), and with the other settings minGPT."""

    def __init__(
        self,
        *,
        bias: bool = False,
        approximate: str = "none",
        tied: bool = True,
        mask: bool = False,
        rows: int = V,
    ) -> None:
        super().__init__()
        self.transformer = nn.ModuleDict(
            {
                "wte": nn.Embedding(rows, C),
                "wpe": nn.Embedding(T, C),
                "h": nn.ModuleList(Block(bias, approximate, mask) for _ in range(2)),
                "ln_f": LayerNorm(bias),
            }
        )
        self.lm_head = nn.Linear(C, rows, bias=False)
        if tied:
            self.transformer.wte.weight = self.lm_head.weight

    def forward(self, ids: Tensor) -> Tensor:
        x = self.transformer.wte(ids) + self.transformer.wpe(torch.arange(ids.size(1)))
        for block in self.transformer.h:
            x = block(x)
        return self.lm_head(self.transformer.ln_f(x))


class FirstMinGPT(nn.Module):
    """minGPT as of 2020: a projection each for queries, keys and values, and positions without an Embedding."""

    def __init__(self) -> None:
        super().__init__()
        self.tok_emb, self.pos_emb = nn.Embedding(V, C), nn.Parameter(torch.zeros(1, T, C))
        self.blocks = nn.ModuleList()
        for _ in range(2):
            block = nn.Module()
            block.ln1, block.ln2, block.attn = nn.LayerNorm(C), nn.LayerNorm(C), nn.Module()
            for name in ("key", "query", "value", "proj"):
                setattr(block.attn, name, nn.Linear(C, C))
            block.attn.register_buffer("mask", torch.tril(torch.ones(T, T)).view(1, 1, T, T))
            block.mlp = nn.Sequential(nn.Linear(C, 4 * C), nn.GELU(), nn.Linear(4 * C, C), nn.Dropout(0.1))
            self.blocks.append(block)
        self.ln_f, self.head = nn.LayerNorm(C), nn.Linear(C, V, bias=False)

    def forward(self, ids: Tensor) -> Tensor:
        x = self.tok_emb(ids) + self.pos_emb[:, : ids.size(1)]
        for block in self.blocks:
            y = block.ln1(x)
            q, k, v = (
                getattr(block.attn, name)(y).unflatten(-1, (HEADS, -1)).transpose(1, 2)
                for name in ("query", "key", "value")
            )
            out = F.scaled_dot_product_attention(q, k, v, is_causal=True).transpose(1, 2).flatten(2)
            x = x + block.attn.proj(out)
            x = x + block.mlp(block.ln2(x))
        return self.head(self.ln_f(x))


class Lecture(nn.Module):
    """gpt.py of the lecture. scale: what the scores are divided by the root of."""

    def __init__(self, scale: int) -> None:
        super().__init__()
        self.scale = scale
        self.token_embedding_table, self.position_embedding_table = nn.Embedding(V, C), nn.Embedding(T, C)
        self.blocks = nn.Sequential()
        for _ in range(2):
            block = nn.Module()
            block.sa, block.ffwd = nn.Module(), nn.Module()
            block.sa.heads = nn.ModuleList()
            for _ in range(HEADS):
                head = nn.Module()
                for name in ("key", "query", "value"):
                    setattr(head, name, nn.Linear(C, C // HEADS, bias=False))
                head.register_buffer("tril", torch.tril(torch.ones(T, T)))
                block.sa.heads.append(head)
            block.sa.proj = nn.Linear(C, C)
            block.ffwd.net = nn.Sequential(nn.Linear(C, 4 * C), nn.ReLU(), nn.Linear(4 * C, C), nn.Dropout(0.2))
            block.ln1, block.ln2 = nn.LayerNorm(C), nn.LayerNorm(C)
            self.blocks.append(block)
        self.ln_f, self.lm_head = nn.LayerNorm(C), nn.Linear(C, V)

    def forward(self, ids: Tensor) -> Tensor:
        length = ids.size(1)
        x = self.token_embedding_table(ids) + self.position_embedding_table(torch.arange(length))
        for block in self.blocks:
            y, out = block.ln1(x), []
            for head in block.sa.heads:
                scores = head.query(y) @ head.key(y).transpose(-2, -1) * self.scale**-0.5
                scores = scores.masked_fill(head.tril[:length, :length] == 0, float("-inf"))
                out.append(F.softmax(scores, dim=-1) @ head.value(y))
            x = x + block.sa.proj(torch.cat(out, dim=-1))
            x = x + block.ffwd.net(block.ln2(x))
        return self.lm_head(self.ln_f(x))


def tiny_llama(vocab_size: int = V, *, tied: bool = True, kv: int = 2) -> Any:
    """transformers' Llama, whose weights `llama2c_state` gives llama2.c's names and order."""
    from transformers import LlamaConfig, LlamaForCausalLM

    config = LlamaConfig(
        vocab_size=vocab_size,
        hidden_size=C,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=HEADS,
        num_key_value_heads=kv,
        max_position_embeddings=T,
        tie_word_embeddings=tied,
        rms_norm_eps=1e-5,
    )
    model = lively(LlamaForCausalLM(config))
    if tied:
        model.tie_weights()
    return model


def interleaved(weight: Tensor) -> Tensor:
    """The rows of a projection in Meta's order, where neighbours of a head are rotated together."""
    return weight.unflatten(0, (-1, 2, C // HEADS // 2)).transpose(1, 2).flatten(0, 2)


def llama2c_state(model: Any) -> dict[str, Tensor]:
    state = {
        "tok_embeddings.weight": model.model.embed_tokens.weight,
        "norm.weight": model.model.norm.weight,
        "output.weight": model.lm_head.weight,
    }
    for at, layer in enumerate(model.model.layers):
        attention, mlp = layer.self_attn, layer.mlp
        names = {
            "attention_norm": layer.input_layernorm.weight,
            "attention.wq": interleaved(attention.q_proj.weight),
            "attention.wk": interleaved(attention.k_proj.weight),
            "attention.wv": attention.v_proj.weight,
            "attention.wo": attention.o_proj.weight,
            "ffn_norm": layer.post_attention_layernorm.weight,
            "feed_forward.w1": mlp.gate_proj.weight,
            "feed_forward.w2": mlp.down_proj.weight,
            "feed_forward.w3": mlp.up_proj.weight,
        }
        state |= {f"layers.{at}.{name}.weight": weight for name, weight in names.items()}
    return {name: weight.detach() for name, weight in state.items()}


KINDS = (
    "attention.wq", "attention.wk", "attention.wv", "attention.wo",
    "feed_forward.w1", "feed_forward.w2", "feed_forward.w3",
)  # fmt: skip


def llama2c_bin(model: Any, version: int, group: int = 16) -> bytes:
    """The file that llama2.c's export.py writes of that version."""
    state = llama2c_state(model)
    tied = bool(model.config.tie_word_embeddings)
    numbers = (C, 64, 2, HEADS, model.config.num_key_value_heads, model.config.vocab_size, T)

    def of_layers(name: str) -> list[Tensor]:
        return [state[f"layers.{layer}.{name}.weight"] for layer in range(2)]

    def floats(tensors: list[Tensor]) -> bytes:
        return b"".join(tensor.float().contiguous().numpy().tobytes() for tensor in tensors)

    if version == 0:
        head = struct.pack("<7i", *numbers[:5], numbers[5] if tied else -numbers[5], T)
        first = [state["tok_embeddings.weight"], *of_layers("attention_norm")]
        first += [tensor for name in KINDS[:4] for tensor in of_layers(name)]
        first += of_layers("ffn_norm") + [tensor for name in KINDS[4:] for tensor in of_layers(name)]
        angles = torch.zeros(T * (C // HEADS))
        return head + floats([*first, state["norm.weight"], angles, *([] if tied else [state["output.weight"]])])
    head = struct.pack("<Ii7iB", 0x616B3432, version, *numbers, tied)
    head += struct.pack("<i", group) if version == 2 else b""
    norms = [*of_layers("attention_norm"), *of_layers("ffn_norm"), state["norm.weight"]]
    matrices = [state["tok_embeddings.weight"], *(tensor for name in KINDS for tensor in of_layers(name))]
    matrices += [] if tied else [state["output.weight"]]
    body = floats(norms)
    for matrix in matrices:
        if version == 1:
            body += floats([matrix])
            continue
        groups = matrix.float().reshape(-1, group)
        scales = groups.abs().amax(dim=1) / 127
        body += torch.round(groups / scales[:, None]).to(torch.int8).numpy().tobytes() + floats([scales])
    return head.ljust(256, b"\0") + body


def write_text(folder: Path) -> Path:
    path = folder / "input.txt"
    path.write_text(TEXT)
    return path
