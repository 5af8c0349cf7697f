"""Rows hold every example once, leak nothing, waste little, and come in an order that can be taken up anywhere."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from homespun.conversations import encoding
from homespun.conversations.encoding import encode_conversations
from homespun.conversations.packing import Packed, PackedBatches, PackedSplit, best_fit
from homespun.conversations.recognise import recognise
from homespun.conversations.splits import Conversations, lengths, prepare_conversations
from homespun.errors import NotEnoughText, TextUnreadable
from homespun.model.context import Causal
from homespun.tokenizer.chat_marks import with_chat_template
from homespun.tokenizer.make import build
from homespun.tokenizer.tokenizer import Tokenizer
from tests.model.shapes import lively, tiny

pytest.importorskip("jinja2")

LETTERS = "abcdefghijklmnopqrstuvwxyz .?\n"


def tokenizer(kind: str = "char") -> Tokenizer:
    alphabet = dict.fromkeys(LETTERS, 1)
    return with_chat_template(build(kind, alphabet=alphabet, documents=1, pieces=lambda: iter([LETTERS])))


def talk(*contents: str) -> dict[str, Any]:
    roles = ("user", "assistant")
    return {"messages": [{"role": roles[at % 2], "content": content} for at, content in enumerate(contents)]}


def prepared(path: Path, *records: object, length: int = 64, **others: Any) -> Conversations:
    path.write_text("\n".join(json.dumps(record) for record in records), encoding="utf-8")
    found = recognise([path])
    assert found is not None
    return prepare_conversations(found, others.pop("tokenizer", tokenizer()), length=length, seed=1, **others)


def many(count: int, longest: int = 20) -> list[dict[str, Any]]:
    names = ["".join(chr(97 + at // 26**place % 26) for place in range(3)) for at in range(count)]
    return [talk(f"who is {name}", f"{name} " * (1 + at % longest)) for at, name in enumerate(names)]


def learnt_texts(split: PackedSplit, words: Tokenizer) -> list[str]:
    """What is targets in each document of each row."""
    rows = split.rows(range(len(split)))
    texts = []
    for targets, documents in zip(rows.targets, rows.documents, strict=True):
        for number in documents[documents >= 0].unique().tolist():
            of_document = targets[documents == number]
            texts.append(words.decode(of_document[of_document >= 0].tolist()))
    return texts


def test_every_answer_is_learnt_once_and_nothing_else(tmp_path: Path) -> None:
    records, words = many(60, longest=9), tokenizer()
    data = prepared(tmp_path / "a.jsonl", *records, length=96)
    answers = sorted(f"{record['messages'][1]['content']}<|im_end|>" for record in records)
    assert sorted(learnt_texts(data.train, words) + learnt_texts(data.val, words)) == answers
    assert data.tokens == sum(len(answer) - len("<|im_end|>") + 1 for answer in answers)
    assert data.characters == data.bytes == data.tokens - len(records)
    for split in (data.train, data.val):
        assert split.tokens == sum(int((split.rows([row]).targets >= 0).sum()) for row in range(len(split)))
    assert data.train.documents + data.val.documents == len(records)


def test_positions_and_documents_begin_anew_and_targets_are_what_comes_next(tmp_path: Path) -> None:
    words = tokenizer()
    data = prepared(tmp_path / "a.jsonl", *many(60, longest=5), length=128)
    ids, targets, documents, positions = data.train.rows(range(len(data.train)))
    start = words.special_tokens["<|im_start|>"]
    assert (ids.shape, ids.dtype) == ((len(data.train), 128), torch.int64)
    real = documents >= 0
    assert (targets[~real] == -1).all() and (real.long().diff(dim=1) <= 0).all()  # padding is at the end
    assert (ids[real & (positions == 0)] == start).all()
    assert int((real & (positions == 0)).sum()) == data.train.documents
    for row in range(len(ids)):
        for number in documents[row][real[row]].unique().tolist():
            here = documents[row] == number
            assert positions[row][here].tolist() == list(range(int(here.sum())))
            seen, next_one = ids[row][here], targets[row][here]
            counted = next_one[:-1] >= 0
            assert (next_one[:-1][counted] == seen[1:][counted]).all()


def test_the_loss_of_packed_rows_is_that_of_every_conversation_alone(tmp_path: Path) -> None:
    words = tokenizer()
    data = prepared(tmp_path / "a.jsonl", *many(50, longest=6), length=96)
    for family in ("modern", "gpt2"):
        model = lively(tiny(family, context_length=96, vocab_size=words.vocab_size))
        with torch.no_grad():
            rows = data.train.rows(range(len(data.train)))
            context = Causal(rows.documents, rows.positions)
            together = model(rows.ids, rows.targets, context)[1]
            nats = counted = 0.0
            for example in each_alone(rows):
                count = int((example.targets >= 0).sum())
                nats += float(model(example.ids, example.targets)[1]) * count
                counted += count
        assert counted == data.train.tokens
        assert float(together) == pytest.approx(nats / counted, abs=2e-5)


def each_alone(rows: Packed) -> list[Packed]:
    alone = []
    for row in range(len(rows.ids)):
        documents = rows.documents[row]
        for number in documents[documents >= 0].unique():
            here = documents == number
            alone.append(Packed(*(part[row][here][None] for part in rows)))
    return alone


def test_the_same_conversation_is_never_on_both_sides(tmp_path: Path) -> None:
    records = many(30) * 2
    found = recognise([write(tmp_path / "a.jsonl", records)])
    assert found is not None
    words = tokenizer()
    data = prepare_conversations(found, words, length=256, seed=1)
    train, val = learnt_texts(data.train, words), learnt_texts(data.val, words)
    assert val and len(train) + len(val) == 60 and not set(train) & set(val)


def test_what_is_kept_back_depends_on_what_is_said_alone(tmp_path: Path) -> None:
    words, records = tokenizer(), many(40)
    there = prepared(tmp_path / "a.jsonl", *records, length=128)
    back = prepared(tmp_path / "b.jsonl", *records[::-1], length=128)
    assert sorted(learnt_texts(there.val, words)) == sorted(learnt_texts(back.val, words))
    assert there.how == back.how == f"{there.val.documents} of 40 conversations, whole"
    assert 0.03 < there.val.tokens / there.tokens < 0.2


@pytest.mark.parametrize("count", [2, 3, 5])
def test_of_a_few_one_is_kept_back(tmp_path: Path, count: int) -> None:
    data = prepared(tmp_path / "a.jsonl", *many(count), length=128)
    assert data.val.documents == 1 and data.train.documents == count - 1


def test_one_conversation_is_not_enough(tmp_path: Path) -> None:
    with pytest.raises(NotEnoughText, match="two different ones"):
        prepared(tmp_path / "a.jsonl", *[talk("a", "b")] * 3)


def test_too_long_ones_are_divided_and_cut_where_even_one_answer_does_not_fit(tmp_path: Path) -> None:
    words = tokenizer()
    long_talk = talk("one", "first", "two", "second", "three", "third " * 30)
    late = talk("q" * 100, "never seen")
    endless = talk("go on", "on and on " * 30)
    records = [*many(40, longest=3), long_talk, late, endless]
    data = prepared(tmp_path / "a.jsonl", *records, length=80)
    texts = learnt_texts(data.train, words) + learnt_texts(data.val, words)
    assert "first<|im_end|>second<|im_end|>" in texts
    assert "never seen<|im_end|>" in texts  # behind the end of its question
    for beginning in ("on and on", "third third"):
        (cut,) = [text for text in texts if text.startswith(beginning)]
        assert "<|im_end|>" not in cut
    notes = " ".join(data.notes)
    for told in ("longer than 81 tokens", "2 cut within", "only the end of a question"):
        assert told in notes


def test_what_fits_to_the_last_place_is_not_cut(tmp_path: Path) -> None:
    words, records = tokenizer(), many(20, longest=1)
    path = write(tmp_path / "a.jsonl", records)
    found = recognise([path])
    assert found is not None
    (longest,) = set(lengths(found, words).tolist())
    whole = prepare_conversations(found, words, length=longest - 1, seed=1)
    assert not whole.notes and whole.train.padding == 0
    shorter = prepare_conversations(found, words, length=longest - 3, seed=1)  # the last id is a new line
    assert "cut within the first answer" in " ".join(shorter.notes)


def test_nothing_that_fits_is_told(tmp_path: Path) -> None:
    with pytest.raises(NotEnoughText, match="every answer begins behind that"):
        prepared(tmp_path / "a.jsonl", *many(20), length=8)


def test_a_character_that_the_model_does_not_know_leaves_one_conversation_out(tmp_path: Path) -> None:
    data = prepared(tmp_path / "a.jsonl", *many(20, longest=3), talk("who is é", "nobody"))
    assert len(data.notes) == 1 and data.notes[0].startswith("1 left out: the model cannot write them down")
    assert f"{tmp_path / 'a.jsonl'}:21" in data.notes[0] and "U+00E9" in data.notes[0]
    with pytest.raises(NotEnoughText, match="none of the conversations") as caught:
        prepared(tmp_path / "b.jsonl", talk("é", "a"), talk("ü", "b"))
    assert "--tokenizer" in caught.value.todo


def test_texts_among_conversations_are_learnt_whole_and_cut_into_windows(tmp_path: Path) -> None:
    words = tokenizer()
    text = "".join(chr(97 + at % 26) for at in range(300))
    write(tmp_path / "chat.jsonl", many(60))
    (tmp_path / "note.txt").write_text(text)
    found = recognise([tmp_path])
    assert found is not None
    data = prepare_conversations(found, words, length=100, seed=1)
    pieces = [piece for piece in learnt_texts(data.train, words) + learnt_texts(data.val, words) if "abc" in piece]
    assert sorted(map(len, pieces)) == [100, 100, 99 + len("<|im_end|>")]  # the first letter is never predicted
    assert "".join(sorted(pieces, key=lambda piece: "<" in piece)).replace("<|im_end|>", "") in text * 2


def write(path: Path, records: list) -> Path:
    path.write_text("\n".join(json.dumps(record) for record in records), encoding="utf-8")
    return path


def test_a_second_call_finds_the_ids_in_the_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = prepared(tmp_path / "a.jsonl", *many(20))
    monkeypatch.setattr(encoding, "write", lambda *_: pytest.fail("they were made anew"))
    again = prepared(tmp_path / "a.jsonl", *many(20))
    assert again.key == first.key
    assert all(
        torch.equal(one, other)
        for one, other in zip(first.train.rows([0, 1]), again.train.rows([0, 1]), strict=True)
    )


def test_a_damaged_cache_is_made_anew(tmp_path: Path, own_cache: Path) -> None:
    first = prepared(tmp_path / "a.jsonl", *many(20))
    for damaged in own_cache.rglob("ends.npy"):
        damaged.write_bytes(b"nonsense")
    again = prepared(tmp_path / "a.jsonl", *many(20))
    assert again.train.tokens == first.train.tokens


def test_another_template_or_tokenizer_is_another_key(tmp_path: Path) -> None:
    found = recognise([write(tmp_path / "a.jsonl", many(20))])
    assert found is not None
    words = tokenizer()
    template = "{% for m in messages %}{{ m.content }}<|im_end|>{% endfor %}"
    other = words.with_special_tokens([], end_of_text="<|im_end|>", settings={"chat_template": template})
    keys = {encode_conversations(found, one).key for one in (words, other, tokenizer("byte"))}
    assert len(keys) == 3


def test_a_text_that_changes_meanwhile_is_told(tmp_path: Path) -> None:
    path = write(tmp_path / "a.jsonl", many(20))
    found = recognise([path])
    assert found is not None
    write(path, many(21))
    with pytest.raises(TextUnreadable, match="changed while it was read"):
        prepare_conversations(found, tokenizer(), length=64, seed=1)


def test_batches_depend_on_seed_and_step_alone_and_take_every_row_once(tmp_path: Path) -> None:
    data = prepared(tmp_path / "a.jsonl", *many(60))
    rows, size = len(data.train), 4
    batches = PackedBatches(data.train, size, seed=3)
    ahead = [batches[step] for step in range(rows)]
    again = PackedBatches(data.train, size, seed=3)
    for step in (rows - 1, 0, rows // 2):
        assert all(torch.equal(a, b) for a, b in zip(ahead[step], again[step], strict=True))
    in_order = torch.cat([batch.ids for batch in ahead])  # size epochs
    whole = sorted(data.train.rows(range(rows)).ids.tolist())
    epochs = [in_order[at * rows : (at + 1) * rows].tolist() for at in range(size)]
    assert all(sorted(epoch) == whole for epoch in epochs) and epochs[0] != epochs[1]
    assert not torch.equal(PackedBatches(data.train, size, seed=4)[0].ids, ahead[0].ids)
    assert batches.epoch_of(rows) == size


def test_fewer_rows_than_a_batch_go_round(tmp_path: Path) -> None:
    data = prepared(tmp_path / "a.jsonl", *many(3), length=128)
    assert PackedBatches(data.train, 8, seed=1)[0].ids.shape == (8, 128)


def test_packing_wastes_little() -> None:
    counts = np.random.default_rng(1).integers(1, 200, 5000)
    order, first = best_fit(counts, 256, seed=1)
    assert sorted(order.tolist()) == list(range(5000))
    in_rows = np.add.reduceat(counts[order], first[:-1])
    assert in_rows.max() <= 256 and in_rows.sum() == counts.sum()
    assert counts.sum() / (256 * (len(first) - 1)) > 0.99
    assert (best_fit(counts, 256, seed=1)[0] == order).all()


def test_another_model_is_advised_only_where_it_is_the_characters(tmp_path: Path) -> None:
    words = tokenizer("byte")
    words.settings["chat_template"] = "{{ raise_exception('Roles must alternate') }}"
    path = write(tmp_path / "a.jsonl", [talk("a", "b"), talk("c", "d")])
    found = recognise([path])
    assert found is not None
    with pytest.raises(NotEnoughText, match="Roles must alternate") as caught:
        prepare_conversations(found, words, length=64, seed=1)
    assert "--tokenizer" not in caught.value.todo and "template" in caught.value.todo
