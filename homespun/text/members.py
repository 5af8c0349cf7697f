"""What of the many files in a folder or an archive is worth reading, and how each begins.

A file among many may be anything, so here nothing is fatal: what is no text is
passed over and counted. In a code repository every file is read as the text it
is, and begins with a line that names it: `# path/to/file.py`.
"""

from __future__ import annotations

import codecs
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from pathlib import PurePosixPath

from homespun.errors import MissingExtra, TextError
from homespun.text.blob import Blob
from homespun.text.decode import NotText, begins_like_something_else, decoded
from homespun.text.document import Document
from homespun.text.formats import ARCHIVES, READERS, Pointer, Request, documents_of, refuse_pointer
from homespun.text.layout import HEAD as CARD_HEAD
from homespun.text.layout import is_card, layout_of
from homespun.text.notes import Tally
from homespun.text.slack_days import SlackDays

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
    .sqlite3 .mdb .7z .rar .lz4 .br .cab .msi .doc .xls .xlsx .ppt .pptx .ods .odp
    .npy .npz .pkl .pickle .pt .pth .ckpt .onnx .safetensors .gguf .h5 .hdf5 .orc
    .avro .mo .wasm .swf .blend .stl .glb .ds_store
    """.split()  # noqa: SIM905
)
# Suffixes that people give to texts as well: what is in the file decides.
_PERHAPS_TEXT = frozenset(
    ".a .bin .cab .ckpt .class .dat .db .dll .doc .img .iso .lib .mdb .mo .o .obj .orc .pt .so .stl".split()  # noqa: SIM905
)
PROSE_AND_DATA = frozenset({".txt", ".md", ".rst", ".tex", ".org", *READERS} - {".json", ".ipynb", ".xml"})
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


def is_mostly_code(paths: Iterable[str] | Mapping[str, int]) -> bool:
    """Whether there is more source code than prose and data; settings, pictures and the like don't count.

    With the sizes of the files it is the bytes that count where there are as many of either.

    >>> is_mostly_code(["a.py", "b.py", "README.md", "LICENSE"]), is_mostly_code(["a.py", "b.txt"])
    (True, False)
    >>> is_mostly_code({"a.py": 20, "README.md": 10}), is_mostly_code({"build.py": 20, "novel.tex": 1000})
    (True, False)
    """
    code = others = more = 0
    for path in paths:
        suffix = PurePosixPath(path).suffix.lower()
        size = paths[path] if isinstance(paths, Mapping) else 0
        code += suffix in SOURCE_CODE
        others += suffix in PROSE_AND_DATA
        more += size * (suffix in SOURCE_CODE) - size * (suffix in PROSE_AND_DATA)
    return code > others or (code == others and more > 0)


def is_hidden(path: str) -> bool:
    """Whether a file, or a folder on the way to it, is hidden, or one that only a system needs."""
    return any(
        (part.startswith(".") and part not in (".", "..")) or part == "__MACOSX" for part in path.split("/")
    )


def read_members(
    members: Iterable[Blob], names: Iterable[str], is_code: bool, request: Request, tally: Tally
) -> Iterator[Document]:
    """The documents of those files that are text; the others are counted. `Blob.name` is the path to show.

    names: the paths of all of them, which show what they are together.
    """
    layout = layout_of(names)
    slack = SlackDays(layout.slack)
    for blob in members:
        if not is_code and slack.takes(blob.name):
            yield from _guarded(blob, tally, lambda blob: slack.add(blob, tally))
        elif layout.is_about(blob.name):
            tally.add("about", blob.origin)
        elif not is_code and layout.may_be_card(blob.name) and is_card(_head(blob, CARD_HEAD)):
            tally.add("card", blob.origin)
        elif blob.suffix in BINARY and not (blob.suffix in _PERHAPS_TEXT and _is_text(_head(blob, _LOOK))):
            tally.add("binary", blob.origin)
        elif is_code and _is_generated(blob, tally):
            tally.add("generated", blob.origin)
        elif request.inside and blob.suffix in ARCHIVES:
            tally.add("nested", blob.origin)
        elif is_code:
            yield from _guarded(blob, tally, lambda blob: _source_code(blob, request, tally))
        else:
            yield from _guarded(blob, tally, lambda blob: documents_of(blob, request, tally))
    yield from slack.documents(tally)


def _source_code(blob: Blob, request: Request, tally: Tally) -> Iterator[Document]:
    header = f"# {blob.name}\n"
    if blob.suffix == ".ipynb":
        yield from documents_of(blob, replace(request, header=header), tally)
    else:
        refuse_pointer(blob)
        document = decoded(blob, header=header, named=request.encoding)
        document.read_as = "source code"
        yield document


def _guarded(blob: Blob, tally: Tally, read: Callable[[Blob], Iterator[Document]]) -> Iterator[Document]:
    """The documents of a file among many: what is wrong with it is counted, and no error."""
    try:
        yield from read(blob)
    except NotText:
        tally.add("binary", blob.origin)
    except Pointer:
        tally.add("pointer", blob.origin)
    except MissingExtra as error:
        tally.add("unreadable", f"{blob.origin} ({error})".replace("\n", " "))
    except TextError as error:
        tally.add("unreadable", error.what)
        tally.ways_on.setdefault(error.todo)


def _head(blob: Blob, count: int) -> bytes:
    try:
        return blob.head(count)
    except TextError:
        return b""  # reading it will tell what is the matter


def _is_text(head: bytes) -> bool:
    """Whether a file whose suffix is that of other things (.dat, .doc, .lib) begins as text does.

    >>> _is_text(b"Once upon a time.\\n"), _is_text(b"\\x00\\x01PNG"), _is_text(b"\\x89PNG")
    (True, False, False)
    """
    if not head or b"\0" in head or begins_like_something_else(head):
        return False
    odd = sum(byte < 9 or 13 < byte < 27 or 27 < byte < 32 for byte in head)
    try:
        codecs.getincrementaldecoder("utf-8")().decode(head)
    except UnicodeDecodeError:
        letters = sum(chr(byte).isascii() and (chr(byte).isalpha() or byte in b" \n") for byte in head)
        return not odd and letters > 0.6 * len(head)  # an older encoding
    return odd <= len(head) // 1000


def _is_generated(blob: Blob, tally: Tally) -> bool:
    """Whether a program wrote this file: by its name, a notice at its top, or lines no person writes."""
    if _GENERATED_NAMES.fullmatch(PurePosixPath(blob.name).name):
        return True
    head = _head(blob, _LOOK)
    top = b"\n".join(head.split(b"\n", _MARKED_LINES)[:_MARKED_LINES])
    if _GENERATED_MARK.search(top):
        return True
    minified = len(head) > 5 * _MINIFIED and len(head) > _MINIFIED * (head.count(b"\n") + 1)
    return minified and blob.suffix in SOURCE_CODE | {".json", ".svg", ".html"}
