"""The data doctor finds what is wrong with a text, and leaves healthy texts alone."""

from __future__ import annotations

import random
import re
import unicodedata
from pathlib import Path

import numpy as np
import pytest

from homespun.dataset import near_duplicates, overlap, repeats
from homespun.dataset.doctor import Examination, briefly, examine, too_little
from homespun.dataset.finding import Finding
from homespun.dataset.overlap import leakage
from homespun.dataset.preparation import prepare
from homespun.errors import HomespunError
from homespun.text.corpus import Corpus
from homespun.text.sources import read
from homespun.tokenizer.make import build

RANDOM_WORDS = 4000


def prose(words: int, seed: int = 0) -> str:
    """Sentences of made-up words, each as often as its rank says (Zipf's law), in lines and paragraphs."""
    chance = random.Random(seed)
    letters = "eeeettaaooinnsshrrdlucmfwypvbgkjqxz"
    known = random.Random(99)
    names = ["".join(known.choices(letters, k=known.randint(2, 9))) for _ in range(RANDOM_WORDS)]
    weights = [1 / rank for rank in range(1, RANDOM_WORDS + 1)]
    said, line = [], ""
    for number, word in enumerate(chance.choices(names, weights, k=words)):
        line += word + (". " if number % 9 == 8 else " ")
        if len(line) > 60:
            said.append(line.strip() + ("\n" if chance.random() < 0.2 else ""))
            line = ""
    return "\n".join(said) + "\n"


BOOK = prose(40_000)  # about 230,000 characters


def corpus_of(folder: Path, content: str | dict[str, str]) -> Corpus:
    """A corpus of one text, or of several by name."""
    if isinstance(content, str):
        content = {"book.txt": content}
        where = folder / "book.txt"
    else:
        where = folder
    for name, text in content.items():
        (folder / name).write_text(text, encoding="utf-8")
    return read(where)


def examined(folder: Path, content: str | dict[str, str], **options: object) -> Examination:
    return examine(corpus_of(folder, content), **options)  # type: ignore[arg-type]


def kinds(examination: Examination) -> list[str]:
    return [finding.kind for finding in examination.findings]


def only(examination: Examination) -> Finding:
    assert len(examination.findings) == 1, examination.findings
    finding = examination.findings[0]
    assert finding.what.endswith(".") and finding.todo
    return finding


# --- healthy texts ---------------------------------------------------------------------------------------


def test_a_healthy_book_has_nothing(tmp_path: Path) -> None:
    found = examined(tmp_path, BOOK)
    assert found.findings == () and found.sampled == "" and briefly(found) == []
    assert (found.documents, found.characters, found.alphabet_size) == (1, len(BOOK), len(set(BOOK)))


def test_healthy_documents_have_nothing(tmp_path: Path) -> None:
    assert examined(tmp_path, {f"{n}.txt": prose(2000, seed=n) for n in range(30)}).findings == ()


def test_tiny_shakespeare_has_nothing(shakespeare_path: Path) -> None:
    assert examine(read(shakespeare_path)).findings == ()


def test_the_python_library_has_only_copies_that_are_really_there() -> None:
    found = examine(read("python")).findings
    assert {finding.kind for finding in found} <= {"near-duplicates", "leakage"}
    assert all(finding.severity == "note" for finding in found)


@pytest.mark.parametrize(
    "passage",
    [
        "NÃO, SÃO, IRMÃO, MÃE: as manhãs e as irmãs são nossas.",  # Ã that is an Ã
        "« CAFÉ » — “LE CAFÉ”, dit-il… l’été, à Noël, ça et là: où ? « L’ÎLE »",
        "В СССР» — «РЁМЕР», съешь же ещё этих мягких французских булок, да выпей чаю.",
        "Grüße aus der Straße, „ÄÖÜ“ – MENÜ– und so weiter.",
        "東京は日本の首都です。吾輩は猫である。名前はまだ無い。",
        "שלום עולם\u200f, זה טקסט בעברית.",
        "این یک متن فارسی است که می\u200cنویسم.",
        "10 μm, 5 kΩ, α-helix, Δt = 3 s, ∂f/∂x",
        "हिन्दी में लिखा हुआ एक छोटा वाक्य, क्\u200dष।",
    ],
)
def test_text_in_any_language_is_not_damaged(tmp_path: Path, passage: str) -> None:
    lines = BOOK.splitlines()[:3000]
    several = "\n".join(f"{line}\n{passage}" if n % 250 == 0 else line for n, line in enumerate(lines))
    assert examined(tmp_path, several).findings == ()


# --- encoding damage -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "codec, original, shown",
    [
        ("cp1252", "l’été", ("â€™", "’", "Windows-1252")),
        ("latin-1", "naïve", ("Ã¯", "ï", "Windows-1252")),
        ("cp1251", "привет", ("РїСЂРёРІРµС‚", "привет", "Windows-1251")),
        ("cp1252", "привет", ("Ð¿Ñ€Ð¸Ð²ÐµÑ‚", "привет", "Windows-1252")),
        ("cp1252", "😀", ("ðŸ˜€", "😀", "Windows-1252")),
    ],
)
def test_mojibake_is_found_and_what_it_was(
    tmp_path: Path, codec: str, original: str, shown: tuple[str, ...]
) -> None:
    damaged = original.encode().decode(codec)
    text = BOOK[:100_000] + "\n" + f"{damaged} and so on\n" * 4 + BOOK[100_000:]
    finding = only(examined(tmp_path, text))
    assert finding.kind == "encoding damage" and finding.severity in ("note", "warn")
    for words in (*shown, f"book.txt, line {BOOK[:100_000].count(chr(10)) + 2:,}", "ftfy"):
        assert words in finding.what + finding.todo


def test_text_that_went_wrong_twice_is_told_so(tmp_path: Path) -> None:
    french = BOOK.replace("e ", "é ")
    twice = french.encode().decode("latin-1").encode().decode("latin-1")
    finding = only(examined(tmp_path, twice))
    assert finding.severity == "warn" and "twice over" in finding.what and "stands for é" in finding.what


@pytest.mark.parametrize("often, severity", [(1, "note"), (100, "warn"), (5000, "stop")])
def test_lost_characters_are_counted(tmp_path: Path, often: int, severity: str) -> None:
    finding = only(examined(tmp_path, BOOK.replace("e", "\ufffd", often)))
    assert finding.severity == severity and f"{often:,} character" in finding.what and "line 1" in finding.what


def test_control_codes_are_found(tmp_path: Path) -> None:
    latin = only(examined(tmp_path, BOOK.replace("i", "\x92", 50)))
    assert "U+0092 stands for ’" in latin.what
    bell = only(examined(tmp_path, BOOK + "\x07"))
    assert "U+0007" in bell.what and "tr -d" in bell.todo
    colours = only(examined(tmp_path, BOOK.replace("\n", "\x1b[0m\n")))
    assert "terminal" in colours.what and colours.severity == "warn"
    assert examined(tmp_path, BOOK.replace("\n\n", "\n\f\n")).findings == ()


def test_html_codes_are_found_where_there_are_many(tmp_path: Path) -> None:
    finding = only(examined(tmp_path, BOOK.replace(". ", " &amp; ", 300)))
    assert "300 HTML codes such as &amp;" in finding.what and "html.unescape" in finding.todo
    assert examined(tmp_path, BOOK + "In HTML, & is written &amp; and a space &nbsp;\n").findings == ()


def test_words_parted_at_line_ends_are_found(tmp_path: Path) -> None:
    lines = BOOK.splitlines()
    scanned = "\n".join(f"{line}n-" if n % 10 == 0 else line for n, line in enumerate(lines))
    assert "end within a word" in only(examined(tmp_path, scanned)).what
    dashes = "\n".join(f"{line} --" if n % 10 == 0 else line for n, line in enumerate(lines))
    assert examined(tmp_path, dashes).findings == ()


# --- the alphabet ----------------------------------------------------------------------------------------


def test_letters_that_look_alike_are_found(tmp_path: Path) -> None:
    finding = only(examined(tmp_path, BOOK + "thе king, thе king, thе king\n"))
    assert "thе" in finding.what and "CYRILLIC SMALL LETTER IE" in finding.what
    russian = only(examined(tmp_path, BOOK + "мягкиx, мягкиx, мягкиx\n"))
    assert "its x (" in russian.what


def test_letters_in_two_characters_are_found(tmp_path: Path) -> None:
    composed = BOOK.replace("e ", "é ")
    mixed = unicodedata.normalize("NFD", composed[:100_000]) + composed[100_000:]
    finding = only(examined(tmp_path, mixed))
    assert finding.severity == "warn" and "elsewhere it is one" in finding.what and "NFC" in finding.todo
    whole = only(examined(tmp_path, unicodedata.normalize("NFD", composed)))
    assert whole.severity == "note" and "keyboards write one" in whole.what
    assert examined(tmp_path, composed).findings == ()


def test_what_cannot_be_seen_is_named(tmp_path: Path) -> None:
    finding = only(
        examined(tmp_path, BOOK.replace("ing", "in\u200bg").replace("th", "t\u00adh") + "\u200b\u00ad" * 3)
    )
    assert "zero-width spaces" in finding.what and "soft hyphens" in finding.what


def test_no_break_spaces_are_found_between_words_only(tmp_path: Path) -> None:
    web = "\n".join(line.replace(" ", "\u00a0", 1) for line in BOOK.splitlines())
    assert "no-break" in only(examined(tmp_path, web)).what
    assert examined(tmp_path, BOOK.replace(". ", "\u00a0! ")).findings == ()


def test_two_kinds_of_quotation_marks_are_found(tmp_path: Path) -> None:
    both = BOOK[:100_000].replace("e ", "e' ") + BOOK[100_000:].replace("e ", "e’ ")
    assert "quotation marks" in only(examined(tmp_path, both)).what
    assert examined(tmp_path, BOOK.replace("e ", "e’ ") + " 'cited'\n").findings == ()


def test_rare_characters_matter_where_each_is_a_token(tmp_path: Path) -> None:
    rare = BOOK + "".join(map(chr, range(0x4E00, 0x4E00 + 40))) + "\n"
    assert "40 of" in only(examined(tmp_path, rare)).what
    assert examined(tmp_path, rare, tokenizer="bpe:500").findings == ()
    assert examined(tmp_path, rare, tokenizer="byte").findings == ()


def test_padding_is_one_character_and_no_repetition(tmp_path: Path) -> None:
    finding = only(examined(tmp_path, "\n".join(line.ljust(200) for line in BOOK.splitlines())))
    assert finding.severity == "warn" and "one character, the space" in finding.what


def test_mixed_indentation_and_missing_lines_are_found(tmp_path: Path) -> None:
    lines = BOOK.splitlines()
    mixed = "\n".join(f"{'    ' if n % 3 else chr(9)}{line}" for n, line in enumerate(lines))
    assert "tabs" in only(examined(tmp_path, mixed)).what
    assert examined(tmp_path, "\n".join(f"\t{line}" for line in lines)).findings == ()
    assert "hardly any line ends" in only(examined(tmp_path, " ".join(lines))).what


# --- what is there more than once ------------------------------------------------------------------------


def documents(count: int) -> dict[str, str]:
    return {f"{n:03}.txt": prose(1000, seed=n) for n in range(count)}


def test_equal_documents_are_found(tmp_path: Path) -> None:
    several = documents(30)
    several |= {f"copy-{n}.txt": several[f"{n:03}.txt"] for n in range(3)}
    finding = only(examined(tmp_path, several))
    assert finding.kind == "duplicates" and finding.what.startswith("3 documents are the same as another")
    assert "copy-" in finding.what


def test_nearly_equal_documents_are_found(tmp_path: Path) -> None:
    several = documents(30)
    words = several["007.txt"].split(" ")
    words[50::100] = ["otherwise"] * len(words[50::100])
    several["edition.txt"] = " ".join(words)
    finding = only(examined(tmp_path, several))
    assert finding.kind == "near-duplicates" and finding.what.startswith("1 document is nearly the same")
    assert "007.txt" in finding.what and "edition.txt" in finding.what


def test_documents_that_share_a_quarter_are_not_nearly_equal(tmp_path: Path) -> None:
    several = documents(30)
    for n in range(1, 4):
        several[f"{n:03}.txt"] = several["000.txt"][:1500] + several[f"{n:03}.txt"][1500:]
    assert "near-duplicates" not in kinds(examined(tmp_path, several))


def test_nearly_equal_documents_are_found_among_too_many_to_keep(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    several = documents(60)
    several |= {f"edition-{n}.txt": several[f"{n:03}.txt"].replace(".", ".", 1) + "The end.\n" for n in range(40)}
    monkeypatch.setattr(near_duplicates, "MOST_DOCUMENTS", 50)
    found = examined(tmp_path, several)
    assert "one document in 2" in found.sampled
    finding = next(finding for finding in found.findings if finding.kind == "near-duplicates")
    assert finding.what.startswith("about ") and 20 <= int(finding.what.split()[1]) <= 64


def test_a_line_that_is_the_whole_text_is_no_more_than_all_of_it(tmp_path: Path) -> None:
    text = "Müller fährt über die Brücke und kauft süße Äpfel.\n" * 300
    found = examined(tmp_path, {"book.txt": text}).findings
    (finding,) = (one for one in found if one.kind == "boilerplate")
    share = re.search(r"([\d.]+)% of the text", finding.what)
    assert share is not None and 90 < float(share[1]) <= 100


def test_a_line_in_many_documents_is_boilerplate(tmp_path: Path) -> None:
    banner = "Accept all cookies to go on reading page {}, or choose.\n"
    several = {name: banner.format(n) + text for n, (name, text) in enumerate(documents(30).items())}
    finding = only(examined(tmp_path, several))
    assert finding.kind == "boilerplate" and "page #" in finding.what


def test_the_heads_of_pages_are_boilerplate(tmp_path: Path) -> None:
    lines = BOOK.splitlines()
    for n in range(0, len(lines), 30):
        lines[n] += f"\nPage {n // 30 + 100} of 900, the collected works of somebody"
    finding = only(examined(tmp_path, "\n".join(lines)))
    assert finding.kind == "boilerplate" and "Page ### of ###" in finding.what


def test_memory_for_lines_is_bounded_and_what_is_frequent_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(repeats, "MOST_LINES", 500)
    lines = repeats.Lines(1)
    for n in range(2000):
        lines.look_at(f"line of its own, number {'abcdefghij'[n % 10]} {n:x} and more\n".encode(), 0)
        if n % 4 == 0:
            lines.look_at(b"the head of every page, again and again and again\n", 0)
        assert len(lines.counts) <= 501
    assert lines.counts[b"the head of every page, again and again and again"] == 500


def test_project_gutenberg_is_recognised(tmp_path: Path) -> None:
    frame = "*** {} OF THE PROJECT GUTENBERG EBOOK A BOOK ***\n"
    finding = only(examined(tmp_path, frame.format("START") + BOOK + frame.format("END")))
    assert finding.kind == "boilerplate" and "line 1)" in finding.what and "sed" in finding.todo


def test_a_chapter_that_comes_twice_is_repeated_and_leaks(tmp_path: Path) -> None:
    found = examined(tmp_path, BOOK + BOOK[50_000:130_000])
    assert kinds(found) == ["leakage", "repeated passages"]
    assert found.findings[0].what.startswith("100% of the validation text")
    again = found.findings[1].what
    assert int(again.split("%")[0]) == pytest.approx(26, abs=4) and "twice" in again


def test_estimates_from_some_of_the_passages_are_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(repeats, "MOST_PASSAGES", 3000)
    found = examined(tmp_path, BOOK + BOOK[50_000:130_000])
    assert kinds(found) == ["leakage", "repeated passages"] and "one passage in 4" in found.sampled
    assert any(f"{share}%" in found.findings[1].what for share in range(20, 32))


@pytest.mark.parametrize("spec", ["char", "bpe:400"])
def test_leakage_in_ids_agrees_with_leakage_in_text(tmp_path: Path, spec: str) -> None:
    tenth = len(BOOK) // 10
    leaky = BOOK + BOOK[: tenth // 3] + prose(3000, seed=5)[: tenth - tenth // 3]  # a third of the last tenth
    for content, known in ((BOOK, None), (leaky, 0.3)):
        corpus = corpus_of(tmp_path, content)
        survey = corpus.survey()
        pieces = [content]
        tokenizer = build(spec, alphabet=survey.alphabet, documents=1, pieces=lambda pieces=pieces: iter(pieces))
        found = leakage(prepare(corpus, tokenizer))
        if known is None:
            assert found is None
            continue
        assert found is not None and found.severity == "warn"
        assert int(found.what.split("%")[0]) / 100 == pytest.approx(known, abs=0.06)
        in_text = next(finding for finding in examine(corpus).findings if finding.kind == "leakage")
        assert int(in_text.what.split("%")[0]) / 100 == pytest.approx(known, abs=0.06)


@pytest.mark.parametrize("length, letters", [(14, 3), (13, 2), (50, 1)])
def test_windows_in_both_splits_are_counted_as_the_plain_way_counts_them(length: int, letters: int) -> None:
    chance = np.random.default_rng(length)
    train = chance.integers(0, letters, overlap.BLOCK + 3000).astype(np.uint16)
    val = np.concatenate([chance.integers(0, 3, 500), train[overlap.BLOCK - 100 : overlap.BLOCK + 100]]).astype(
        np.uint16
    )
    known = {train[i : i + length].tobytes() for i in range(len(train) - length + 1)}
    plain = [val[i : i + length].tobytes() in known for i in range(len(val) - length + 1)]
    assert 0 < sum(plain) < len(plain)
    assert overlap.shared(train, val, length) == pytest.approx(sum(plain) / len(plain))


# --- how much there is -----------------------------------------------------------------------------------


def test_a_text_with_nothing_to_learn_is_a_stop(tmp_path: Path) -> None:
    finding = only(examined(tmp_path, "a" * 500))
    assert finding.severity == "stop" and "one character" in finding.what


def test_a_short_text_is_told_what_to_expect(tmp_path: Path) -> None:
    assert only(examined(tmp_path, BOOK[:3000])).severity == "warn"
    assert only(examined(tmp_path, BOOK[:50_000])).severity == "note"


def test_a_text_that_is_read_too_often_is_told() -> None:
    assert too_little(1_000_000, epochs=32) is None
    often = too_little(1_000_000, epochs=60)
    assert often is not None and often.severity == "note" and "60 times" in often.what
    too_often = too_little(1_000_000, epochs=300)
    assert too_often is not None and too_often.severity == "warn"


def test_the_gravest_comes_first_and_a_few_lines_say_it(tmp_path: Path) -> None:
    found = examined(tmp_path, BOOK[:60_000].replace("e", "\ufffd", 1500) + "\x07" + "thе " * 4)
    assert found.findings[0].severity == "stop"
    ranks = [("stop", "warn", "note").index(finding.severity) for finding in found.findings]
    assert ranks == sorted(ranks) and len(ranks) == 4
    lines = briefly(found, most=2)
    assert len(lines) == 3 and lines[0].startswith("encoding damage: 1,500") and lines[2].startswith("2 more")


def test_an_empty_text_is_refused(tmp_path: Path) -> None:
    with pytest.raises(HomespunError):
        examined(tmp_path, " \n")


def test_a_text_is_examined_alike_however_it_is_cut(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from homespun.text import document

    several = documents(20)
    several["long.txt"] = BOOK + "thе king\n" * 3 + BOOK[20_000:90_000]
    whole = examined(tmp_path, several)
    monkeypatch.setattr(document, "PIECE", 20_000)
    monkeypatch.setattr(document, "_REACH", 2_000)
    cut = examined(tmp_path, several)
    assert kinds(whole) == kinds(cut) and len(kinds(whole)) >= 2
    alphabet = [next(f for f in found.findings if f.kind == "alphabet") for found in (whole, cut)]
    assert alphabet[0] == alphabet[1]
