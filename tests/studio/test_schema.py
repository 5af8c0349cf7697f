"""The contract with the page: what the schema says is what the application answers."""

from __future__ import annotations

from homespun.studio import reference


def test_the_schema_in_web_is_that_of_the_application() -> None:
    written = reference.SCHEMA.read_text(encoding="utf-8")
    assert written == reference.text(), "write it anew:  python -m homespun.studio.reference"


def test_everything_that_writes_is_below_one_prefix_and_everything_below_it_is_posted() -> None:
    reads = ("/api/inside/",)  # a question about a text has the text in its body, and changes nothing
    for path, methods in reference.schema()["paths"].items():
        if path.startswith("/api/act/"):
            assert set(methods) == {"post"}, path
        elif path != "/api/session" and not path.startswith(reads):
            assert set(methods) == {"get"}, path


def test_every_route_says_what_it_is_for_and_what_it_answers() -> None:
    for path, methods in reference.schema()["paths"].items():
        for name, operation in methods.items():
            assert operation["description"], (path, name)
            content = operation["responses"]["200"].get("content", {})
            assert path == "/api/export" or (all(kind.get("schema") for kind in content.values()) and content), (
                path
            )
