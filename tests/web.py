"""A web server on this computer, of good and of bad manners."""

from __future__ import annotations

import gzip
import re
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

TEXT = "Once upon a time — é.\n".encode() * 100


class Handler(BaseHTTPRequestHandler):
    asked: list[str]
    package: bytes  # what the index at /simple has, as plays-1.0.tar.gz
    packages: str  # and how it is sent: "package" or "unsized_package"

    def do_GET(self) -> None:
        type(self).asked.append(self.path)
        word = re.match(r"/(\w*)", self.path)
        answer = getattr(self, f"path_{word and word.group(1)}", None)
        if answer is None:
            self.send_error(404)
        else:
            answer()

    def send(self, content: bytes, **headers: str) -> None:
        self.send_response(200)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def path_text(self) -> None:
        self.send(TEXT, Content_Type="text/plain")

    def path_page(self) -> None:
        self.send(b"<html><nav>x</nav><p>A page.</p></html>", Content_Type="text/html; charset=utf-8")

    def path_unchanged(self) -> None:
        if self.headers.get("If-None-Match") == '"1"':
            self.send_response(304)
            self.end_headers()
        else:
            self.send(TEXT, ETag='"1"')

    def path_bomb(self) -> None:
        self.send(gzip.compress(bytes(50_000_000)), Content_Encoding="gzip")

    def path_twice(self) -> None:
        self.send(gzip.compress(gzip.compress(TEXT)), Content_Encoding="gzip, gzip")

    def path_packed(self) -> None:
        self.send(gzip.compress(TEXT) + gzip.compress(TEXT), Content_Encoding="gzip")

    def path_cut(self) -> None:
        self.send(gzip.compress(TEXT)[:-9], Content_Encoding="gzip")

    def path_long(self) -> None:
        self.send_response(200)
        self.send_header("Content-Length", str(10 * 2**30))
        self.end_headers()

    def path_nowhere(self) -> None:
        self.send_response(302)
        self.send_header("Location", "http://[bad")
        self.end_headers()

    def path_drip(self) -> None:
        """A head that never ends, a line every now and then."""
        try:
            self.wfile.write(b"HTTP/1.1 200 OK\r\n")
            while True:
                self.wfile.write(b"X: y\r\n")
                time.sleep(0.05)
        except OSError:
            self.close_connection = True

    def path_half(self) -> None:
        self.send_response(200)
        self.send_header("Content-Length", str(2 * len(TEXT)))
        self.end_headers()
        self.wfile.write(TEXT)

    def path_unsized(self) -> None:
        """Whoever takes it does not know how long it is before it ends."""
        self.send_response(200)
        self.end_headers()
        self.wfile.write(TEXT)

    def path_simple(self) -> None:
        """An index of packages, with one in it."""
        link = f'<a href="/{self.packages}/plays-1.0.tar.gz">plays-1.0.tar.gz</a>'
        self.send(f"<html>{link}</html>".encode(), Content_Type="text/html")

    def path_package(self) -> None:
        self.send(self.package)

    def path_unsized_package(self) -> None:
        self.send_response(200)
        self.end_headers()
        self.wfile.write(self.package)

    def path_to(self) -> None:
        self.send_response(302)
        self.send_header("Location", self.path.partition("?")[2])
        self.end_headers()

    def path_loop(self) -> None:
        self.send_response(302)
        self.send_header("Location", "/loop")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def server() -> Iterator[str]:
    Handler.asked = []
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as running:
        threading.Thread(target=running.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{running.server_port}"
        running.shutdown()
