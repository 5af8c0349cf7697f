"""Fuzzes the readers of texts: the first byte of an input says which suffix the rest has.

python tests/fuzz/fuzz_text.py -max_total_time=1200
"""

# ruff: noqa: E501 (files stand as they are)
from __future__ import annotations

import io
import json
import random
import sys
import zipfile
from pathlib import Path

import atheris

sys.path.insert(0, str(Path(__file__).parents[2]))

with atheris.instrument_imports(include=["homespun.text"]):
    from homespun.text import chats  # noqa: F401
    from homespun.text.blob import memory_blob
    from homespun.text.chats import find
    from homespun.text.formats import (  # noqa: F401
        Request,
        archive,
        book,
        chat,
        columnar,
        dialect,
        documents_of,
        json_values,
        mail,
        marked,
        markup,
        notebook,
        packed,
        page,
        records,
        rich,
        subtitles,
        table,
        texts,
    )
    from homespun.text.marks import messages_in
    from homespun.text.notes import Reading

from tests.fuzz import harness

SUFFIXES = (".txt", ".json", ".jsonl", ".csv", ".tsv", ".html", ".rtf", ".eml", ".mbox", ".srt", ".vtt", ".ass", ".ipynb",
            ".fb2", ".xml", ".fodt", ".docx", ".odt", ".epub", ".zip", ".parquet", ".arrow", "", ".dat", ".mhtml", ".lrc", ".sub")  # fmt: skip
WORDS = [b"\n", b"\r\n", b'"', b",", b";", b"\t", b": ", b" - ", b"[", b"]", b"<", b">", b"</s>", b"<|endoftext|>", b"\0",
         b"\xff\xfe", b"\xe2\x80\x8e", b"1/2/24, 9:05 PM", b"{\\rtf1", b"\\u8217?", b"\\'e9", b"From a@x Mon Jan 1 10:00:00 2024\n",
         b"=?utf-8?b?", b"--> ", b"&#x41;", b"<!ENTITY", b"\\ud800", b"NaN", b"1e999", b"### Human: ", b"[INST]"]  # fmt: skip


def packed_document(parts: dict[str, str]) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive_file:
        for name, content in parts.items():
            archive_file.writestr(name, content)
    return out.getvalue()


def seeds() -> list[bytes]:
    """A sound file of each kind, behind the number of its suffix."""
    telegram = {
        "messages": [
            {"type": "message", "from": "A", "from_id": "1", "text": ["a", {"text": "b"}], "date": "2024-01-02"}
        ]
    }
    word = '<w:document xmlns:w="urn:w"><w:body><w:p><w:r><w:t>One</w:t></w:r></w:p></w:body></w:document>'
    odt = '<o:d xmlns:o="urn:o" xmlns:text="urn:t"><o:body><text:p>One<text:s text:c="2"/></text:p></o:body></o:d>'
    mail_text = b"From: a@x\nContent-Type: multipart/mixed; boundary=b\n\n--b\nContent-Type: text/plain; charset=x\n\nHi\n> no\n--b--\n"
    found: dict[str, list[bytes]] = {
        ".txt": [
            "[1/2/24, 9:05:00\u202fPM] Anna: Hello\n[1/2/24, 9:06:00\u202fPM] Ben: \u200eimage omitted\n".encode(),
            b"[02-Jan-24 10:01 AM] anna\nhi\n\n[02-Jan-24 10:02 AM] ben\nyo\n",
            b"[10:01] <anna> hello\n[10:02] <@ben> hi\n",
            b"One.\n<|endoftext|>\nTwo.\n<|endoftext|>\n",
            "Tűz mellett ült a nő.".encode("cp1250"),
            b"line\n" * 40 + b"\0" * 9,
        ],
        ".json": [json.dumps(telegram).encode(), json.dumps({"a": {"0": 1}, "text": {"0": "One two three"}}).encode()],
        ".jsonl": [b'{"text": "a"}\n{"text": NaN}\n', b'{"text": "<s>[INST] a [/INST] b </s>"}\n'],
        ".csv": [b"id,text\n1,a\n2,\"b\nc\"\n", b"sep=;\nid;text\n1;\"a\n2;b\n"],
        ".tsv": [b"a\tb\n1\t\"x\n"],
        ".html": [b"<html><body><article><p>One <ruby>a<rt>b</rt></ruby></p></article></body></html>",
                  b'<div class="message default clearfix"><div class="body"><div class="from_name">A</div>'
                  b'<div class="text">Hi</div></div></div><p class="chat_page">'],
        ".rtf": [rb"{\rtf1\ansi\ansicpg1252{\fonttbl{\f0 A;}}\f0 Caf\'e9 \u8217?x\par}"],
        ".eml": [mail_text],
        ".mbox": [b"From a@x Mon Jan  1 10:00:00 2024\n" + mail_text + b"\nFrom a@x Mon Jan  1 10:00:00 2024\n" + mail_text],
        ".srt": [b"1\n00:00:01,000 --> 00:00:02,000\n<i>Hi</i>\n"],
        ".vtt": [b"WEBVTT\n\n00:01.000 --> 00:02.000\n<v Anna>Hi\n"],
        ".ass": [b"Dialogue: 0,0:00:01.00,0:00:02.00,D,,0,0,0,,{\\i1}Hi\\Nyou\n"],
        ".lrc": [b"[ar:x]\n[00:12.00]A hen\n"],
        ".sub": [b"{1}{25}A hen|sat\n"],
        ".mhtml": [b"From: x\nContent-Type: text/html\n\n<p>One</p>\n"],
        ".ipynb": [json.dumps({"cells": [{"cell_type": "code", "source": ["a"], "outputs": []}]}).encode()],
        ".fb2": [b"<FictionBook><body><title><p>T</p></title><section><p>a <b>c</b></p><poem><v>x</v></poem></section></body></FictionBook>"],
        ".xml": [b'<smses><sms address="1" type="1" date="1" body="hi"/></smses>'],
        ".fodt": [odt.encode()],
        ".docx": [packed_document({"[Content_Types].xml": "<x/>", "word/document.xml": word})],
        ".odt": [packed_document({"mimetype": "x", "content.xml": odt})],
        ".zip": [packed_document({"users.json": '[{"id": "U1", "name": "a"}]',
                                  "c/2024-01-02.json": '[{"type": "message", "user": "U1", "text": "hi", "ts": "1.0"}]'})],
    }  # fmt: skip
    return [bytes([SUFFIXES.index(suffix)]) + content for suffix, several in found.items() for content in several]


def mutate(data: bytes, dice: random.Random) -> bytes:
    """One to four places changed: something else there, something twice, something gone."""
    content = bytearray(data)
    for _ in range(dice.choice((1, 1, 2, 4))):
        at = dice.randrange(1, len(content) + 1) if len(content) > 1 else 1
        kind = dice.randrange(4)
        if kind == 0:
            content[at:at] = dice.choice(WORDS)
        elif kind == 1:
            end = min(len(content), at + dice.randrange(1, 40))
            content[at:at] = content[at:end] * dice.choice((1, 1, 30))
        elif kind == 2:
            del content[at : at + dice.randrange(1, 20)]
        elif at < len(content):
            content[at] = dice.randrange(256)
    return bytes(content)


def check(folder: Path, data: bytes) -> None:
    """Everything that is read comes again the same; a chat and marks are found without an error of their own."""
    if not data:
        return
    name = f"a{SUFFIXES[data[0] % len(SUFFIXES)]}"
    blob = memory_blob(name, name, data[1:])
    reading = Reading()
    first = []
    for document in documents_of(blob, Request(), reading.tally):
        text = document.read()
        text.encode("utf-8")  # no half characters
        assert "\r" not in text, "line ends"
        first.append(text)
        reading.took(document)
        messages_in(text)
        find.chat_in_text(text, without_stamps=True)
    for line in reading.lines():
        line.encode("utf-8")
    again = [document.read() for document in documents_of(blob, Request(), Reading().tally)]
    assert first == again


def main() -> None:
    harness.run(check, seeds(), mutate=mutate)


if __name__ == "__main__":
    main()
