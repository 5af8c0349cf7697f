"""Every class of models that opens, with all of its settings in use, held to transformers: which shares no code.

A model is small, random and made by the class's own config. Texts are longer than its window.
"""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from homespun.checkpoint.adapter import Base, Change, read_adapter_config, read_changes, write_adapter
from homespun.checkpoint.folder import load_config, load_weights, save_model
from homespun.errors import HomespunError
from homespun.finetuning.lora import add_lora, lora_parts
from homespun.generation.paged import ModelStep
from homespun.interop.adapter import merge
from homespun.interop.export import Leaving, export_gguf
from homespun.interop.gguf.load import load_gguf
from homespun.interop.origin import Origin
from homespun.kernels.decoding.slots import BLOCK, Slots
from homespun.model.context import Causal
from homespun.model.families import FAMILIES
from homespun.model.gpt import GPT
from tests.checkpoint.models import char_tokenizer
from tests.interop.files import bpe

transformers = pytest.importorskip("transformers")

VOCABULARY, CONTEXT = 300, 64
WINDOW = 10
# A matrix is sixteen numbers wide at least; a text fills more than two blocks of the cache.
SHAPE: dict[str, Any] = {
    "vocab_size": VOCABULARY,
    "hidden_size": 32,
    "num_hidden_layers": 4,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "intermediate_size": 48,
    "max_position_embeddings": CONTEXT,
    "bos_token_id": None,
    "eos_token_id": None,
    "pad_token_id": None,
}
GROUPS = 16  # channels of a head that differs from width / heads


@dataclass(frozen=True)
class Class:
    """config: transformers' class. settings: of it, beside or in place of SHAPE. gguf: llama.cpp has it, too."""

    config: str
    settings: Mapping[str, Any] = field(default_factory=dict)
    gguf: bool = True


CLASSES = {
    "qwen2": Class("Qwen2Config", {"tie_word_embeddings": True}),
    "qwen2 with windows": Class(
        "Qwen2Config", {"use_sliding_window": True, "sliding_window": WINDOW, "max_window_layers": 2}, gguf=False
    ),
    "qwen3 with windows": Class(
        "Qwen3Config",
        {
            "head_dim": GROUPS,
            "use_sliding_window": True,
            "sliding_window": WINDOW,
            "layer_types": ["full_attention", "sliding_attention"] * 2,
        },
        gguf=False,
    ),
    "mistral": Class("MistralConfig", {"head_dim": GROUPS, "sliding_window": None}),
    "mistral with a window": Class("MistralConfig", {"sliding_window": WINDOW}, gguf=False),
}
# With 8,192, as in Llama 3.2 itself, most pairs of so narrow a head stay as they are.
LLAMA_3 = {"rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0}
YARN = {"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": CONTEXT // 4, "rope_theta": 1e3}
ODD_YARN = {**YARN, "beta_fast": 8.0, "beta_slow": 2.0, "mscale": 0.7, "mscale_all_dim": 0.4, "truncate": False}
CLASSES |= {
    "llama": Class("LlamaConfig", {"rope_parameters": {"rope_theta": 5e5, "rope_type": "default"}}),
    "llama 3": Class(
        "LlamaConfig",
        {
            "head_dim": 32,
            "max_position_embeddings": 16384,
            "rope_parameters": {**LLAMA_3, "rope_theta": 5e5, "original_max_position_embeddings": 8192},
        },
    ),
    "llama 3, short": Class(
        "LlamaConfig",
        {"rope_parameters": {**LLAMA_3, "rope_theta": 1e4, "original_max_position_embeddings": CONTEXT // 2}},
        gguf=False,  # its reader knows Llama 3's own numbers
    ),
    "llama, linear": Class(
        "LlamaConfig", {"rope_parameters": {"rope_type": "linear", "rope_theta": 1e4, "factor": 4.0}}
    ),
    "llama, dynamic": Class(
        "LlamaConfig", {"rope_parameters": {"rope_type": "dynamic", "rope_theta": 1e4, "factor": 2.0}}
    ),
    "qwen2, yarn": Class("Qwen2Config", {"rope_parameters": YARN}),
    "llama, yarn": Class(
        "LlamaConfig",
        {"head_dim": 32, "rope_parameters": ODD_YARN},
        gguf=False,  # llama.cpp has the usual attention_factor
    ),
}
GEMMA_LAYERS = ["sliding_attention", "sliding_attention", "full_attention"]
GEMMA = {
    "head_dim": GROUPS,
    "sliding_window": WINDOW,
    "query_pre_attn_scalar": 24,
    "hidden_activation": "gelu_pytorch_tanh",
}
CLASSES |= {
    # As the small ones are: every sixth layer attends to all.
    "gemma 3": Class("Gemma3TextConfig", {**GEMMA, "num_hidden_layers": 7, "query_pre_attn_scalar": GROUPS}),
    "gemma 3, its layers listed, longer": Class(
        "Gemma3TextConfig",
        {
            **GEMMA,
            "tie_word_embeddings": False,
            "layer_types": [*GEMMA_LAYERS, "full_attention"],
            "rope_parameters": {
                "full_attention": {"rope_type": "linear", "factor": 8.0, "rope_theta": 1e5},
                "sliding_attention": {"rope_type": "default", "rope_theta": 100.0},
            },
        },
        gguf=False,  # llama.cpp has one pattern and one scale for queries
    ),
}
CLASSES |= {
    "smollm3": Class("SmolLM3Config", {"num_hidden_layers": 5}),
    "smollm3, its layers listed": Class(
        "SmolLM3Config", {"no_rope_layers": [0, 1, 1, 0], "tie_word_embeddings": False}, gguf=False
    ),
}
CLASSES |= {
    "granite": Class(
        "GraniteConfig",
        {
            "embedding_multiplier": 12.0,
            "attention_multiplier": 0.4,
            "residual_multiplier": 0.22,
            "logits_scaling": 3.0,
            "tie_word_embeddings": True,
        },
    ),
}
CLASSES |= {
    "olmo2": Class("Olmo2Config"),
}
SHORT_FACTORS, LONG_FACTORS = [1.0, 1.1, 1.5], [1.0, 2.0, 8.0]
CLASSES |= {
    "phi3": Class("Phi3Config", {"sliding_window": None}),
    "phi3 with a window": Class("Phi3Config", {"sliding_window": WINDOW}, gguf=False),
    "phi4-mini": Class(
        "Phi3Config",
        {
            "tie_word_embeddings": True,
            "max_position_embeddings": 2 * CONTEXT,
            "original_max_position_embeddings": CONTEXT,
            "rope_parameters": {
                "rope_type": "longrope",
                "partial_rotary_factor": 0.75,
                "short_factor": SHORT_FACTORS,
                "long_factor": LONG_FACTORS,
            },
        },
    ),
}
PLAIN = {"rope_type": "default", "rope_theta": 1e3}
CLASSES |= {
    "gpt-neox": Class("GPTNeoXConfig", {"rope_parameters": {**PLAIN, "partial_rotary_factor": 0.25}}),
    "gpt-neox, one after the other": Class(
        "GPTNeoXConfig",
        {
            "use_parallel_residual": False,
            "hidden_act": "gelu_new",
            "tie_word_embeddings": True,
            "rope_parameters": {**PLAIN, "partial_rotary_factor": 1.0},
        },
        gguf=False,  # a file does not say which GELU it is
    ),
}
every_class = pytest.mark.parametrize("kind", CLASSES)


pytestmark = pytest.mark.filterwarnings("ignore:.*longrope rotates texts of more than")


@pytest.fixture(autouse=True)
def silence() -> Iterator[None]:
    """Whatever transformers has to say about our folders is a failure."""
    said: list[str] = []
    handler = logging.Handler(logging.WARNING)
    handler.emit = lambda record: said.append(record.getMessage())  # type: ignore[method-assign]
    logger = logging.getLogger("transformers")
    logger.addHandler(handler)
    transformers.utils.logging.disable_progress_bar()
    with warnings.catch_warnings():
        warnings.filterwarnings("error", module="transformers")
        warnings.filterwarnings("ignore", message=".*is_gradient_checkpointing")  # peft asks for it by that name
        yield
    logger.removeHandler(handler)
    assert [line for line in said if "to be used together with" not in line] == []  # of Phi-3's own configs


def theirs_of(kind: str) -> Any:
    """A model of transformers whose weights are large enough for every part of it to matter."""
    settings = {**SHAPE, **CLASSES[kind].settings}
    config = getattr(transformers, CLASSES[kind].config)(**settings)
    torch.manual_seed(3)
    theirs = transformers.AutoModelForCausalLM.from_config(config).eval()
    for name, weight in theirs.named_parameters():
        torch.nn.init.normal_(weight, mean=1.0 if "norm" in name and name.endswith("weight") else 0.0, std=0.2)
    return theirs


def ids_of(*shape: int) -> Tensor:
    return torch.randint(VOCABULARY, shape, generator=torch.Generator().manual_seed(1))


def opened_there(folder: Path) -> Any:
    """The folder as transformers opens it, with no tensor missing, left over or of another shape."""
    theirs, info = transformers.AutoModelForCausalLM.from_pretrained(
        folder, output_loading_info=True, dtype=torch.float32
    )
    assert not any(info.values()), info
    return theirs.eval()


def assert_close(found: Tensor, expected: Tensor, atol: float = 1e-4) -> None:
    torch.testing.assert_close(found, expected, atol=atol, rtol=0)


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[Any, Path]]:
    """Of each class a model and its folder, made when it is first asked for."""
    made: dict[str, tuple[Any, Path]] = {}

    class Made(dict[str, tuple[Any, Path]]):
        def __missing__(self, kind: str) -> tuple[Any, Path]:
            folder = tmp_path_factory.mktemp("theirs")
            theirs = theirs_of(kind)
            theirs.save_pretrained(folder, max_shard_size="40KB")
            self[kind] = theirs, folder
            return self[kind]

    return Made(made)


Folders = dict[str, tuple[Any, Path]]


@every_class
@torch.no_grad()
def test_a_folder_in_several_files_gives_the_logits_of_transformers(kind: str, folders: Folders) -> None:
    theirs, folder = folders[kind]
    assert not (folder / "model.safetensors").exists()
    ids = ids_of(2, 40)
    assert_close(load_weights(folder)(ids)[0], theirs(ids).logits)


@every_class
@pytest.mark.parametrize("side", ["left", "right"])
@torch.no_grad()
def test_padding_changes_nothing(kind: str, side: str, folders: Folders) -> None:
    theirs, folder = folders[kind]
    ids, padding = ids_of(2, 40), 13
    text = torch.ones_like(ids)
    text[1, :padding] = 0
    if side == "right":
        text = text.flip(1)
    ours = load_weights(folder)
    assert isinstance(ours, GPT)
    # For us the padding is a document of its own: nobody attends to it, and positions begin anew.
    logits = ours(ids, context=Causal(documents=text))[0]
    positions = (text.cumsum(1) - 1).clamp(min=0)
    expected = theirs(ids, attention_mask=text, position_ids=positions).logits
    assert_close(logits[text == 1], expected[text == 1])


@every_class
@torch.no_grad()
def test_decoding_step_by_step_gives_the_logits_of_the_whole_forward_pass(kind: str, folders: Folders) -> None:
    """Two texts of different length at once: the longer one begins with a prompt of several tokens."""
    _, folder = folders[kind]
    ours = load_weights(folder)
    assert isinstance(ours, GPT)
    long, short = ids_of(1, 45), ids_of(1, 22)
    step = ModelStep(ours, "float32", blocks=6, note=pytest.fail)
    tables, prompt = ([5, 0, 3], [1, 4]), 23
    slots = Slots()
    slots.add(long[0, :prompt].tolist(), 0, tables[0], wants_all=True)
    found = [[step.logits(slots)], []]
    for at in range(short.size(1)):
        slots = Slots()
        slots.add(long[0, prompt + at : prompt + at + 1].tolist(), prompt + at, tables[0], wants=True)
        slots.add(short[0, at : at + 1].tolist(), at, tables[1], wants=True)
        for text, row in zip(found, step.logits(slots), strict=True):
            text.append(row[None])
    assert prompt + short.size(1) <= len(tables[0]) * BLOCK
    for ids, rows in zip((long, short), found, strict=True):
        assert_close(torch.cat(rows), ours(ids)[0][0])


@every_class
@torch.no_grad()
def test_a_prompt_in_pieces_is_the_whole_prompt(kind: str, folders: Folders) -> None:
    _, folder = folders[kind]
    ours = load_weights(folder)
    assert isinstance(ours, GPT)
    ids = ids_of(1, 41)
    step, found = ModelStep(ours, "float32", blocks=3, note=pytest.fail), []
    for begin in range(0, 41, 18):
        slots = Slots()
        slots.add(ids[0, begin : begin + 18].tolist(), begin, [2, 0, 1], wants_all=True)
        found.append(step.logits(slots))
    assert_close(torch.cat(found), ours(ids)[0][0])


@every_class
@torch.no_grad()
def test_the_folder_that_is_saved_opens_in_transformers(kind: str, folders: Folders, tmp_path: Path) -> None:
    theirs, folder = folders[kind]
    ours = load_weights(folder)
    save_model(tmp_path, ours, char_tokenizer())
    assert load_config(tmp_path) == ours.config
    ids = ids_of(2, 40)
    again = opened_there(tmp_path)
    assert type(again) is type(theirs)
    assert_close(again(ids).logits, theirs(ids).logits)


@every_class
def test_gradients_are_those_of_transformers(kind: str, folders: Folders) -> None:
    theirs, folder = folders[kind]
    ours = load_weights(folder).train()
    ids = ids_of(2, 33)
    _, loss = ours(ids[:, :-1], ids[:, 1:])
    theirs.zero_grad()
    expected = theirs(ids, labels=ids).loss
    assert loss is not None
    assert loss.item() == pytest.approx(expected.item(), abs=1e-5)
    loss.backward()
    expected.backward()
    total, right = (
        torch.stack([weight.grad.norm() for weight in model.parameters()]).norm().item()
        for model in (ours, theirs)
    )
    assert total == pytest.approx(right, rel=1e-4)
    assert all(weight.grad.abs().max() > 0 for weight in ours.parameters())


@every_class
@pytest.mark.parametrize("four_bits", [False, True])
def test_an_adapter_is_trained_and_opens_in_peft(
    kind: str, four_bits: bool, folders: Folders, tmp_path: Path
) -> None:
    peft = pytest.importorskip("peft")
    _, folder = folders[kind]
    model = load_weights(folder)
    assert isinstance(model, GPT)
    torch.manual_seed(0)
    add_lora(model.train(), rank=2, alpha=4, dtype=torch.float32, four_bits=four_bits)
    ids = ids_of(2, 33)
    _, before = model(ids[:, :-1], ids[:, 1:])
    assert before is not None
    parts = lora_parts(model)
    assert len(parts) == model.config.n_layer * len([name for name in parts if name.startswith("blocks.0.")])
    optimizer = torch.optim.Adam([weight for weight in model.parameters() if weight.requires_grad], lr=0.02)
    for _ in range(3):
        optimizer.zero_grad()
        _, loss = model(ids[:, :-1], ids[:, 1:])
        assert loss is not None
        loss.backward()
        optimizer.step()
    assert loss < before - 0.05
    if four_bits:  # the frozen matrices are rounded there, and in no other program in the same way
        return
    changes = {
        name: Change(part.lora_A.detach(), part.lora_B.detach(), part.scale) for name, part in parts.items()
    }
    base = Base(str(folder))
    write_adapter(tmp_path, model.config, changes, char_tokenizer(), base=base, rank=2, alpha=4)
    with torch.no_grad():
        trained = model.eval()(ids)[0]
        merged = load_weights(folder)
        assert isinstance(merged, GPT)
        assert not torch.allclose(merged(ids)[0], trained, atol=1e-2)
        merge(merged, read_changes(tmp_path, read_adapter_config(tmp_path), merged.config))
        assert_close(merged(ids)[0], trained)
        theirs = peft.PeftModel.from_pretrained(opened_there(folder), tmp_path).eval()
        assert_close(theirs(ids).logits, trained)


@pytest.mark.parametrize("kind", [kind for kind, one in CLASSES.items() if one.gguf])
@torch.no_grad()
def test_a_gguf_file_comes_back_as_the_same_model(kind: str, folders: Folders, tmp_path: Path) -> None:
    _, folder = folders[kind]
    model, tokenizer = load_weights(folder), bpe()
    leaving = Leaving(model, tokenizer, Origin("mine"), ["spin a yarn, and another one"])
    export_gguf(leaving, tmp_path / "model.gguf", quantize="f32", force=False, ask_llama_cpp=False)
    opened, _ = load_gguf(tmp_path / "model.gguf")
    ids = ids_of(2, 40)
    assert_close(opened(ids)[0], model(ids)[0])


# What of such a model a GGUF file has no words for, by what is said of it.
REFUSED = {
    **dict.fromkeys(
        ("qwen2 with windows", "qwen3 with windows", "mistral with a window", "phi3 with a window"),
        "without the window of 10 tokens",
    ),
    "llama 3, short": "in another way than Llama 3 does",
    "llama, yarn": "the usual attention_factor",
    "gemma 3, its layers listed, longer": "with attention_scale = 0.25, and this one has 0.204",
    "smollm3, its layers listed": "The export is not the model",
}


@pytest.mark.parametrize("kind", REFUSED)
def test_what_a_gguf_file_has_no_words_for_is_not_exported(kind: str, folders: Folders, tmp_path: Path) -> None:
    _, folder = folders[kind]
    leaving = Leaving(load_weights(folder), bpe(), Origin("mine"), ["spin a yarn, and another one"])
    with pytest.raises(HomespunError, match=REFUSED[kind]):
        export_gguf(leaving, tmp_path / "model.gguf", quantize="f32", force=False, ask_llama_cpp=False)


def test_the_table_of_the_documentation_says_what_is_tested() -> None:
    page = (Path(__file__).parents[2] / "docs" / "models.md").read_text(encoding="utf-8")
    lines = page.partition("| GGUF in |")[2].partition("\n\n")[0].splitlines()[2:]
    said = {
        cells[1].strip().strip("`"): [cell.strip() for cell in cells[2:-1]]
        for cells in (line.split("|") for line in lines)
    }
    opened = {family.hugging_face.model_type for family in FAMILIES.values() if family.hugging_face}
    assert said.keys() == opened
    of_type: dict[str, set[bool]] = {}
    for one in CLASSES.values():
        of_type.setdefault(getattr(transformers, one.config).model_type, set()).add(one.gguf)
    for model_type, cells in said.items():
        files = "some" if False in of_type.get(model_type, {True}) else "yes"
        assert cells == ["yes", files, "yes", "yes", "yes", "yes", "yes", files, "yes"], model_type
