"""The rules of security, each by a raw socket: what a browser, a library or a stranger may really send."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from homespun.errors import UsageError
from homespun.server import serving
from homespun.server.models import Entry
from tests.patience import PATIENCE
from tests.server.running import Running, running

KEY = "a-key-of-the-tests"
BODY = b'{"prompt": "a", "max_tokens": 1}'
SITE = "https://notes.example"


@pytest.fixture(scope="module")
def guarded(models: Path) -> Iterator[Running]:
    rules = {
        "key": KEY,
        "hosts": frozenset({"box.local"}),
        "origins": frozenset({SITE}),
        "largest_body": 1000,
        "body_seconds": 0.5,
    }
    with running([Entry(models / "tiny", ["tiny"])], rules=rules) as server:
        yield server


@dataclass
class Answer:
    status: int
    headers: dict[str, str]
    body: bytes

    def error(self) -> dict[str, str]:
        return dict(json.loads(self.body)["error"])


def send(server: Running, request: bytes) -> Answer:
    with socket.create_connection(("127.0.0.1", server.port), timeout=PATIENCE) as connection:
        connection.sendall(request)
        received = b""
        while b"\r\n\r\n" not in received:
            received += (part := connection.recv(65536))
            assert part, received
        head, _, body = received.partition(b"\r\n\r\n")
        status, *lines = head.decode().split("\r\n")
        headers = dict(line.lower().split(": ", 1) for line in lines)
        while len(body) < int(headers.get("content-length", 0)):
            body += connection.recv(65536)
        return Answer(int(status.split()[1]), headers, body)


def request(
    server: Running,
    *lines: str,
    method: str = "GET",
    path: str = "/v1/models",
    body: bytes = b"",
    key: bool = True,
) -> bytes:
    own = [line.replace("PORT", str(server.port)) for line in lines]
    if not any(line.lower().startswith("host") for line in own):
        own.insert(0, f"Host: 127.0.0.1:{server.port}")
    if key:
        own.append(f"Authorization: Bearer {KEY}")
    if body:
        own.append(f"Content-Length: {len(body)}")
    return "\r\n".join([f"{method} {path} HTTP/1.1", *own, "", ""]).encode("latin-1") + body


@pytest.mark.parametrize(
    ("lines", "status"),
    [
        (["Host: 127.0.0.1:PORT"], 200),
        (["Host: localhost:PORT"], 200),
        (["Host: LocalHost:PORT"], 200),
        (["Host: [::1]:PORT"], 200),
        (["Host: box.local"], 200),
        (["Host: BOX.local:1234"], 200),
        (["Host: localhost"], 403),
        (["Host: localhost:1"], 403),
        (["Host: evil.example:PORT"], 403),
        (["Host: 127.0.0.1.evil.example:PORT"], 403),
        (["Host: localhost.:PORT"], 403),
        (["Host: 0.0.0.0:PORT"], 403),
        (["Host: 127.1:PORT"], 403),
        (["Host: 2130706433:PORT"], 403),
        (["Host: localhost@evil.example:PORT"], 403),
        (["Host: evil.example, localhost:PORT"], 403),
        (["Host: "], 403),
        (["Host: localhost:PORT", "X-Forwarded-Host: evil.example"], 200),
        (["Host: evil.example:PORT", "X-Forwarded-Host: localhost"], 403),
        (["Host: localhost:PORT", "Host: evil.example"], 400),
        (["Origin: https://notes.example"], 200),
        (["Origin: http://127.0.0.1:PORT"], 200),
        (["Origin: null"], 403),
        (["Origin: https://evil.example"], 403),
        (["Origin: http://notes.example"], 403),
        (["Origin: https://notes.example.evil.example"], 403),
        (["Origin: http://localhost:1"], 403),
        (["Origin: https://notes.example", "Origin: https://evil.example"], 403),
        (["Sec-Fetch-Site: cross-site"], 403),
        (["Sec-Fetch-Site: same-site"], 403),
        (["Sec-Fetch-Site: same-origin"], 200),
        (["Sec-Fetch-Site: none"], 200),
        (["Origin: https://notes.example", "Sec-Fetch-Site: cross-site"], 200),
    ],
)
@pytest.mark.parametrize("path", ["/v1/models", "/health", "/metrics"])
def test_hosts_and_origins_are_checked_on_every_request(
    guarded: Running, lines: list[str], status: int, path: str
) -> None:
    answer = send(guarded, request(guarded, *lines, path=path))
    assert answer.status == status, answer.body
    if status == 403:
        assert answer.error()["type"] == "permission_error"
    if status == 400:
        assert answer.error()["type"] == "invalid_request_error"


def test_a_request_without_a_host_is_refused_in_both_versions_of_http(guarded: Running) -> None:
    for version, status in (("1.0", 403), ("1.1", 400)):
        answer = send(guarded, f"GET /health HTTP/{version}\r\n\r\n".encode())
        assert answer.status == status and answer.error()["message"]
    assert send(guarded, b"\x16\x03\x01 hello\r\n\r\n").status == 400


@pytest.mark.parametrize(
    ("lines", "status"),
    [
        ([], 401),
        (["Authorization: Bearer wrong"], 401),
        (["Authorization: Bearer "], 401),
        ([f"Authorization: Basic {KEY}"], 401),
        ([f"Authorization: {KEY}"], 401),
        (["X-Api-Key: \xff"], 401),
        ([f"Authorization: bearer {KEY}"], 200),
        ([f"X-Api-Key: {KEY}"], 200),
        ([f"Cookie: key={KEY}"], 401),
    ],
)
def test_the_key_is_asked_for_everywhere_but_for_health(guarded: Running, lines: list[str], status: int) -> None:
    for path in ("/v1/models", "/metrics", "/openapi.json", "/nowhere"):
        answer = send(guarded, request(guarded, *lines, path=path, key=False))
        assert answer.status == (404 if status == 200 and path == "/nowhere" else status)
    assert answer.status != 401 or answer.error()["type"] == "authentication_error"
    assert send(guarded, request(guarded, *lines, path="/health", key=False)).status == 200


def test_a_key_in_the_address_is_none(guarded: Running) -> None:
    assert send(guarded, request(guarded, path=f"/v1/models?api_key={KEY}", key=False)).status == 401


@pytest.mark.parametrize(
    ("lines", "status"),
    [
        (["Content-Type: application/json"], 200),
        (["Content-Type: Application/JSON; charset=UTF-8"], 200),
        (["Content-Type: application/json; charset=utf-16"], 415),
        (["Content-Type: text/plain"], 415),
        (["Content-Type: text/plain; application/json"], 415),
        (["Content-Type: application/x-www-form-urlencoded"], 415),
        (["Content-Type: multipart/form-data; boundary=a"], 415),
        (["Content-Type: application/json", "Content-Encoding: gzip"], 415),
        (["Content-Type: application/json", "Content-Type: text/plain"], 415),
        ([], 415),
    ],
)
def test_only_json_is_read(guarded: Running, lines: list[str], status: int) -> None:
    answer = send(guarded, request(guarded, *lines, method="POST", path="/v1/completions", body=BODY))
    assert answer.status == status, answer.body


def test_bodies_end_at_their_limits_of_size_and_time(guarded: Running) -> None:
    json_type = "Content-Type: application/json"
    large = b'{"prompt": "' + b"a" * 1000 + b'"}'
    post = {"method": "POST", "path": "/v1/completions"}
    answer = send(guarded, request(guarded, json_type, body=large, **post))
    assert answer.status == 413 and answer.error()["code"] == "body_too_large"
    chunked = request(guarded, json_type, "Transfer-Encoding: chunked", **post)
    answer = send(guarded, chunked + b"400\r\n" + b"a" * 1024 + b"\r\n")
    assert answer.status == 413
    answer = send(guarded, request(guarded, json_type, "Content-Length: 50", **post) + b'{"prompt"')
    assert answer.status == 408 and "did not come" in answer.error()["message"]
    answer = send(guarded, request(guarded, "X-Large: " + "a" * 2_000_000))
    assert answer.status == 400 and answer.error()["message"]


def test_pages_that_were_named_may_ask_and_no_others(guarded: Running) -> None:
    asked = ("Access-Control-Request-Method: POST", "Access-Control-Request-Headers: authorization")
    allowed = send(guarded, request(guarded, f"Origin: {SITE}", *asked, method="OPTIONS", key=False))
    assert allowed.status == 204 and allowed.headers["access-control-allow-origin"] == SITE
    assert "access-control-allow-credentials" not in allowed.headers and allowed.headers["vary"] == "origin"
    for origin in ("https://evil.example", "null"):
        refused = send(guarded, request(guarded, f"Origin: {origin}", *asked, method="OPTIONS"))
        assert refused.status == 403 and "access-control-allow-origin" not in refused.headers
    assert "access-control-allow-origin" not in send(guarded, request(guarded)).headers
    shown = send(guarded, request(guarded, f"Origin: {SITE}"))
    assert shown.headers["access-control-allow-origin"] == SITE


def test_answers_tell_browsers_to_be_careful_and_nobody_what_runs(guarded: Running) -> None:
    for answer in (send(guarded, request(guarded)), send(guarded, request(guarded, "Host: evil.example"))):
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["content-security-policy"].startswith("default-src 'none'; frame-ancestors 'none'")
        assert answer.headers["cache-control"] == "no-store" and "server" not in answer.headers


def test_no_path_and_no_method_leads_elsewhere(guarded: Running) -> None:
    for path in ("/v1/models/../../etc/passwd", "/v1/models/%2e%2e%2fetc%2fpasswd", "/v1/models//etc/passwd"):
        answer = send(guarded, request(guarded, path=path))
        assert answer.status == 404 and answer.error()["type"] == "invalid_request_error"
    for method in ("DELETE", "TRACE", "PATCH"):
        lines = ["Content-Type: application/json"]
        answer = send(guarded, request(guarded, *lines, method=method, path="/v1/completions", body=b"{}"))
        assert answer.status == 405 and answer.error()["message"]


def test_more_requests_than_can_be_held_are_refused_in_the_envelope(models: Path) -> None:
    with running([Entry(models / "tiny", ["tiny"])], rules={"most_at_once": 1}) as server:
        with socket.create_connection(("127.0.0.1", server.port), timeout=PATIENCE) as slow:
            lines = ("Content-Type: application/json", "Content-Length: 50")
            slow.sendall(request(server, *lines, method="POST", path="/v1/completions"))
            end = time.monotonic() + PATIENCE
            while (answer := send(server, request(server))).status == 200 and time.monotonic() < end:
                pass
            assert answer.status == 503 and answer.error()["code"] == "overloaded"
        while send(server, request(server)).status != 200:
            assert time.monotonic() < end


def test_no_prompt_is_in_the_log(models: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("DEBUG")
    secret = "xyzzy"
    bodies = [
        {"prompt": secret},
        {"prompt": secret * 100},
        {"prompt": secret, "temperature": secret},
        {"prompt": [secret, 1]},
    ]
    for log_prompts in (False, True):
        with running([Entry(models / "tiny", ["tiny"])], log_prompts=log_prompts) as server:
            for body in bodies:
                content = json.dumps({**body, "max_tokens": 2}).encode()
                sent = {"method": "POST", "path": "/v1/completions", "body": content}
                send(server, request(server, "Content-Type: application/json", **sent))  # type: ignore[arg-type]
        assert (secret in caplog.text) is log_prompts


# ---- who may listen where ----


def test_beyond_this_computer_there_is_always_a_key() -> None:
    assert serving.key_for(serving.Address(), None, []) is None
    assert serving.key_for(serving.Address(socket_file=Path("a")), None, []) is None
    for address, origins in (
        (serving.Address("0.0.0.0"), []),
        (serving.Address("::"), []),
        (serving.Address(), ["*"]),
    ):
        made = serving.key_for(address, None, origins)
        assert made is not None and len(made) >= 32 and made != serving.key_for(address, None, origins)
    assert serving.key_for(serving.Address("0.0.0.0"), KEY, []) == KEY
    for poor in ("short", "with space ", "néw-key-of-mine", "line\nbreak-it"):
        with pytest.raises(UsageError):
            serving.key_for(serving.Address(), poor, [])


@pytest.mark.parametrize(
    "origin", ["null", "https://a.example/", "notes.example", "file://", "https://", "ftp://a", ""]
)
def test_an_origin_that_no_browser_sends_cannot_be_allowed(origin: str) -> None:
    from homespun.api.serve import checked_origin

    assert checked_origin("https://A.example:8443") == "https://a.example:8443" and checked_origin("*") == "*"
    with pytest.raises(UsageError, match="no origin"):
        checked_origin(origin)


def test_what_happens_to_long_prompts_is_one_of_two_things(tmp_path: Path) -> None:
    from homespun.api.serve import serve

    with pytest.raises(UsageError, match=r"overflow is 'cut'(.|\n)*refuse, slide"):
        serve(tmp_path, overflow="cut")


def test_without_the_extra_the_command_says_what_to_install() -> None:
    script = (
        "import sys; sys.modules['uvicorn'] = None; from homespun.cli import main; sys.exit(main(['serve', 'x']))"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.returncode == 1 and 'pip install "homespun[serve]"' in done.stderr


def test_a_server_may_be_called_by_the_numbers_of_its_computer_and_by_no_names() -> None:
    assert serving.own_names(serving.Address()) == []
    assert serving.own_names(serving.Address("192.0.2.7")) == ["192.0.2.7"]
    everywhere = serving.Address("0.0.0.0")
    assert "127.0.0.1" in serving.own_names(everywhere) and serving.shown_host(everywhere) != "0.0.0.0"
    assert all(name.strip("[]")[0] in ":0123456789abcdef" for name in serving.own_names(everywhere))


def test_a_socket_file_is_its_owners_and_gone_at_the_end(tmp_path: Path) -> None:
    path = tmp_path / "serve.sock"
    for _ in range(2):  # one that a dead server left is replaced
        with serving.listening(serving.Address(socket_file=path)) as (own,):
            assert path.stat().st_mode & 0o777 == 0o600
            own.listen()
            with (
                pytest.raises(Exception, match="cannot be made"),
                serving.listening(serving.Address(socket_file=path)),
            ):
                pass
        assert not path.exists()
        stale = socket.socket(socket.AF_UNIX)
        stale.bind(str(path))
        stale.close()
    (tmp_path / "file").write_text("mine")
    with (
        pytest.raises(Exception, match="cannot be made"),
        serving.listening(serving.Address(socket_file=tmp_path / "file")),
    ):
        pass
    assert (tmp_path / "file").read_text() == "mine"


def test_a_port_that_is_taken_is_told_and_without_a_wish_another_is_found() -> None:
    with serving.listening(serving.Address(port=0)) as sockets:
        taken = sockets[0].getsockname()[1]
        sockets[0].listen()
        with pytest.raises(UsageError, match=f"port {taken}"), serving.listening(serving.Address(port=taken)):
            pass
    assert {one.getsockname()[0] for one in sockets if one.fileno() >= 0} == set()
