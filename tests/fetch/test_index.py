"""Packages from an index on this computer; pip's settings, as pip itself reads them."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from importlib.metadata import distributions
from pathlib import Path

import pytest

from homespun.errors import DownloadFailed
from homespun.fetch.index import pip_settings
from homespun.fetch.package import archive_member, package_archive
from homespun.fetch.progress import downloads_reported
from tests.fetch.test_fetch import make_sdist
from tests.web import Handler

# Read from the metadata: to ask the import system for pip makes setuptools refuse to be imported in this process.
INSTALLED = {found.metadata["Name"] for found in distributions()}


@pytest.fixture
def no_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    """A pip that nobody has set."""
    for variable in list(os.environ):
        if variable.startswith("PIP_"):
            monkeypatch.delenv(variable)
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)


@pytest.fixture
def sha256(server: str, tmp_path: Path, no_settings: None, monkeypatch: pytest.MonkeyPatch) -> str:
    """Of a package that pip's index has, which is on this computer."""
    digest = make_sdist(tmp_path)
    monkeypatch.setattr(Handler, "package", (tmp_path / "plays-1.0.tar.gz").read_bytes(), raising=False)
    monkeypatch.setattr(Handler, "packages", "package", raising=False)
    monkeypatch.setenv("PIP_INDEX_URL", f"{server}/simple")
    return digest


def left_behind(own_cache: Path) -> list[str]:
    return sorted(path.name for path in (own_cache / "packages").iterdir())


@pytest.mark.parametrize("sent", ["package", "unsized_package"])
def test_a_package_comes_from_the_index_that_pip_is_set_to_and_nothing_in_it_is_run(
    sha256: str, own_cache: Path, monkeypatch: pytest.MonkeyPatch, sent: str
) -> None:
    monkeypatch.setattr(Handler, "packages", sent)
    heard: list[tuple[str, int, int]] = []
    with downloads_reported(lambda *facts: heard.append(facts)):
        archive = package_archive("plays", "1.0", sha256=sha256)
    assert archive_member(archive, "data/a.txt") == b"ay"  # its setup.py would have ended this process
    assert left_behind(own_cache) == [f"{sha256[:16]}-plays-1.0.tar.gz"]
    assert heard[-1] == ("plays-1.0.tar.gz", len(Handler.package), len(Handler.package))


@pytest.mark.parametrize("sent", ["package", "unsized_package"])
def test_a_package_that_is_too_large_is_given_up(
    sha256: str, own_cache: Path, monkeypatch: pytest.MonkeyPatch, sent: str
) -> None:
    monkeypatch.setattr(Handler, "packages", sent)
    monkeypatch.setattr("homespun.fetch.index.MAX_ARCHIVE", 100)
    with pytest.raises(DownloadFailed, match="larger than 100 bytes"):
        package_archive("plays", "1.0", sha256=sha256)
    assert left_behind(own_cache) == []


def test_ctrl_c_in_the_middle_leaves_nothing(sha256: str, own_cache: Path) -> None:
    def interrupt(name: str, done: int, size: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt), downloads_reported(interrupt):
        package_archive("plays", "1.0", sha256=sha256)
    assert left_behind(own_cache) == []


def test_a_package_that_cannot_be_had_may_be_put_where_the_error_says(
    no_settings: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    digest = make_sdist(tmp_path)
    with pytest.raises(DownloadFailed) as caught:
        package_archive("plays", "1.0", sha256=digest)
    assert digest in caught.value.todo
    place = Path(caught.value.todo.rpartition("save it as ")[2])
    place.write_bytes((tmp_path / "plays-1.0.tar.gz").read_bytes())
    assert package_archive("plays", "1.0", sha256=digest) == place


FILES = {
    "early": "etc/pip/pip.conf",
    "late": "etc-too/pip/pip.conf",
    "old": "home/.pip/pip.conf",
    "user": "home/settings/pip/pip.conf",
    "elsewhere": "home/.config/pip/pip.conf",
    "chosen": "chosen.conf",
}


@pytest.mark.skipif("pip" not in INSTALLED, reason="this Python has no pip to ask")
@pytest.mark.skipif(sys.platform in ("win32", "darwin"), reason="pip's files are in other places there")
@pytest.mark.parametrize(
    "written",
    [
        {"early": "[global]\nfind-links = /early\n", "late": "[global]\nfind-links = /late\n"},
        {"old": "[global]\nindex-url = old\ncert = old\n", "user": "[global]\nindex_url = new\n"},
        {"elsewhere": "[global]\nindex-url = elsewhere\n"},  # not the user's, where XDG_CONFIG_HOME is another
        {"early": "[download]\nfind-links = /a\n    /b\n", "user": "[global]\nfind-links = /c\nno-index = yes\n"},
        {"user": "[global]\nextra-index-url = user\n[download]\nextra-index-url =\n"},
        {"user": "[global]\ntrusted-host = user\n", "chosen": "[global]\nfind-links = chosen\n"},
    ],
)
def test_settings_are_those_that_pip_itself_finds(
    no_settings: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, written: dict[str, str]
) -> None:
    for name, content in written.items():
        path = tmp_path / FILES[name]
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content, encoding="utf-8")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "home" / "settings"))
    monkeypatch.setenv("XDG_CONFIG_DIRS", f"{tmp_path / 'etc'}{os.pathsep}{tmp_path / 'etc-too'}")
    monkeypatch.setenv("PIP_CONFIG_FILE", str(tmp_path / FILES["chosen"]))
    monkeypatch.setenv("PIP_TRUSTED_HOST", "host")
    if "chosen" not in written:
        monkeypatch.delenv("PIP_CONFIG_FILE")
    theirs, ours = settings_of_pip(), pip_settings()
    for option, found in (
        ("index-url", ours.indexes),
        ("extra-index-url", ours.extra_indexes),
        ("find-links", ours.find_links),
        ("trusted-host", ours.trusted_hosts),
        ("cert", (ours.certificate,) if ours.certificate else ()),
    ):
        assert tuple(theirs.get(option, "").split()) == found, option
    assert theirs.get("no-index", "no") == ("yes" if ours.no_index else "no")


def settings_of_pip() -> dict[str, str]:
    """What `pip config list` says; as in `pip download`, a later section counts more than an earlier one."""
    command = [sys.executable, "-m", "pip", "config", "list"]
    said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    found: dict[str, str] = {}
    for section in ("global.", "download.", ":env:."):
        for line in said.splitlines():
            option, _, value = line.removeprefix(section).partition("=")
            if line.startswith(section) and (text := ast.literal_eval(value)):
                found[option] = text
    return found
