"""Download one file from a web address safely, whatever the address.

https only, few redirects, a limit on the size, no access to the user's own network, and never an incomplete file.
"""

from __future__ import annotations

import hashlib
import ipaddress
import json
import re
import socket
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import SplitResult, unquote, urljoin, urlsplit

from homespun.errors import DownloadFailed
from homespun.fetch.cache import cache_folder, check_size, copy_checked, remove_abandoned, sha256_of, written_whole
from homespun.fetch.progress import with_progress
from homespun.fetch.stream import answering_soon, content_of, steady

if TYPE_CHECKING:
    import httpx

MAX_BYTES = 4 * 2**30  # more text than a small model on one computer can be trained on
MAX_REDIRECTS = 5
CONNECT_SECONDS = 20.0  # a busy computer takes seconds; without a network the next source is tried after it
READ_SECONDS = 120.0  # the longest silence in the middle of a download


@dataclass(frozen=True)
class Download:
    """A downloaded file: where it is stored, its address after redirects, its content type.

    `trouble` is not empty if the server could not be reached and an earlier copy is used: it says why.
    """

    path: Path
    url: str
    content_type: str
    trouble: str = ""


def download(url: str, *, sha256: str | None = None, max_bytes: int = MAX_BYTES, name: str | None = None) -> Path:
    """Download `url` into the cache and return the file's path. See `retrieve`."""
    return retrieve(url, sha256=sha256, max_bytes=max_bytes, name=name).path


def retrieve(
    url: str,
    *,
    sha256: str | None = None,
    max_bytes: int = MAX_BYTES,
    name: str | None = None,
) -> Download:
    """Download `url` into the cache, as `name` there, and return what was downloaded.

    https only; plain http is allowed to this computer. Addresses of private networks are refused unless `url`
    itself names that host. With `sha256`, the download is checked against it, and an existing copy is used
    without a request. Without it, the server is asked whether an earlier copy is still current, and that copy is
    used if the server cannot be reached. `downloads_reported` reports the progress. Raises DownloadFailed.
    """
    parsed(url)
    folder = cache_folder("downloads")
    remove_abandoned(folder, ".*.part")
    path = folder / (name or cache_name(url))
    if sha256 and path.is_file() and sha256_of(path) == sha256:
        return Download(path, url, "")
    note = path.with_name(path.name + ".json")
    earlier = _read_note(note, path, url)
    try:
        facts = _stream_to(path, url, sha256, max_bytes, earlier)
    except DownloadFailed as failure:
        if not earlier or sha256:
            raise
        return Download(path, earlier["url"], earlier["content_type"], trouble=failure.what)
    with written_whole(note) as file:
        file.write(json.dumps({**facts, "asked": _hash_of(url)}).encode())
    return Download(path, facts["url"], facts["content_type"])


def without_password(url: str) -> str:
    """Return the address in printable form, without user name and password.

    >>> without_password("https://me:secret@host/book.txt")
    'https://host/book.txt'
    """
    return re.sub(r"(?<=://)[^/?#]*@", "", url)


def cache_name(url: str) -> str:
    """Return a file name for an address: a hash of the whole, and its last part with only safe characters.

    >>> cache_name("https://host/books/Emma%20(1815).txt")[17:]
    'Emma_1815_.txt'
    """
    last = unquote(urlsplit(url).path).rstrip("/").rpartition("/")[2]
    harmless = re.sub(r"[^\w.-]+", "_", last, flags=re.ASCII)[-60:].lstrip(".")
    return f"{_hash_of(url)[:16]}-{harmless or 'page'}"


def _hash_of(url: str) -> str:
    """Return the hash that is stored instead of an address, because an address may contain a password."""
    return hashlib.sha256(url.encode("utf-8", "surrogateescape")).hexdigest()


def _read_note(note: Path, path: Path, url: str) -> dict[str, str] | None:
    """Return what is recorded about the copy in the cache, if there is one and it came from this very address."""
    try:
        facts = json.loads(note.read_bytes())
        kept = {key: str(facts[key]) for key in ("asked", "url", "content_type", "etag", "modified")}
    except (OSError, ValueError, KeyError, TypeError):
        return None  # never downloaded, or the note is damaged: it is downloaded again either way
    return kept if kept["asked"] == _hash_of(url) and path.is_file() else None


def _stream_to(
    path: Path,
    url: str,
    sha256: str | None,
    max_bytes: int,
    earlier: dict[str, str] | None,
) -> dict[str, str]:
    """Write the content at `url` to `path`, complete and checked, unless the earlier copy is still current."""
    import httpx

    shown = without_password(url)
    headers = {"User-Agent": "homespun", "Accept-Encoding": "gzip"}
    if earlier and earlier["etag"]:
        headers["If-None-Match"] = earlier["etag"]
    elif earlier and earlier["modified"]:
        headers["If-Modified-Since"] = earlier["modified"]
    timeout = httpx.Timeout(READ_SECONDS, connect=CONNECT_SECONDS)
    try:
        with httpx.Client(timeout=timeout, headers=headers) as client:
            response = _follow(client, url)
            try:
                if earlier and response.status_code == 304:
                    return earlier
                _check_status(response)
                size = check_size(response.headers.get("content-length", ""), shown, max_bytes)
                sent = with_progress(steady(response.iter_raw(), shown), shown, size)
                blocks = content_of(sent, response.headers.get("content-encoding", ""), shown)
                with written_whole(path) as file:
                    copy_checked(blocks, file, shown, max_bytes, sha256)
            finally:
                response.close()
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        reason = " ".join(str(error).split()).rstrip(".") or type(error).__name__
        raise DownloadFailed(f"{shown} could not be downloaded: {reason}.", _way_out(reason)) from error
    return {
        "url": without_password(str(response.url)),
        "content_type": response.headers.get("content-type", ""),
        "etag": response.headers.get("etag", ""),
        "modified": response.headers.get("last-modified", ""),
    }


def _way_out(reason: str) -> str:
    if "CERTIFICATE_VERIFY_FAILED" in reason:
        return (
            "Whoever answered could not prove to be that host. "
            "If it is a server of yours, set SSL_CERT_FILE to its certificate."
        )
    return "Check the address and the network, or download it yourself and give the path of the file."


def _follow(client: httpx.Client, asked: str) -> httpx.Response:
    """Return the open response at the end of the redirects; every hop is checked against the rules."""
    url = asked
    for _ in range(MAX_REDIRECTS + 1):
        named_by_user = parsed(url).hostname == parsed(asked).hostname
        if not named_by_user:
            _refuse_private(url, _addresses(url))
        with answering_soon() as trace:
            request = client.build_request("GET", url, extensions={"trace": trace})
            response = client.send(request, stream=True)
        if not named_by_user:  # a name may resolve to another address in a second look-up
            _refuse_private(url, _peer(response, url))
        if not response.has_redirect_location:
            return response
        response.close()
        url = _next_address(url, response.headers["location"])
    raise DownloadFailed(
        f"{without_password(asked)} redirects more than {MAX_REDIRECTS} times.",
        "Open it in a browser and give the address where it ends.",
    )


def _next_address(url: str, location: str) -> str:
    try:
        return urljoin(url, location)
    except ValueError:
        return location  # not a valid address; the next check reports that


def parsed(url: str) -> SplitResult:
    """Return the parts of an address that may be requested. Raises DownloadFailed for any other address."""
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError:
        host = None
    if not host or parts.scheme not in ("http", "https"):
        raise DownloadFailed(f"{without_password(url)} is not a web address.", "Write https://host/path.")
    if parts.scheme == "http" and not _is_this_computer(host):
        raise DownloadFailed(
            f"{without_password(url)} is plain http, where anyone on the way can change the text.",
            "Use the https:// address, or download it yourself and give the path of the file.",
        )
    return parts


def _is_this_computer(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _addresses(url: str) -> list[str]:
    """Return the addresses of the host of `url`, as far as this computer resolves it."""
    host = parsed(url).hostname or ""
    try:
        return [str(ipaddress.ip_address(host))]
    except ValueError:
        pass  # it is a name, as usual
    if _goes_through_proxy(url):
        return []
    try:
        return [str(info[4][0]) for info in socket.getaddrinfo(host, None)]
    except OSError:
        return []  # an unknown host: connecting fails with a better message


def _peer(response: httpx.Response, url: str) -> list[str]:
    """Return the address that responded."""
    stream = response.extensions.get("network_stream")
    peer = stream.get_extra_info("server_addr") if stream else None
    return [peer[0]] if peer and not _goes_through_proxy(url) else []


def _refuse_private(url: str, addresses: list[str]) -> None:
    """Refuse a redirect into the user's own network, which an untrusted page must not reach."""
    for address in addresses:
        found = ipaddress.ip_address(address.partition("%")[0])
        if not found.is_global or found.is_multicast:
            raise DownloadFailed(
                f"The download was redirected to {without_password(url)} ({address}), in a private network.",
                "If you trust it, give that address itself.",
            )


def _goes_through_proxy(url: str) -> bool:
    import urllib.request

    parts = urlsplit(url)
    proxies = urllib.request.getproxies()
    return bool(proxies.get(parts.scheme) or proxies.get("all")) and not urllib.request.proxy_bypass(
        parts.hostname or ""
    )


def _check_status(response: httpx.Response) -> None:
    if response.status_code != 200:
        raise DownloadFailed(
            f"{without_password(str(response.url))} answered {response.status_code} {response.reason_phrase}.",
            "Open the address in a browser to see what is there.",
        )
