"""Fuzzes config.json: what is asked for, held against weights that are there.

python tests/fuzz/fuzz_config.py -max_total_time=1200
"""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path
from typing import Any

import atheris

sys.path.insert(0, str(Path(__file__).parents[2]))

with atheris.instrument_imports(include=["homespun"]):
    from homespun.checkpoint.folder import load_config, load_weights, save_model
    from homespun.errors import HomespunError
    from homespun.model.config import BigramConfig, GPTConfig
    from homespun.model.families import FAMILIES
    from homespun.model.gpt import build
    from homespun.tokenizer.make import build as build_tokenizer

from tests.fuzz import harness

KINDS = (*FAMILIES, "bigram")
WORDS: list[Any] = [
    "qwen3", "llama", "gpt2", *(f"homespun-{kind}" for kind in KINDS), ["LlamaForCausalLM"], "silu", "gelu_new",
    "rope_scaling", "rope_parameters", "rope_theta", "sliding_window", "layer_types", "use_sliding_window",
    "max_window_layers", "quantization_config", "head_dim", "architectures", "partial_rotary_factor",
    ["full_attention"], ["sliding_attention"], {"rope_type": "default", "rope_theta": 1e4}, {"rope_type": "yarn"},
    512, 513, 1024, 2**14, 2**16, 2**18, 1e12,
]  # fmt: skip


def weights_and_configs(folder: Path) -> list[bytes]:
    """A folder of weights for each kind of model, and their configs."""
    tokenizer = build_tokenizer("char", alphabet=dict.fromkeys("ab", 1), documents=1, pieces=lambda: iter(["ab"]))
    configs = []
    for kind in KINDS:
        shape = {"vocab_size": 2, "context_length": 4}
        config = BigramConfig(**shape) if kind == "bigram" else GPTConfig.of(
            kind, **shape, n_layer=2, n_head=2, n_embd=4, n_inner=4)  # fmt: skip
        save_model(folder / kind, build(config), tokenizer)
        configs.append((folder / kind / "config.json").read_bytes())
    return configs


def main() -> None:
    with tempfile.TemporaryDirectory() as sound:
        seeds = weights_and_configs(Path(sound))

        def check(folder: Path, data: bytes) -> None:
            """The config alone; then the weights of the kind that it speaks of."""
            (folder / "config.json").write_bytes(data)
            config = load_config(folder)
            again = load_config(folder)
            assert config == again
            (folder / "model.safetensors").unlink(missing_ok=True)
            (folder / "model.safetensors").symlink_to(Path(sound) / config.family / "model.safetensors")
            try:
                model = load_weights(folder)
            except HomespunError as error:
                assert error.todo
            else:
                assert model.number_of_parameters() < 1000
            json.dumps(config.__dict__, allow_nan=False)

        harness.run(check, seeds, mutate=harness.json_mutator(WORDS))


if __name__ == "__main__":
    main()
