"""Mail, rich text, word processors, books, subtitles, notebooks, pages: what somebody reads of them."""

# ruff: noqa: E501 (exports and texts stand as they are)
from __future__ import annotations

import json
from email.message import EmailMessage
from pathlib import Path

import pytest

from homespun.errors import TextUnreadable
from homespun.text.formats.mail import own_words
from homespun.text.sources import read
from tests.text.conftest import epub_members, notes_of, only_text, texts, write_zip

pytest.importorskip("lxml")


def letter(body: str, subtype: str = "plain", charset: str = "utf-8") -> EmailMessage:
    message = EmailMessage()
    message["From"], message["To"], message["Subject"] = "Anna <a@x.org>", "b@x.org", "Grüße"
    message.set_content(body, subtype=subtype, charset=charset)
    return message


REPLY = "Ja, morgen früh.\n\nAm 01.02.2024 um 10:00 schrieb Ben <b@x.org>:\n> Wann?\n> Morgen?\n\n-- \nAnna\n"


def test_a_mail_is_what_its_writer_wrote(tmp_path: Path) -> None:
    message = letter(REPLY, charset="iso-8859-1")
    message.add_alternative("<p>Ja, <b>morgen</b></p>", subtype="html")
    message.add_attachment(b"\x89PNG", maintype="image", subtype="png", filename="x.png")
    (tmp_path / "a.eml").write_bytes(bytes(message))
    assert only_text(tmp_path / "a.eml") == "Ja, morgen früh.\n"
    assert "headers, quoted replies and attachments are left out" in notes_of(tmp_path / "a.eml")
    page = letter(
        '<p>Nur HTML.</p><div class="gmail_quote">On Monday, Ben wrote:<blockquote>alt</blockquote></div>', "html"
    )
    (tmp_path / "b.eml").write_bytes(bytes(page))
    assert only_text(tmp_path / "b.eml") == "Nur HTML.\n"
    russian = b"From: x@y\r\nContent-Type: text/plain; charset=windows-1251\r\n\r\n" + "Привет, как дела?".encode(
        "cp1251"
    )
    (tmp_path / "c.eml").write_bytes(russian)
    assert only_text(tmp_path / "c.eml") == "Привет, как дела?\n"


@pytest.mark.parametrize("name", ["a.mbox", "Inbox", "2024-January.txt"])
def test_a_mailbox_is_a_document_a_mail_whatever_its_name(tmp_path: Path, name: str) -> None:
    first, second = bytes(letter(REPLY)), bytes(letter("From here on it rains.\n"))
    box = b"".join(
        b"From a@x.org Mon Jan  1 10:00:00 2024\n" + mail.replace(b"\nFrom here", b"\n>From here") + b"\n"
        for mail in (first, second)
    )
    (tmp_path / name).write_bytes(box)
    assert list(texts(read(tmp_path / name)).values()) == ["Ja, morgen früh.\n", "From here on it rains.\n"]


@pytest.mark.parametrize(
    "quoted",
    [
        "On Mon, Jan 1, 2024 at 10:00 AM Ben <b@x.org> wrote:\n\n> When?\n> And where?\n",
        "On Mon, Jan 1, 2024 at 10:00 AM Ben\n<b@x.org> wrote:\n> When?\n",
        "Le lun. 1 janv. 2024 à 10:00, Ben <b@x.org> a écrit :\n> Quand ?\n",
        "-----Original Message-----\nFrom: Ben\nSent: Monday\nTo: Anna\n\nWhen?\n",
        "-- \nAnna\nSomewhere 5\n",
    ],
)
def test_quotations_and_signatures_are_no_words_of_the_writer(quoted: str) -> None:
    assert own_words(f"Yes.\n\n{quoted}") == "Yes.\n"


def test_a_file_called_mail_that_is_none_says_so(tmp_path: Path) -> None:
    (tmp_path / "a.eml").write_text("Just a text.\n")
    with pytest.raises(TextUnreadable, match="is no mail"):
        read(tmp_path / "a.eml").survey()


RTF = {
    r"{\rtf1\ansi\ansicpg1252\deff0{\fonttbl{\f0\fnil\fcharset0 Calibri;}}\pard\sa200 Caf\'e9 {\b and} \u8217?more\par}": "Café and ’more\n",
    r"{\rtf1\ansi\ansicpg1251{\fonttbl{\f0\fnil\fcharset204 Arial;}}\f0 \'cf\'f0\'e8\par}": "При\n",
    r"{\rtf1\ansi {\field{\*\fldinst{HYPERLINK " '"http://x"' r"}}{\fldrslt{link}}} after{\pict\pngblip 89504e47}\par}": "link after\n",
    r"{\rtf1\ansi\uc1 \u-10179?\u-8704? smile\line next\par}": "😀 smile\nnext\n",
}  # fmt: skip


@pytest.mark.parametrize("name", ["a.rtf", "a.doc", "a.txt"])
def test_rich_text_is_read_whatever_its_name(tmp_path: Path, name: str) -> None:
    pytest.importorskip("striprtf")
    for content, expected in RTF.items():
        (tmp_path / name).write_text(content)
        assert only_text(tmp_path / name) == expected
    (tmp_path / "b.rtf").write_text("No rich text at all.\n")
    assert only_text(tmp_path / "b.rtf") == "No rich text at all.\n"


WORD = """<?xml version="1.0"?><w:document xmlns:w="urn:w" xmlns:mc="urn:mc"><w:body>
<w:p><w:r><w:t>Title</w:t></w:r></w:p>
<w:p><w:r><w:t xml:space="preserve">One </w:t></w:r><w:del><w:r><w:delText>gone</w:delText></w:r></w:del>
<w:ins><w:r><w:t>two</w:t></w:r></w:ins><w:r><w:tab/><w:t>three</w:t><w:br/><w:t>four</w:t></w:r></w:p>
<w:p><w:r><mc:AlternateContent><mc:Choice><w:drawing><w:txbxContent><w:p><w:r><w:t>box</w:t></w:r></w:p></w:txbxContent>
</w:drawing></mc:Choice><mc:Fallback><w:p><w:r><w:t>box</w:t></w:r></w:p></mc:Fallback></mc:AlternateContent></w:r>
<w:r><w:t>around</w:t></w:r></w:p>
<w:p><w:r><w:instrText>HYPERLINK</w:instrText></w:r><w:hyperlink><w:r><w:t>link</w:t></w:r></w:hyperlink></w:p></w:body></w:document>"""
NOTES = (
    '<w:footnotes xmlns:w="urn:w"><w:footnote><w:p><w:r><w:t>A note.</w:t></w:r></w:p></w:footnote></w:footnotes>'
)


@pytest.mark.parametrize("name", ["a.docx", "a.zip", "a"])
def test_a_word_document_is_its_paragraphs_whatever_its_name(tmp_path: Path, name: str) -> None:
    parts = {
        "[Content_Types].xml": b"<x/>",
        "word/document.xml": WORD.encode(),
        "word/footnotes.xml": NOTES.encode(),
    }
    path = write_zip(tmp_path / name, parts)
    assert only_text(path) == "Title\nOne two\tthree\nfour\naround\nbox\nlink\n\nA note.\n"


def test_a_document_that_is_none_says_so(tmp_path: Path) -> None:
    with pytest.raises(TextUnreadable, match=r"is not a Word document: word/document\.xml is not in it"):
        read(write_zip(tmp_path / "a.docx", {"x": b"y"})).survey()
    with pytest.raises(TextUnreadable, match="damaged"):
        read(write_zip(tmp_path / "b.odt", {"content.xml": b"\0\0", "mimetype": b"x"})).survey()


ODT = """<?xml version="1.0"?><o:document-content xmlns:o="urn:o" xmlns:text="urn:t"><o:body><o:text>
<text:tracked-changes><text:p>gone</text:p></text:tracked-changes><text:h>Title</text:h>
<text:p>One <text:span>two</text:span> three<text:s text:c="2"/>four<text:line-break/>five<text:note>
<text:note-citation>1</text:note-citation><text:note-body><text:p>A note.</text:p></text:note-body></text:note> end</text:p>
<text:p>last<o:annotation><text:p>comment</text:p></o:annotation>!</text:p></o:text></o:body></o:document-content>"""


def test_an_opendocument_text_is_its_paragraphs(tmp_path: Path) -> None:
    expected = "Title\nOne two three  four\nfive end\nA note.\nlast!\n"
    assert only_text(write_zip(tmp_path / "a.odt", {"mimetype": b"x", "content.xml": ODT.encode()})) == expected
    (tmp_path / "a.fodt").write_text(ODT)
    assert only_text(tmp_path / "a.fodt") == expected


FB2 = """<?xml version="1.0" encoding="{0}"?><FictionBook xmlns="urn:f" xmlns:l="x"><description><b>T</b></description><body>
<title><p>Книга</p><p>Author</p></title><section><title><p>One</p></title><p>First <emphasis>very</emphasis> good<a l:href="#n1"
type="note">[1]</a>, yes.</p><poem><stanza><v>Line a</v><v>Line b</v></stanza></poem><p>Last</p></section></body>
<binary id="c">AAAA</binary></FictionBook>"""


@pytest.mark.parametrize(("name", "encoding"), [("a.fb2", "utf-8"), ("b.fb2", "windows-1251"), ("c.xml", "utf-8")])
def test_an_fb2_book_is_its_paragraphs_in_its_own_encoding(tmp_path: Path, name: str, encoding: str) -> None:
    (tmp_path / name).write_bytes(FB2.format(encoding).encode(encoding))
    assert (
        only_text(tmp_path / name) == "Книга\nAuthor\n\nOne\n\nFirst very good, yes.\n\nLine a\nLine b\n\nLast\n"
    )


SUBTITLES = {
    "a.srt": "1\r\n00:00:01,000 --> 00:00:02,500\r\n<i>Who</i> {\\an8}is\r\nthere?\r\n\r\n2\r\n00:00:03,000 --> 00:00:04,000\r\n- Me.\r\n- You?\r\n\r\n3\r\n00:00:07,000 --> 00:00:08,000\r\n1984\r\n",
    "a.vtt": "WEBVTT\nKind: captions\n\nNOTE a\nb\n\nSTYLE\n::cue { color: red }\n\n00:01.000 --> 00:02.000 align:start\nWho is <c.red>there?</c>\n\n00:03.000 --> 00:04.000\n- Me.\n- You?\n\n00:05.000 --> 00:06.000\n<00:05.500>1984\n",
    "a.ass": "[Events]\nDialogue: 0,0:00:01.00,0:00:02.00,Default,,0,0,0,,{\\i1}Who is\\Nthere?\nDialogue: 0,0:00:01.00,0:00:02.00,D,,0,0,0,,- Me.\nDialogue: 0,0:00:01.00,0:00:02.00,D,,0,0,0,,- You?\nDialogue: 0,0:00:01.00,0:00:02.00,D,,0,0,0,,1984\n",
}  # fmt: skip


@pytest.mark.parametrize("name", SUBTITLES)
def test_subtitles_are_what_is_said(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text(SUBTITLES[name], newline="")
    assert only_text(tmp_path / name) == "Who is there?\n- Me.\n- You?\n1984\n"


def test_captions_that_roll_up_are_said_once_and_voices_have_names(tmp_path: Path) -> None:
    (tmp_path / "a.vtt").write_text(
        "WEBVTT\n\n00:00.000 --> 00:02.000\n \nhello<00:00.500><c> world</c>\n\n00:02.000 --> 00:02.010\nhello world\n \n\n"
        "00:02.010 --> 00:04.000\nhello world\nthis<00:03.000><c> is</c>\n\n00:05.000 --> 00:06.000\n<v Anna>it &amp; more</v>\n"
    )
    assert only_text(tmp_path / "a.vtt") == "hello world\nthis is\nAnna: it & more\n"


def test_a_notebook_is_its_cells_without_outputs(tmp_path: Path) -> None:
    picture = [{"data": {"image/png": "AAAA" * 100}}]
    cells = [
        {"cell_type": "markdown", "source": ["# Hens\n", "They sit."]},
        {"cell_type": "code", "source": "plot(1)", "outputs": picture},
    ]
    for content in ({"cells": cells, "nbformat": 4}, {"worksheets": [{"cells": cells}], "nbformat": 3}):
        (tmp_path / "a.ipynb").write_text(json.dumps(content))
        assert only_text(tmp_path / "a.ipynb") == "# Hens\nThey sit.\n\nplot(1)\n"
    for name in ("a.py", "b.py"):
        (tmp_path / name).write_text("x = 1\n")
    assert next(iter(texts(read(tmp_path)).values())) == "# a.ipynb\n# Hens\nThey sit.\n\nplot(1)\n"


PAGE = """<html><body><header>Site</header><nav>Menu</nav><form id="aspnetForm"><input name="x"><label>Find</label><article>
<header><h1>Head</h1></header><p>Text <ruby>漢<rp>(</rp><rt>kan</rt><rp>)</rp></ruby>字</p><p hidden>no</p>
<aside class="related-links">Rel</aside><aside><p>A note</p></aside><footer class="share">Share</footer></article></form>
<aside>Ad</aside><footer>Foot</footer></body></html>"""


def test_of_a_page_the_article_is_read_and_not_the_site_around_it(tmp_path: Path) -> None:
    (tmp_path / "a.html").write_text(PAGE)
    assert only_text(tmp_path / "a.html") == "Head\n\nText 漢字\n\nA note\n"


def test_a_book_is_read_with_its_headers_and_asides_and_without_marks_of_notes(tmp_path: Path) -> None:
    members = epub_members()
    members["OEBPS/a.xhtml"] = (
        b'<html xmlns:epub="urn:e"><body><header><h1>One</h1></header><p>Text<a epub:type="noteref" href="#n">1</a> on'
        b'<span epub:type="pagebreak">12</span>.</p><aside epub:type="footnote"><p>A note.</p></aside><footer>End</footer>'
        b"</body></html>"
    )
    path = write_zip(tmp_path / "a.epub", members)
    assert only_text(path) == "First\n\nOne line.\n\nOne\n\nText on.\n\nA note.\n\nEnd\n"


@pytest.mark.parametrize("name", ["train.jsonl", "book.txt", "a.parquet"])
def test_a_git_lfs_pointer_is_named_as_such(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text("version https://git-lfs.github.com/spec/v1\noid sha256:abc\nsize 1\n")
    with pytest.raises(TextUnreadable, match=r"is a Git LFS pointer.*\n.*git lfs pull"):
        read(tmp_path / name).survey()
    (tmp_path / "other.txt").write_text("A hen.\n")
    assert list(texts(read(tmp_path)).values()) == ["A hen.\n"]
    assert "1 Git LFS pointer skipped" in notes_of(tmp_path)


def test_a_maildir_is_mails_and_a_text_that_begins_like_one_is_not(tmp_path: Path) -> None:
    for number, name in enumerate(("1704.M1P2.host", "1705.M1P3.host:2,S")):
        path = tmp_path / "mail" / "cur" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"Return-Path: <a@x>\nReceived: by x\nFrom: a@x\n\n" + f"Letter {number}.\n".encode())
    assert list(texts(read(tmp_path / "mail")).values()) == ["Letter 0.\n", "Letter 1.\n"]
    (tmp_path / "play.txt").write_text("From: Anna\nTo: Ben\n\nHello.\n")
    assert only_text(tmp_path / "play.txt").startswith("From: Anna\n")


def test_a_page_saved_as_one_file_is_its_page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    page = EmailMessage()
    page["From"] = "<Saved by Blink>"
    page.set_content("<html><body><p>One – two.</p></body></html>", subtype="html")
    page.add_attachment(b"\x89PNG", maintype="image", subtype="png", filename="x.png")
    (tmp_path / "a.mhtml").write_bytes(bytes(page))
    assert only_text(tmp_path / "a.mhtml") == "One – two.\n"
    monkeypatch.setattr("homespun.text.formats.mail.MAX_MESSAGE", len(bytes(page)) - 1)
    with pytest.raises(TextUnreadable, match="is a saved page of more than"):  # and not its beginning alone
        only_text(tmp_path / "a.mhtml")


def test_lyrics_and_frames_are_what_is_sung_and_said(tmp_path: Path) -> None:
    (tmp_path / "a.lrc").write_text("[ar:Anna]\n[00:12.00]A hen\n[00:17.20][00:40.10]sat <00:18.00>down\n")
    (tmp_path / "b.sub").write_text("{1}{25}A hen\n{30}{60}{y:i}sat|down\n")
    assert only_text(tmp_path / "a.lrc") == only_text(tmp_path / "b.sub") == "A hen\nsat down\n"


def test_chapters_are_read_in_the_encoding_that_they_name(tmp_path: Path) -> None:
    members = epub_members()
    page = '<?xml version="1.0" encoding="windows-1251"?><html><body><p>Жил-был</p></body></html>'
    members["OEBPS/a.xhtml"] = page.encode("cp1251")
    path = write_zip(tmp_path / "a.epub", members)
    assert only_text(path) == "First\n\nOne line.\n\nЖил-был\n" and notes_of(path) == ""
