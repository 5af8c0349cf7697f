"""Fuzzes tokenizer.json, tokenizer_config.json and SentencePiece models: opened, and then used.

python tests/fuzz/fuzz_tokenizer.py -max_total_time=1200

The first byte of an input says what it is: `j` a JSON list [tokenizer.json, tokenizer_config.json], `m` a
SentencePiece model (where that library is installed).
"""

from __future__ import annotations

import json
import random
import sys
import tempfile
from pathlib import Path
from typing import Any

import atheris

sys.path.insert(0, str(Path(__file__).parents[2]))

with atheris.instrument_imports(include=["homespun"]):
    from homespun.errors import HomespunError
    from homespun.tokenizer.make import build
    from homespun.tokenizer.open import load
    from homespun.tokenizer.tokenizer import Tokenizer

from tokenizers import Tokenizer as Backend
from tokenizers import decoders, models, normalizers, pre_tokenizers, processors

from tests.fuzz import harness

LEARNED_FROM = "To be, or not to be, that is the question: 1601 or 1602?\n\tWhether 'tis nobler\n" * 20
TEXTS = (
    "To be,  or not\n\n to be: 16 01 don't",
    "naïve 漢字 😀👍🏽 \t\r\n ▁ Ġ <s></s><unk>",
    "",
    "a" * 300,
    " " * 300,
)

WORDS: list[Any] = [
    "BPE", "WordPiece", "WordLevel", "Unigram", "ByteLevel", "Split", "Regex", "String", "Isolated",
    "Removed", "MergedWithPrevious", "Contiguous", "Metaspace", "Digits", "Punctuation", "Whitespace",
    "BertPreTokenizer", "CharDelimiterSplit", "FixedLength", "UnicodeScripts", "NFC", "NFKD", "Lowercase",
    "Replace", "Prepend", "Strip", "StripAccents", "Precompiled", "Nmt", "BertNormalizer", "ByteFallback",
    "Fuse", "CTC", "TemplateProcessing", "BertProcessing", "RobertaProcessing", "WordPiece", "Sequence",
    "always", "first", "never", "eos_token", "unk_token", "homespun_kind", "sentencepiece", "chat_template",
    "dropout", "byte_fallback", "ignore_merges", "fuse_unk", "unk_id", "continuing_subword_prefix",
    "end_of_word_suffix", "max_input_chars_per_word", "cache_capacity",
    {"Regex": "(a*)*b"}, {"Regex": "("}, {"Regex": "\\p{L}+| ?\\s+(?!\\S)"}, {"Regex": ""}, {"String": ""},
    {"Regex": "(?<x>a|b\\g<x>c)"}, {"Regex": "a{100000}"}, {"Regex": "(.*)*(.*)*\\1"}, {"Regex": "[^x]*[^x]*y"},
    {"type": "ByteLevel", "add_prefix_space": True, "trim_offsets": True, "use_regex": True},
    {"type": "Metaspace", "replacement": "▁", "prepend_scheme": "always", "split": True},
    {"type": "Split", "pattern": {"Regex": "(a*)*b"}, "behavior": "Isolated", "invert": False},
    {"type": "Replace", "pattern": {"String": ""}, "content": "x"},
    {"type": "Replace", "pattern": {"Regex": "."}, "content": "xxxxxxxx"},
    {"type": "Prepend", "prepend": "▁" * 100}, {"type": "Precompiled", "precompiled_charsmap": "AAAA"},
    {"type": "Strip", "content": " ", "start": 2**31, "stop": 2**31}, {"type": "FixedLength", "length": 0},
    {"type": "WordPiece", "prefix": "##", "cleanup": True}, {"type": "CTC", "pad_token": "", "cleanup": True},
    {"id": 0, "content": "", "special": False, "normalized": True, "lstrip": True, "rstrip": True},
    ["a", "b"], ["a b"], ["", ""], [["a", 0.0]], ["a", -1e308], ["a", 1e308],
]  # fmt: skip


def check(folder: Path, data: bytes) -> None:
    for path in folder.glob("tokenizer*"):
        path.unlink()
    if data[:1] == b"m":
        path = folder / "tokenizer.model"
        path.write_bytes(data[1:])
    else:
        try:
            content, settings = json.loads(data[1:])
        except (ValueError, RecursionError, TypeError):
            content, settings = None, None
        path = folder / "tokenizer.json"
        path.write_bytes(data[1:] if content is None else harness.json_bytes(content))
        if settings is not None:
            (folder / "tokenizer_config.json").write_bytes(harness.json_bytes(settings))
    use(load(path), folder)


def use(tokenizer: Tokenizer, folder: Path) -> None:
    """Everything that others do with a tokenizer that was opened; each may be refused, and nothing else."""
    assert 0 < tokenizer.vocab_size <= 300_004
    assert tokenizer.key
    for text in TEXTS:
        refusable(lambda text=text: tokenizer.decode(in_range(tokenizer.encode(text), tokenizer)))
    ids = [0, tokenizer.vocab_size - 1, *range(0, tokenizer.vocab_size, tokenizer.vocab_size // 50 + 1)]
    refusable(lambda: tokenizer.decode(ids))
    refusable(lambda: [tokenizer.token(id) for id in ids])
    refusable(lambda: streamed(tokenizer, ids))
    refusable(lambda: tokenizer.opening)
    refusable(lambda: tokenizer.special_tokens)
    refusable(lambda: tokenizer.for_a_new_model(documents=2).encode("to be"))
    tokenizer.save(folder / "again")
    again = load(folder / "again")
    assert [ids_of(again, text) for text in TEXTS] == [ids_of(tokenizer, text) for text in TEXTS]


def in_range(ids: list[int], tokenizer: Tokenizer) -> list[int]:
    assert all(0 <= id < tokenizer.vocab_size for id in ids)
    return ids


def ids_of(tokenizer: Tokenizer, text: str) -> list[int] | None:
    try:
        return tokenizer.encode(text)
    except HomespunError:
        return None


def streamed(tokenizer: Tokenizer, ids: list[int]) -> str:
    stream = tokenizer.stream()
    return "".join(stream.push(id) for id in ids) + stream.flush()


def refusable(action: Any) -> None:
    try:
        action()
    except HomespunError as error:
        assert error.todo


json_mutate = harness.json_mutator(WORDS)


def mutate(data: bytes, dice: random.Random) -> bytes:
    if data[:1] == b"m":
        return b"m" + atheris.Mutate(data[1:], 65535)
    return b"j" + json_mutate(data[1:], dice)


def seeds() -> list[bytes]:
    def made(spec: str) -> Tokenizer:
        return build(spec, alphabet=dict.fromkeys(sorted(set(LEARNED_FROM)), 1), documents=2,
                     pieces=lambda: iter([LEARNED_FROM]))  # fmt: skip

    contents = [tuple(map(json.loads, made(spec).files().values())) for spec in ("char", "byte", "bpe:290")]
    contents += [(json.loads(backend.to_str()), {"eos_token": "</s>"}) for backend in foreign()]
    return [b"j" + harness.json_bytes(content) for content in contents] + list(sentencepiece_models())


def foreign() -> list[Backend]:
    """One of each kind of model, with every kind of step before and after."""
    words = {"[UNK]": 0, "to": 1, "be": 2, "or": 3, "not": 4, "##t": 5, "</s>": 6}
    wordlevel = Backend(models.WordLevel(vocab=words, unk_token="[UNK]"))
    wordlevel.normalizer = normalizers.Sequence([normalizers.NFKC(), normalizers.Lowercase()])
    wordlevel.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.Whitespace(), pre_tokenizers.Punctuation()])
    wordlevel.post_processor = processors.TemplateProcessing(single="$A </s>", special_tokens=[("</s>", 6)])
    wordlevel.decoder = decoders.WordPiece()
    wordpiece = Backend(models.WordPiece(vocab=words, unk_token="[UNK]"))
    wordpiece.normalizer = normalizers.BertNormalizer()
    wordpiece.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    wordpiece.decoder = decoders.CTC()
    pieces = [("<unk>", 0.0), ("▁", -1.0), ("to", -2.0), ("be", -2.5), *((chr(97 + i), -5.0) for i in range(26))]
    unigram = Backend(models.Unigram([*pieces, ("</s>", 0.0)], 0, False))
    unigram.normalizer = normalizers.Sequence([normalizers.Replace(" ", "▁"), normalizers.Prepend("▁")])
    unigram.pre_tokenizer = pre_tokenizers.Metaspace()
    unigram.decoder = decoders.Sequence([decoders.Replace("▁", " "), decoders.Fuse(), decoders.Strip(" ", 1, 0)])
    llama = Backend(models.BPE(vocab={"<unk>": 0, "▁": 1, "t": 2, "o": 3, "to": 4, "</s>": 5}, merges=[("t", "o")],
                               unk_token="<unk>", fuse_unk=True, byte_fallback=True))  # fmt: skip
    llama.pre_tokenizer = pre_tokenizers.Split(" ", "merged_with_previous")
    llama.decoder = decoders.Sequence([decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse()])
    return [wordlevel, wordpiece, unigram, llama]


def sentencepiece_models() -> list[bytes]:
    try:
        import sentencepiece
    except ImportError:
        return []
    contents = []
    for kind in ("unigram", "bpe"):
        with tempfile.TemporaryDirectory() as folder:
            (Path(folder) / "text").write_text(LEARNED_FROM)
            sentencepiece.SentencePieceTrainer.train(
                input=f"{folder}/text", model_prefix=f"{folder}/m", model_type=kind, vocab_size=50,
                hard_vocab_limit=False, normalization_rule_name="identity", minloglevel=2,
            )  # fmt: skip
            contents.append(b"m" + (Path(folder) / "m.model").read_bytes())
    return contents


if __name__ == "__main__":
    harness.run(check, seeds(), mutate=mutate)
