"""A GGUF file from a stranger: whatever is in it, the answer is a model or one of our errors, and soon."""

from __future__ import annotations

import random
import struct
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import psutil
import pytest

from homespun.errors import CheckpointError, HomespunError, TokenizerError
from homespun.interop.gguf import weights as gguf_weights
from homespun.interop.gguf.file import read_gguf
from homespun.interop.gguf.load import load_gguf
from tests.checkpoint.models import lively, tiny
from tests.interop.files import bpe, foreign_tensors, gguf_of, settings_of, write_gguf

MAGIC = b"GGUF" + struct.pack("<I", 3)


def text(value: str) -> bytes:
    return struct.pack("<Q", len(value)) + value.encode()


def header(*, tensors: int = 0, settings: int = 0, rest: bytes = b"") -> bytes:
    return MAGIC + struct.pack("<QQ", tensors, settings) + rest


def tensor(name: str, shape: tuple[int, ...], type: int = 0, offset: int = 0) -> bytes:
    return text(name) + struct.pack(f"<I{len(shape)}QIQ", len(shape), *shape, type, offset)


def told(path: Path) -> str:
    with pytest.raises(HomespunError) as caught:
        load_gguf(path)
    assert caught.value.todo
    assert len(str(caught.value)) < 2000
    return str(caught.value)


HUGE = 2**63
LIES: dict[str, tuple[bytes, str]] = {
    "empty": (b"", "is no GGUF file"),
    "another kind": (b"PK\x03\x04" * 20, "is no GGUF file"),
    "a pointer": (b"version https://git-lfs.github.com/spec/v1\n", "is a Git LFS pointer"),
    "an old version": (b"GGUF" + struct.pack("<I", 1) + bytes(20), "of version 1"),
    "the other byte order": (b"GGUF" + struct.pack(">I", 3) + bytes(20), "for machines of the other byte order"),
    "cut after the magic word": (MAGIC, "was cut short: it has 8 bytes"),
    "more tensors than can be": (header(tensors=HUGE), "speaks of 9,223,372,036,854,775,808 tensors"),
    "more settings than can be": (header(settings=HUGE), "speaks of 9,223,372,036,854,775,808 settings"),
    "settings that are not there": (header(settings=9), "was cut short"),
    "a name without end": (header(settings=1, rest=struct.pack("<Q", HUGE)), "a text in its header has"),
    "an unknown type": (header(settings=1, rest=text("a") + struct.pack("<I", 99)), "a setting has the type 99"),
    "a list without end": (
        header(settings=1, rest=text("a") + struct.pack("<IIQ", 9, 8, HUGE)),
        "a list has 9,223,372,036,854,775,808 texts",
    ),
    "a list of numbers without end": (
        header(settings=1, rest=text("a") + struct.pack("<IIQ", 9, 4, HUGE)),
        "a list has 9,223,372,036,854,775,808 numbers",
    ),
    "a list of numbers that is not there": (
        header(settings=1, rest=text("a") + struct.pack("<IIQ", 9, 4, 2_000_000)),
        "was cut short",
    ),
    "a list of lists": (
        header(settings=1, rest=text("a") + struct.pack("<IIQ", 9, 9, 1)),
        "a list has elements of the type 9",
    ),
    "a tensor of many dimensions": (
        header(tensors=1, rest=text("a") + struct.pack("<I", 2**31)),
        "a has 2147483648 dimensions",
    ),
    "a tensor of nothing": (header(tensors=1, rest=tensor("a", (4, 0))), "has the shape [0, 4]"),
    "a tensor without end": (header(tensors=1, rest=tensor("a", (HUGE, HUGE))), "has the shape"),
    "half a block": (header(tensors=1, rest=tensor("a", (33, 2), 8)), "which Q8_0 cannot have"),
    "a type of tensor that is not read": (header(tensors=1, rest=tensor("a", (256, 2), 16)), "(type 16)"),
    "a tensor that is not there": (header(tensors=1, rest=tensor("a", (2**20, 2**10))), "ends at byte"),
    "an offset beyond the file": (header(tensors=1, rest=tensor("a", (1,), 0, 2**63)), "ends at byte"),
    "two tensors in one place": (
        header(tensors=2, rest=tensor("a", (2,)) + tensor("b", (2,), 0, 4) + bytes(64)),
        "b lies over another tensor",
    ),
    "a name twice": (
        header(tensors=2, rest=tensor("a", (8,)) + tensor("a", (8,), 0, 32) + bytes(128)),
        "a is there twice",
    ),
    "no model in it": (header(), "general.architecture is null"),
}


@pytest.mark.parametrize("lie", LIES)
def test_a_header_that_lies_is_told(lie: str, tmp_path: Path) -> None:
    content, words = LIES[lie]
    path = tmp_path / "model.gguf"
    path.write_bytes(content)
    assert words in told(path)  # whoever goes through all that is promised never gets here


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Path:
    tokenizer = bpe()
    model = lively(tiny("llama", vocab_size=tokenizer.vocab_size))
    return gguf_of(tmp_path_factory.mktemp("sound") / "model.gguf", model, tokenizer, "Q8_0")


def changed(tmp_path: Path, family: str = "llama", **changes: Any) -> Path:
    tokenizer = bpe()
    return gguf_of(
        tmp_path / "model.gguf", lively(tiny(family, vocab_size=tokenizer.vocab_size)), tokenizer, **changes
    )


REFUSED: list[tuple[dict[str, Any], str]] = [
    ({"general__architecture": "mamba"}, 'general.architecture is "mamba"'),
    ({"general__architecture": "lfm2"}, "short convolutions"),
    ({"general__architecture": ["llama"]}, 'general.architecture is ["llama"]'),
    ({"llama__rope__scaling__type": "yarn"}, "does not say llama.rope.scaling.factor"),
    ({"llama__rope__scaling__type": "longrope"}, 'llama.rope.scaling.type is "longrope"'),
    ({"llama__rope__scale_linear": 4.0}, "llama.rope.scale_linear is 4.0"),
    ({"llama__expert_count": 8}, "llama.expert_count is 8"),
    ({"llama__attention__sliding_window": "wide"}, 'llama.attention.sliding_window is "wide"'),
    ({"llama__rope__dimension_count": 4}, "llama.rope.dimension_count is 4"),
    ({"llama__block_count": None}, "does not say llama.block_count"),
    ({"llama__block_count": 513}, "llama.block_count is 513"),
    ({"llama__block_count": 3}, "blk.2.attn_norm.weight is missing"),
    ({"llama__block_count": 1}, "blk.1.attn_k.weight was not expected"),
    ({"llama__embedding_length": 64}, "blk.0.attn_norm.weight is [32]; expected [64]"),
    ({"llama__embedding_length": "32"}, 'llama.embedding_length is "32"'),
    ({"llama__context_length": 2**22 + 1}, "llama.context_length is 4194305"),
    ({"llama__attention__head_count": [4, 4]}, "llama.attention.head_count is [4, 4]"),
    ({"llama__attention__head_count_kv": 3}, "n_head = 4 heads cannot share n_kv_head = 3"),
    ({"llama__attention__layer_norm_rms_epsilon": 0.0}, "norm_eps is 0.0"),
    ({"llama__rope__freq_base": float("nan")}, "llama.rope.freq_base is NaN"),
    ({"general__alignment": 0}, "its alignment is 0"),
    ({"tokenizer__ggml__model": "bert"}, "its kind is 'bert'"),
    ({"tokenizer__ggml__model": None}, "its kind is 'None'"),
    ({"tokenizer__ggml__pre": "tekken"}, "says 'tekken' of how a text is cut into words"),
    ({"tokenizer__ggml__pre": None}, "does not say how a text is cut into words"),
    ({"tokenizer__ggml__tokens": ["a", "b", "a"]}, "it has the token 'a' twice"),
    ({"tokenizer__ggml__tokens": [1, 2]}, "tokenizer.ggml.tokens is no list of texts"),
    ({"tokenizer__ggml__token_type": [1]}, "does not say of each token what it is"),
    ({"tokenizer__ggml__merges": ["a b c"]}, "'a b c', which is no pair of tokens"),
    ({"tokenizer__ggml__merges": ["ab Ġzzzz"]}, "out of vocabulary"),
    ({"tokenizer__ggml__eos_token_id": 2**31}, "its eos token is 2147483648, and its ids are 0 to"),
]


@pytest.mark.parametrize(("changes", "words"), REFUSED, ids=lambda value: str(value)[:60])
def test_what_would_be_another_model_is_refused_by_name(
    changes: dict[str, Any], words: str, tmp_path: Path
) -> None:
    assert words in told(changed(tmp_path, **changes))


def test_rotary_positions_that_are_not_changed_as_llama_3_does_are_refused_by_name(tmp_path: Path) -> None:
    tokenizer = bpe()
    model = lively(tiny("llama", vocab_size=tokenizer.vocab_size))
    tensors = foreign_tensors(model)
    tensors["rope_freqs.weight"] = tensors["output_norm.weight"]
    path = write_gguf(tmp_path / "model.gguf", "llama", settings_of(model, tokenizer), tensors)
    assert "rope_freqs.weight changes the rotary positions in another way than Llama 3" in told(path)


def test_a_bias_that_the_shape_has_not_is_not_left_out_in_silence(tmp_path: Path) -> None:
    tokenizer = bpe()
    model = lively(tiny("llama", vocab_size=tokenizer.vocab_size))
    tensors = foreign_tensors(model)
    tensors["blk.0.attn_q.bias"] = tensors["output_norm.weight"]
    path = write_gguf(tmp_path / "model.gguf", "llama", settings_of(model, tokenizer), tensors)
    assert "blk.0.attn_q.bias was not expected" in told(path)


def test_more_tokens_than_the_model_knows_are_told(tmp_path: Path) -> None:
    tokenizer = bpe()
    path = gguf_of(tmp_path / "model.gguf", lively(tiny("llama", vocab_size=200)), tokenizer)
    assert f"the tokenizer has {tokenizer.vocab_size} tokens, the model 200" in told(path)


def test_angles_for_millions_of_tokens_are_not_computed(tmp_path: Path) -> None:
    tokenizer = bpe()
    model = lively(tiny("modern", vocab_size=tokenizer.vocab_size, n_head=1, n_embd=256, n_inner=32))
    path = gguf_of(tmp_path / "model.gguf", model, tokenizer, qwen3__context_length=2**20)
    assert "speaks of a context of 1,048,576 tokens" in told(path)


def test_what_does_not_fit_into_memory_is_refused_before_any_number_is_read(
    sound: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(psutil, "virtual_memory", lambda: SimpleNamespace(total=100_000, available=50_000))
    monkeypatch.setattr(psutil, "swap_memory", lambda: SimpleNamespace(total=0))
    monkeypatch.setattr(gguf_weights, "read_tensor", lambda *_: pytest.fail("it was read"))
    assert "this computer has 0.0 GiB, and 0.0 GiB are free" in told(sound)


def test_a_file_of_terabytes_that_takes_no_room_is_told(tmp_path: Path) -> None:
    """Its one tensor is there, as a hole in the file, and the others are not."""
    tokenizer = bpe()
    settings = settings_of(lively(tiny("llama", vocab_size=tokenizer.vocab_size)), tokenizer)
    settings |= {"llama.embedding_length": 2**16}
    path = write_gguf(tmp_path / "model.gguf", "llama", settings, {})
    content = bytearray(path.read_bytes().rstrip(b"\0"))
    content[8:16] = struct.pack("<Q", 1)
    content += tensor("token_embd.weight", (2**16, 2**22))
    path.write_bytes(content)
    with path.open("r+b") as file:
        file.truncate(len(content) + 2**12 + 2**40)
    assert "blk.0.attn_norm.weight is missing; expected [65536]" in told(path)


def test_a_file_that_is_none_is_told(tmp_path: Path) -> None:
    assert "There is no file" in told(tmp_path / "none.gguf")
    with pytest.raises(CheckpointError, match="There is no file"):
        read_gguf(tmp_path)


def test_wherever_it_is_cut_the_answer_is_a_message(sound: Path, tmp_path: Path) -> None:
    whole = sound.read_bytes()
    path = tmp_path / "model.gguf"
    for length in [*range(0, 400, 7), *range(400, len(whole) - 40, len(whole) // 40)]:
        path.write_bytes(whole[:length])
        assert str(path) in told(path)


def test_whatever_byte_is_damaged_the_answer_is_a_model_or_a_message(sound: Path, tmp_path: Path) -> None:
    whole, dice, path = sound.read_bytes(), random.Random(4), tmp_path / "model.gguf"
    for _ in range(300):
        content = bytearray(whole)
        for _ in range(dice.choice((1, 1, 3))):
            content[dice.randrange(len(content) // 3)] = dice.choice((0, 1, 9, 57, 127, 255))
        path.write_bytes(content)
        try:
            load_gguf(path)
        except (CheckpointError, TokenizerError) as error:
            assert error.todo
