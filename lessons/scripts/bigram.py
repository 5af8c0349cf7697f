"""The bigram of lesson 2: it learns which character follows which, and generates text.

One file, from the text to the sample:

    python bigram.py book.txt

Without a text it uses tiny Shakespeare from the folder in the environment variable HOMESPUN_DATA.
It needs PyTorch and nothing else, and takes less than a minute on a laptop.
"""

import argparse
import math
import os
import sys
from pathlib import Path

import torch
from torch import nn
from torch.nn import functional as F

context_length = 8  # characters in a training sequence
batch_size = 32  # sequences per step
learning_rate = 1e-3


class Bigram(nn.Module):
    """One table: row i holds the logits of the character after character i."""

    def __init__(self, vocab_size):
        super().__init__()
        self.table = nn.Embedding(vocab_size, vocab_size)

    def forward(self, ids, targets=None):
        """ids (B, T), targets (B, T) or None -> logits (B, T, V), mean loss in nats or None."""
        logits = self.table(ids)
        if targets is None:
            return logits, None
        return logits, F.cross_entropy(logits.flatten(0, 1), targets.flatten())

    @torch.no_grad()
    def generate(self, ids, number):
        """ids (B, T) -> (B, T + number): each new character is sampled from the model's distribution."""
        for _ in range(number):
            logits, _ = self(ids[:, -1:])  # (B, 1, V): a bigram only uses the last character
            new = torch.multinomial(F.softmax(logits[:, -1], dim=-1), num_samples=1)
            ids = torch.cat((ids, new), dim=1)
        return ids


def get_batch(ids):
    """ids (N,) -> x, y (B, T): sequences from random positions; y is x shifted by one."""
    starts = torch.randint(len(ids) - context_length, (batch_size,))
    positions = starts[:, None] + torch.arange(context_length)
    return ids[positions], ids[positions + 1]


@torch.no_grad()
def loss_on(model, ids):
    """Mean loss in nats per token over all of ids, as one long sequence."""
    return model(ids[None, :-1], ids[None, 1:])[1].item()


def read_text(path):
    if path is None:
        folder = os.environ.get("HOMESPUN_DATA")
        if not folder:
            sys.exit("Which text?  python bigram.py book.txt")
        path = Path(folder, "tinyshakespeare.txt")
    try:
        return Path(path).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        sys.exit(f"{path} cannot be read as text: {error}")


def main():
    parser = argparse.ArgumentParser(description="Train a bigram on a text, and generate text.")
    parser.add_argument("text", nargs="?", help="a text file")
    parser.add_argument("--steps", type=int, default=10_000)
    arguments = parser.parse_args()

    text = read_text(arguments.text)
    chars = sorted(set(text))
    stoi = {character: id for id, character in enumerate(chars)}
    ids = torch.tensor([stoi[character] for character in text])
    n = int(0.9 * len(ids))  # the last tenth is the validation split
    train, val = ids[:n], ids[n:]
    if len(val) < 2 or len(train) <= context_length:
        sys.exit(f"{len(text)} characters are too few to train on: use at least a page.")
    uniform = math.log(len(chars))  # the loss of a uniform guess, in nats
    print(f"{len(text):,} characters, {len(chars)} different ones: a uniform guess costs {uniform:.4f}")

    torch.manual_seed(1337)
    model = Bigram(len(chars))
    optimizer = torch.optim.AdamW(model.parameters(), lr=learning_rate)
    for step in range(arguments.steps + 1):
        if step % 2000 == 0 or step == arguments.steps:
            losses = loss_on(model, train[: len(val)]), loss_on(model, val)
            print(f"step {step:6,}: training loss {losses[0]:.4f}, validation {losses[1]:.4f}")
        if step < arguments.steps:
            _, loss = model(*get_batch(train))
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            optimizer.step()

    start = torch.zeros((1, 1), dtype=torch.long)
    print("".join(chars[id] for id in model.generate(start, 300)[0].tolist()))


if __name__ == "__main__":
    main()
