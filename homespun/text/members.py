"""What of the many files in a folder or an archive is worth reading, and how each begins.

A file among many may be anything, so here nothing is fatal: what is no text is
passed over and counted. In a code repository every file is read as the text it
is, and begins with a line that names it: `# path/to/file.py`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from pathlib import PurePosixPath

from homespun.errors import MissingExtra, TextError
from homespun.text.blob import Blob
from homespun.text.decode import NotText, decoded
from homespun.text.document import Document
from homespun.text.formats import ARCHIVES, READERS, Request, documents_of
from homespun.text.notes import Tally

SOURCE_CODE = frozenset(
    """
    .py .pyi .pyx .js .mjs .cjs .jsx .ts .tsx .vue .svelte .c .h .cc .cpp .cxx .hpp .hh .cu .cuh .m
    .mm .java .kt .kts .scala .groovy .go .rs .rb .php .pl .pm .lua .r .jl .swift .dart .cs .fs .vb
    .hs .ml .mli .ex .exs .erl .clj .cljs .lisp .el .scm .rkt .sh .bash .zsh .fish .ps1 .bat .sql
    .asm .s .v .sv .vhd .zig .nim .d .f .f90 .pas .ada .adb .tcl .css .scss .less .proto .tf .cmake
    .gradle .nix .vim
    """.split()  # noqa: SIM905
)
BINARY = frozenset(
    """
    .png .jpg .jpeg .gif .bmp .ico .webp .tif .tiff .heic .avif .psd .mp3 .wav .flac .ogg .opus .m4a
    .aac .mp4 .mkv .avi .mov .webm .wmv .woff .woff2 .ttf .otf .eot .exe .dll .so .dylib .a .o .obj
    .lib .class .jar .war .pyc .pyo .pyd .whl .egg .deb .rpm .dmg .iso .img .bin .dat .db .sqlite
    .sqlite3 .mdb .7z .rar .zst .lz4 .br .cab .msi .doc .docx .xls .xlsx .ppt .pptx .odt .ods .odp
    .npy .npz .pkl .pickle .pt .pth .ckpt .onnx .safetensors .gguf .h5 .hdf5 .feather .arrow .orc
    .avro .mo .wasm .swf .blend .stl .glb .ds_store
    """.split()  # noqa: SIM905
)
PROSE_AND_DATA = frozenset({".txt", ".md", ".rst", ".tex", ".org", *READERS} - {".json"})
_GENERATED_NAMES = re.compile(
    r"(package-lock\.json|npm-shrinkwrap\.json|yarn\.lock|pnpm-lock\.yaml|bun\.lockb?|poetry\.lock|uv\.lock|pdm\.lock"
    r"|Pipfile\.lock|Cargo\.lock|Gemfile\.lock|composer\.lock|flake\.lock|go\.sum|.+\.min\.(js|css|mjs)|.+\.map"
    r"|.+_pb2(_grpc)?\.pyi?|.+\.pb\.(go|cc|h)|.+\.g\.dart)"
)
_GENERATED_MARK = re.compile(
    rb"@generated\b|\b(?i:do not (edit|modify))\b|\b(?i:auto-?(matically )?generated)\b"
    rb"|^\W*((?i:this (file|code) (is|was|has been) |code )g|G)enerated (by|from|with)\b",
    re.MULTILINE,
)
_MARKED_LINES = 6  # a generator's notice stands at the top
_LOOK = 2**14  # bytes by which a file is judged
_MINIFIED = 400  # bytes; the mean line of a minified file is longer


def is_mostly_code(paths: Iterable[str]) -> bool:
    """Whether there is more source code than prose and data; settings, pictures and the like don't count.

    >>> is_mostly_code(["a.py", "b.py", "README.md", "LICENSE"]), is_mostly_code(["a.py", "b.txt"])
    (True, False)
    """
    code = others = 0
    for path in paths:
        suffix = PurePosixPath(path).suffix.lower()
        code += suffix in SOURCE_CODE
        others += suffix in PROSE_AND_DATA
    return code > others


def is_hidden(path: str) -> bool:
    """Whether a file, or a folder on the way to it, is hidden, or one that only a system needs."""
    return any(
        (part.startswith(".") and part not in (".", "..")) or part == "__MACOSX" for part in path.split("/")
    )


def read_members(members: Iterable[Blob], is_code: bool, request: Request, tally: Tally) -> Iterator[Document]:
    """The documents of those files that are text; the others are counted. `Blob.name` is the path to show."""
    for blob in members:
        if blob.suffix in BINARY:
            tally.add("binary", blob.origin)
        elif is_code and _is_generated(blob, tally):
            tally.add("generated", blob.origin)
        elif request.inside and blob.suffix in ARCHIVES:
            tally.add("nested", blob.origin)
        else:
            yield from _passing_over(blob, is_code, request, tally)


def _passing_over(blob: Blob, is_code: bool, request: Request, tally: Tally) -> Iterator[Document]:
    try:
        if is_code:
            yield decoded(blob, header=f"# {blob.name}\n")
        else:
            yield from documents_of(blob, request, tally)
    except NotText:
        tally.add("binary", blob.origin)
    except MissingExtra as error:
        tally.add("unreadable", f"{blob.origin} ({error})".replace("\n", " "))
    except TextError as error:
        tally.add("unreadable", error.what)


def _is_generated(blob: Blob, tally: Tally) -> bool:
    """Whether a program wrote this file: by its name, a notice at its top, or lines no person writes."""
    if _GENERATED_NAMES.fullmatch(PurePosixPath(blob.name).name):
        return True
    try:
        head = blob.head(_LOOK)
    except TextError:
        return False  # reading it will tell what is the matter
    top = b"\n".join(head.split(b"\n", _MARKED_LINES)[:_MARKED_LINES])
    if _GENERATED_MARK.search(top):
        return True
    minified = len(head) > 5 * _MINIFIED and len(head) > _MINIFIED * (head.count(b"\n") + 1)
    return minified and blob.suffix in SOURCE_CODE | {".json", ".svg", ".html"}
