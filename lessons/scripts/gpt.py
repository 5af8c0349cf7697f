"""The lecture's GPT, complete: trains on a text and generates from it. Needs PyTorch, nothing else.

    python gpt.py my-book.txt                 # 5,000 steps, a few minutes on a laptop
    python gpt.py my-book.txt --steps 500     # a quick try

Without a text it uses tinyshakespeare.txt from the folder in the environment variable HOMESPUN_DATA.

Shapes: B sequences in a batch, T tokens each, C = n_embd channels, H heads of width D, V the vocabulary size.
"""

from __future__ import annotations

import argparse
import os
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F

# The lecture's small model. Its large one: 6, 6, 384, 256, dropout 0.2, batch 64, learning rate 3e-4, on a GPU.
n_layer = 4
n_head = 4
n_embd = 64
context_length = 32  # the largest number of tokens that the model attends to
dropout = 0.0
batch_size = 16
learning_rate = 1e-3
evaluate_every = 500
evaluation_batches = 200
device = "cuda" if torch.cuda.is_available() else "cpu"


# --- the text, as ids ------------------------------------------------------------------------------------------


class Characters:
    """Every distinct character is a token; its id is its index in the sorted alphabet."""

    def __init__(self, text: str) -> None:
        self.alphabet = sorted(set(text))
        self.id_of = {character: id for id, character in enumerate(self.alphabet)}

    def encode(self, text: str) -> list[int]:
        return [self.id_of[character] for character in text]

    def decode(self, ids: list[int]) -> str:
        return "".join(self.alphabet[id] for id in ids)


def get_batch(ids: Tensor) -> tuple[Tensor, Tensor]:
    """ids (N,) -> x, y (B, T): sequences from random positions; y is x shifted by one."""
    starts = torch.randint(len(ids) - context_length, (batch_size,))
    windows = ids[starts[:, None] + torch.arange(context_length + 1)].to(device)  # (B, T + 1)
    return windows[:, :-1], windows[:, 1:]


# --- the model -------------------------------------------------------------------------------------------------


class Attention(nn.Module):
    """H causal heads: each position computes a weighted average of the values at earlier positions."""

    future: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.query = nn.Linear(n_embd, n_embd, bias=False)
        self.key = nn.Linear(n_embd, n_embd, bias=False)
        self.value = nn.Linear(n_embd, n_embd, bias=False)
        self.output = nn.Linear(n_embd, n_embd)
        self.dropout = nn.Dropout(dropout)
        self.register_buffer("future", torch.ones(context_length, context_length, dtype=torch.bool).triu(1))

    def forward(self, x: Tensor) -> Tensor:
        """x (B, T, C) -> (B, T, C)"""
        B, T, C = x.shape
        q, k, v = (part(x).view(B, T, n_head, -1).transpose(1, 2) for part in (self.query, self.key, self.value))
        # (B, H, T, D) @ (B, H, D, T) -> (B, H, T, T). The lecture scales by C**-0.5, others by D**-0.5.
        scores = q @ k.transpose(-2, -1) * C**-0.5
        weights = scores.masked_fill(self.future[:T, :T], float("-inf")).softmax(dim=-1)
        mixed = self.dropout(weights) @ v  # (B, H, T, D)
        return self.output(mixed.transpose(1, 2).reshape(B, T, C))


class Block(nn.Module):
    """Attention, then feed-forward, each with pre-normalisation and a residual connection."""

    def __init__(self) -> None:
        super().__init__()
        self.attention_norm = nn.LayerNorm(n_embd)
        self.attention = Attention()
        self.feed_forward_norm = nn.LayerNorm(n_embd)
        self.feed_forward = nn.Sequential(nn.Linear(n_embd, 4 * n_embd), nn.ReLU(), nn.Linear(4 * n_embd, n_embd))
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor) -> Tensor:
        """x (B, T, C) -> (B, T, C)"""
        x = x + self.dropout(self.attention(self.attention_norm(x)))
        return x + self.dropout(self.feed_forward(self.feed_forward_norm(x)))


class GPT(nn.Module):
    """Embeddings, n_layer blocks, and a head that outputs the logits of the next token."""

    def __init__(self, vocab_size: int) -> None:
        super().__init__()
        self.token_embedding = nn.Embedding(vocab_size, n_embd)
        self.position_embedding = nn.Embedding(context_length, n_embd)
        self.blocks = nn.Sequential(*(Block() for _ in range(n_layer)))
        self.final_norm = nn.LayerNorm(n_embd)
        self.head = nn.Linear(n_embd, vocab_size)
        self.apply(initialise)

    def forward(self, ids: Tensor) -> Tensor:
        """ids (B, T) -> logits (B, T, V)"""
        x = self.token_embedding(ids) + self.position_embedding.weight[: ids.size(1)]  # (B, T, C) + (T, C)
        return self.head(self.final_norm(self.blocks(x)))

    def loss(self, x: Tensor, y: Tensor) -> Tensor:
        """x, y (B, T) -> mean cross-entropy in nats per token"""
        return F.cross_entropy(self(x).flatten(0, 1), y.flatten())  # (B * T, V) and (B * T,)


def initialise(module: nn.Module) -> None:
    """Small weights, so that the first predictions are nearly uniform: their loss is near ln V."""
    if isinstance(module, (nn.Linear, nn.Embedding)):
        nn.init.normal_(module.weight, std=0.02)
    if isinstance(module, nn.Linear) and module.bias is not None:
        nn.init.zeros_(module.bias)


# --- training and generation -----------------------------------------------------------------------------------


@torch.no_grad()
def mean_loss(model: GPT, ids: Tensor) -> float:
    """Mean loss in nats per token on random batches of a split, without dropout."""
    model.eval()
    losses = [model.loss(*get_batch(ids)).item() for _ in range(evaluation_batches)]
    model.train()
    return sum(losses) / len(losses)


def train(model: GPT, train_ids: Tensor, val_ids: Tensor, steps: int) -> None:
    optimizer = torch.optim.AdamW(model.parameters(), lr=learning_rate)
    for step in range(steps + 1):
        if step % evaluate_every == 0 or step == steps:
            losses = mean_loss(model, train_ids), mean_loss(model, val_ids)
            print("step {:5d}: train loss {:.4f}, val loss {:.4f}".format(step, *losses), flush=True)
        if step < steps:
            loss = model.loss(*get_batch(train_ids))
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()


@torch.no_grad()
def generate(model: GPT, ids: list[int], tokens: int) -> list[int]:
    """ids and `tokens` more, each sampled from the distribution given the last context_length ids."""
    model.eval()
    for _ in range(tokens):
        context = torch.tensor([ids[-context_length:]], device=device)  # (1, T)
        probabilities = model(context)[0, -1].softmax(dim=-1)  # (V,)
        ids = [*ids, int(torch.multinomial(probabilities, 1))]
    return ids


def read_text(path: str | None) -> str:
    if path is None:
        if "HOMESPUN_DATA" not in os.environ:
            raise SystemExit("Which text?  python gpt.py my-book.txt")
        path = str(Path(os.environ["HOMESPUN_DATA"]) / "tinyshakespeare.txt")
    if not Path(path).is_file():
        raise SystemExit(f"There is no file {path}.")
    text = Path(path).read_text(encoding="utf-8")
    if len(text) <= 10 * (context_length + 1):
        raise SystemExit(f"{path} has {len(text)} characters. Use at least a page, better a book.")
    return text


def main() -> None:
    parser = argparse.ArgumentParser(description="Train the lecture's GPT on a text and generate text.")
    parser.add_argument("text", nargs="?", help="a file of text in UTF-8")
    parser.add_argument("--steps", type=int, default=5000)
    parser.add_argument("--tokens", type=int, default=500, help="how many tokens to generate at the end")
    arguments = parser.parse_args()

    text = read_text(arguments.text)
    torch.manual_seed(1337)
    characters = Characters(text)
    ids = torch.tensor(characters.encode(text))
    train_ids, val_ids = ids[: int(0.9 * len(ids))], ids[int(0.9 * len(ids)) :]

    model = GPT(len(characters.alphabet)).to(device)
    parameters = sum(weight.numel() for weight in model.parameters())
    print(f"{len(text):,} characters, {len(characters.alphabet)} different; {parameters / 1e6:.6f} M parameters")
    train(model, train_ids, val_ids, arguments.steps)
    print(characters.decode(generate(model, [0], arguments.tokens)))


if __name__ == "__main__":
    main()
