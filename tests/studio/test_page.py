"""The page of the studio: built files that are what the sources give, small, and load nothing from elsewhere."""

from __future__ import annotations

import gzip
import re
import shutil
import subprocess
from pathlib import Path

import pytest

import homespun.studio
from tests.patience import PATIENCE

STATIC = Path(homespun.studio.__file__).with_name("static")
WEB = Path(__file__).parents[2] / "web"
MOST_FIRST_LOAD = 100_000  # bytes, compressed
MOST_IN_ALL = 400_000  # bytes in git
STATIC_IMPORT = re.compile(r"""(?:from|import)\s*["']\./([\w.-]+)["']""")


def node() -> str:
    found = shutil.which("node")
    if found is None or not (WEB / "node_modules").is_dir():
        pytest.skip("there is no Node here, or `npm ci` was not run in web/")
    return found


def loaded_at_once() -> set[str]:
    """The files that a browser asks for before it shows anything: what the page names, and what these import."""
    found = {"index.html"}
    named = re.findall(r'(?:src|href)="([^"]+)"', (STATIC / "index.html").read_text(encoding="utf-8"))
    while named:
        name = named.pop()
        if name not in found:
            found.add(name)
            named += STATIC_IMPORT.findall((STATIC / name).read_text(encoding="utf-8"))
    return found


def test_the_first_load_is_small() -> None:
    files = loaded_at_once()
    assert {"index.html", "studio.js", "studio.css", "core.js"} <= files
    assert sum(len(gzip.compress((STATIC / name).read_bytes())) for name in files) <= MOST_FIRST_LOAD


def test_the_first_load_has_no_part_that_only_some_pages_need() -> None:
    assert not {"curve.js", "manuscript.js", "Run.js"} & loaded_at_once()


def test_the_built_files_are_small_enough_for_git() -> None:
    assert sum(path.stat().st_size for path in STATIC.iterdir()) <= MOST_IN_ALL


def test_every_built_file_is_installed() -> None:
    project = (WEB.parent / "pyproject.toml").read_text(encoding="utf-8")
    assert '"studio/static/*"' in project
    assert all(path.is_file() for path in STATIC.iterdir())


def test_no_built_file_names_an_address_elsewhere_that_it_could_load() -> None:
    for path in STATIC.iterdir():
        text = path.read_text(encoding="utf-8")
        addresses = set(
            re.findall(r"""(?:src|href|url\(|import\(|fetch\()\s*[=]?\s*["'`]?(https?:[^"'`)\s]+)""", text)
        )
        assert not addresses, (path.name, addresses)


def test_the_page_has_no_script_or_style_in_its_html() -> None:
    html = (STATIC / "index.html").read_text(encoding="utf-8")
    assert "<style" not in html
    assert not re.search(r"<script(?![^>]* src=)", html)
    assert not re.search(r"""\s(?:on\w+|style)=["']""", html)


def test_the_built_files_are_what_the_sources_give(tmp_path: Path) -> None:
    built = tmp_path / "static"
    subprocess.run([node(), "build_studio.mjs", str(built)], cwd=WEB, check=True, timeout=PATIENCE)
    assert {path.name: path.read_bytes() for path in built.iterdir()} == {
        path.name: path.read_bytes() for path in STATIC.iterdir()
    }


def test_the_types_are_those_of_the_schema(tmp_path: Path) -> None:
    tool = WEB / "node_modules" / "openapi-typescript" / "bin" / "cli.js"
    out = tmp_path / "schema.ts"
    command = [node(), str(tool), "studio/schema.json", "--output", str(out)]
    subprocess.run(command, cwd=WEB, check=True, timeout=PATIENCE, capture_output=True)
    assert out.read_text(encoding="utf-8") == (WEB / "studio" / "schema.ts").read_text(encoding="utf-8"), (
        "write them anew:  npm run schema  (in web/)"
    )


def test_the_functions_of_the_views_pass_their_own_tests() -> None:
    tool = WEB / "node_modules" / "vitest" / "vitest.mjs"
    command = [node(), str(tool), "run", "--root", ".", "--dir", "studio"]
    done = subprocess.run(command, cwd=WEB, timeout=PATIENCE, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
