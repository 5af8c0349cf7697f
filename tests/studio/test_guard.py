"""The rules of the studio, each by a raw socket: what a browser, another page or a stranger may really send."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from homespun.server.errors import ApiError
from homespun.studio.reference import schema
from homespun.studio.reports import without_uploads
from homespun.studio.uploads import Uploads
from tests.patience import PATIENCE
from tests.server.test_guard import Answer
from tests.studio.running import TOKEN, RunningStudio

SESSION = b'{"token": "' + TOKEN.encode() + b'"}'
RUN = b'{"run": "runs/one"}'


def send(studio: RunningStudio, *lines: str, method: str = "GET", path: str, body: bytes = b"") -> Answer:
    own = [line.replace("PORT", str(studio.port)) for line in lines]
    if not any(line.lower().startswith("host:") for line in own):
        own.insert(0, f"Host: 127.0.0.1:{studio.port}")
    if body and not any(line.lower().startswith("content-type:") for line in own):
        own.append("Content-Type: application/json")
    if body:
        own.append(f"Content-Length: {len(body)}")
    head = "\r\n".join([f"{method} {path} HTTP/1.1", *own, "Connection: close", "", ""])
    with socket.create_connection(("127.0.0.1", studio.port), timeout=PATIENCE) as connection:
        connection.sendall(head.encode("latin-1") + body)
        received = b""
        while part := connection.recv(65536):
            received += part
    start, _, rest = received.partition(b"\r\n\r\n")
    status, *headers = start.decode().split("\r\n")
    return Answer(int(status.split()[1]), dict(line.lower().split(": ", 1) for line in headers), rest)


@pytest.fixture(scope="module")
def cookie(studio: RunningStudio) -> str:
    answer = send(studio, "Origin: http://127.0.0.1:PORT", method="POST", path="/api/session", body=SESSION)
    assert answer.status == 200, answer.body
    return f"Cookie: {send_cookie(studio)}"


def send_cookie(studio: RunningStudio) -> str:
    """As the server writes it: a header's value is case-sensitive, and `send` lowers it."""
    answer = studio.client.post("/api/session", json={"token": TOKEN})
    return answer.headers["set-cookie"].split(";")[0]


def test_the_token_is_exchanged_for_a_cookie_that_no_script_and_no_other_site_gets(studio: RunningStudio) -> None:
    header = studio.client.post("/api/session", json={"token": TOKEN}).headers["set-cookie"]
    value, *attributes = header.split("; ")
    assert {"HttpOnly", "SameSite=Strict", "Path=/"} <= set(attributes)
    assert value.startswith(f"homespun-studio-{studio.port}=") and TOKEN not in value


@pytest.mark.parametrize("token", ["", "another", TOKEN[:-1], TOKEN + "x", "ü"])
def test_another_token_opens_nothing(studio: RunningStudio, token: str) -> None:
    body = f'{{"token": "{token}"}}'.encode()
    answer = send(studio, method="POST", path="/api/session", body=body)
    assert answer.status == (400 if token == "" else 401)
    assert "set-cookie" not in answer.headers


@pytest.mark.parametrize("path", ["/", "/studio.js"])
def test_the_page_itself_is_for_everybody_and_loads_nothing_from_outside(studio: RunningStudio, path: str) -> None:
    answer = send(studio, path=path)
    assert answer.status == 200
    policy = answer.headers["content-security-policy"]
    assert "default-src 'none'" in policy and "script-src 'self'" in policy and "http" not in policy
    assert "frame-ancestors 'none'" in policy and answer.headers["x-content-type-options"] == "nosniff"
    again = send(studio, f"If-None-Match: {answer.headers['etag']}", path=path)
    assert (again.status, again.body) == (304, b"")
    assert send(studio, 'If-None-Match: "another"', path=path).status == 200


@pytest.mark.parametrize(
    "path",
    ["/notes.txt", "/index.html", "/static/studio.js", "/../studio.js", "/..%2fsecret.txt", "/studio.js/", "//"],
)
def test_only_the_files_of_the_page_are_there(studio: RunningStudio, path: str) -> None:
    assert send(studio, f"Authorization: Bearer {TOKEN}", path=path).status in (404, 307)
    assert send(studio, path=path).status == 401


READS = ["/api/studio", "/api/runs", "/api/run?run=runs/one", "/api/texts", "/api/jobs", "/v1/models", "/metrics"]


@pytest.mark.parametrize("path", [*READS, "/api/events", "/api/run/events?run=runs/one", "/openapi.json"])
@pytest.mark.parametrize(
    "lines",
    [
        [],
        ["Cookie: homespun-studio-PORT=wrong"],
        ["Cookie: homespun-studio-1=x; other=y"],
        [f"Cookie: homespun-studio-PORT={TOKEN}"],
        ["Authorization: Bearer wrong"],
        [f"Authorization: {TOKEN}"],
        [f"X-Token: {TOKEN}"],
    ],
)
def test_nothing_is_read_without_a_session(studio: RunningStudio, path: str, lines: list[str]) -> None:
    answer = send(studio, *lines, path=path)
    assert (answer.status, answer.error()["code"]) == (401, "no_session")


def test_nothing_below_the_api_answers_without_a_session(studio: RunningStudio) -> None:
    for path, methods in schema()["paths"].items():
        for method in methods:
            if path != "/api/session":
                answer = send(studio, method=method.upper(), path=path, body=b"{}" if method == "post" else b"")
                assert answer.status == 401, (path, method, answer.body)


@pytest.mark.parametrize("path", READS)
def test_a_session_reads(studio: RunningStudio, cookie: str, path: str) -> None:
    assert send(studio, cookie, path=path).status == 200
    assert send(studio, f"Authorization: Bearer {TOKEN}", path=path).status == 200


@pytest.mark.parametrize(
    ("lines", "status"),
    [
        (["Origin: http://127.0.0.1:PORT"], 409),  # answered: nothing is being trained
        (["Origin: http://127.0.0.1:PORT", "Sec-Fetch-Site: same-origin"], 409),
        (["Host: localhost:PORT", "Origin: http://localhost:PORT"], 409),
        ([], 403),  # no browser sends a POST without its origin
        (["Sec-Fetch-Site: none"], 403),
        (["Origin: null"], 403),
        (["Origin: http://127.0.0.1:1"], 403),
        (["Origin: https://evil.example"], 403),
        (["Origin: http://localhost:PORT"], 403),
        (["Origin: https://evil.example", "Sec-Fetch-Site: same-origin"], 403),
        (["Sec-Fetch-Site: cross-site"], 403),
        (["Host: evil.example:PORT", "Origin: http://evil.example:PORT"], 403),
        (["Host: evil.example:PORT"], 403),
        (["Origin: http://127.0.0.1:PORT", "Content-Type: text/plain"], 415),
        (["Origin: http://127.0.0.1:PORT", "Content-Type: application/x-www-form-urlencoded"], 415),
        (["Origin: http://127.0.0.1:PORT", "Content-Type: application/octet-stream"], 415),
    ],
)
def test_what_writes_is_asked_for_by_the_page_alone(
    studio: RunningStudio, cookie: str, lines: list[str], status: int
) -> None:
    answer = send(studio, cookie, *lines, method="POST", path="/api/act/stop", body=RUN)
    assert answer.status == status, answer.body


def test_a_program_with_the_token_needs_no_origin(studio: RunningStudio) -> None:
    answer = send(studio, f"Authorization: Bearer {TOKEN}", method="POST", path="/api/act/stop", body=RUN)
    assert answer.status == 409


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE", "PATCH"])
def test_what_writes_has_one_method(studio: RunningStudio, cookie: str, method: str) -> None:
    line = "Origin: http://127.0.0.1:PORT"
    answer = send(studio, cookie, line, method=method, path="/api/act/stop", body=RUN if method != "GET" else b"")
    assert answer.status in (404, 405)


def test_a_large_body_is_refused_before_it_is_read(studio: RunningStudio, cookie: str) -> None:
    lines = [cookie, "Origin: http://127.0.0.1:PORT", "Content-Length: 100001", "Content-Type: application/json"]
    assert send(studio, *lines, method="POST", path="/api/act/stop").status == 413


def test_other_pages_get_no_permission(studio: RunningStudio) -> None:
    answer = send(
        studio,
        "Origin: https://evil.example",
        "Access-Control-Request-Method: POST",
        method="OPTIONS",
        path="/api/act/stop",
    )
    assert answer.status == 403 and not any(name.startswith("access-control") for name in answer.headers)


# ---- paths ----

OUTSIDE = ["..", "../secret.txt", "/etc/passwd", "~/x", "texts/../../secret.txt", "way-out", "way-out/secret.txt"]
ODD = ["runs/one\0", "texts\\..\\..\\secret.txt"]


@pytest.mark.parametrize("path", [*OUTSIDE, *ODD])
def test_no_path_leads_out_of_the_folder(studio: RunningStudio, path: str) -> None:
    assert studio.get("/api/folder", 403, path=path)["code"] == "outside"
    assert studio.get("/api/run", 403, run=path)["code"] == "outside"
    assert studio.get("/api/run/lines", 403, run=path, file="metrics")["code"] == "outside"
    assert studio.get("/api/run/events", 403, run=path)["code"] == "outside"
    text = {"kind": "path", "path": path}
    assert studio.post("/api/act/look", 403, text=text)["code"] == "outside"
    assert studio.post("/api/act/plan", 403, text=text)["code"] == "outside"
    assert studio.post("/api/inside/surprise", 403, run=path, text="a")["code"] == "outside"
    assert studio.post("/v1/completions", 403, model=path, prompt="a")["code"] == "outside"
    for act in ("stop", "resume", "export"):
        more = {"to": "gguf"} if act == "export" else {}
        assert studio.post(f"/api/act/{act}", 403, run=path, **more)["code"] == "outside"


def test_a_link_that_leads_out_is_not_listed_and_nothing_hidden_is(studio: RunningStudio) -> None:
    names = [entry["name"] for entry in studio.get("/api/folder")["entries"]]
    assert names == ["runs", "texts", "book.txt"]
    inner = studio.get("/api/folder", path="texts")
    assert (inner["path"], inner["parent"], [entry["path"] for entry in inner["entries"]]) == (
        "texts",
        "",
        ["texts/inner", "texts/a.txt"],
    )
    assert studio.get("/api/folder", path="texts/inner")["parent"] == "texts"
    assert [entry["is_run"] for entry in studio.get("/api/folder", path="runs")["entries"]] == [True, True]


def test_names_and_settings_become_no_options_and_no_paths(studio: RunningStudio) -> None:
    text = {"kind": "path", "path": "book.txt"}
    for body in (
        {"field": "a\nb"},
        {"settings": {"n_layer": [1]}},
        {"unknown": 1},
        {"minutes": 1, "steps": 1},
        {"minutes": 0},
    ):
        studio.post("/api/act/plan", 400, text=text, **body)
    for name in ("../x", "/x", "--out", ".", "a/b", "", "a\0"):
        studio.post("/api/act/train", 400, plan="0" * 16, name=name)
    studio.post("/api/act/plan", 400, text={"kind": "named", "name": "--help"})
    studio.post("/api/act/plan", 400, text={"kind": "upload", "upload": "../../secret.txt"})
    assert studio.post("/api/act/plan", 404, text={"kind": "upload", "upload": "0" * 16})["code"]


# ---- uploads ----


def upload(studio: RunningStudio, content: bytes, status: int = 200, **query: str) -> dict[str, object]:
    answer = studio.client.post(
        "/api/act/upload", params=query, content=content, headers={"Content-Type": "application/octet-stream"}
    )
    return dict(studio.checked(answer, status))


def test_files_are_taken_under_clean_names(studio: RunningStudio, shared_folder: Path) -> None:
    found = upload(studio, b"one", name="../../etc/pass wd.txt", folder="../..//my\\letters")
    assert found["files"] == ["text/text/my/letters/pass wd.txt"] and found["bytes"] == 3
    number = str(found["upload"])
    again = upload(studio, b"two!", name="b\x07ell.txt", upload=number)
    assert again["files"] == ["b_ell.txt", "text/text/my/letters/pass wd.txt"] and again["bytes"] == 7
    assert not list(shared_folder.rglob("*wd.txt"))
    assert upload(studio, b"x", 404, name="a", upload="0" * 16)["code"] == "upload_not_found"
    assert upload(studio, b"x", 400, name="a", upload="../x")


async def sent(*blocks: bytes) -> AsyncIterator[bytes]:
    for block in blocks:
        yield block


def test_an_upload_beyond_the_limit_leaves_nothing() -> None:
    uploads = Uploads(most_bytes=10)
    with pytest.raises(ApiError) as refused:
        asyncio.run(uploads.take("a.txt", "", None, sent(b"123456", b"78901")))
    assert refused.value.status == 413 and not list(uploads.folder.rglob("*"))
    first = asyncio.run(uploads.take("a.txt", "", None, sent(b"123456")))
    with pytest.raises(ApiError):  # all files of an upload together
        asyncio.run(uploads.take("b.txt", "in", first.upload, sent(b"78901")))
    assert [path.name for path in uploads.folder.rglob("*.*")] == ["a.txt"]
    assert uploads.place(first.upload).read_bytes() == b"123456"


def test_an_upload_is_called_as_what_was_dropped() -> None:
    uploads = Uploads(most_bytes=10)
    one = asyncio.run(uploads.take("a.txt", "letters", None, sent(b"1")))
    assert (uploads.name(one.upload), uploads.place(one.upload).name) == ("a", "a.txt")
    asyncio.run(uploads.take("b.txt", "letters/old", one.upload, sent(b"2")))
    assert uploads.name(one.upload) == uploads.place(one.upload).name == "letters"
    asyncio.run(uploads.take("c.txt", "", one.upload, sent(b"3")))
    assert (uploads.name(one.upload), uploads.place(one.upload).name) == ("files", one.upload)
    place = str(uploads.place(one.upload))
    said = {"title": place, "notes": [f"{place}/letters/a.txt is empty."], "seconds": 1.5}
    assert without_uploads(said, uploads.folder) == {
        "title": "your files",
        "notes": ["letters/a.txt is empty."],
        "seconds": 1.5,
    }


@pytest.mark.parametrize("line", ["Content-Type: text/plain", "Content-Type: multipart/form-data; boundary=x"])
def test_an_upload_is_the_file_itself(studio: RunningStudio, line: str) -> None:
    lines = [f"Authorization: Bearer {TOKEN}", line]
    assert send(studio, *lines, method="POST", path="/api/act/upload?name=a", body=b"x").status == 415


def test_a_job_can_be_cancelled(studio: RunningStudio) -> None:
    job = studio.post("/api/act/look", text={"kind": "path", "path": "book.txt"})["job"]
    studio.post("/api/act/cancel", job=job)
    assert studio.job(job)["state"] == "cancelled"
    assert studio.get("/api/job", 404, job="0" * 16)["code"] == "job_not_found"
