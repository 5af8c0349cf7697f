"""Encodings from before UTF-8: which one a text is in, what people call them, and those that users name.

>>> older_encoding("Zażółć gęślą jaźń, rzekł stary rybak".encode("cp1250"), has_c1=True)
'cp1250'
>>> named_encoding("Windows-1250"), named_encoding("latin2")
('cp1250', 'iso8859-2')
"""

from __future__ import annotations

import codecs
import difflib
import re
from encodings.aliases import aliases

from homespun.errors import UsageError

# name: what people call it
NAMES = {
    "utf-8-sig": "UTF-8 with a byte order mark, which is left out",
    "utf-16-le": "UTF-16 (little-endian)",
    "utf-16-be": "UTF-16 (big-endian)",
    "utf-32-le": "UTF-32 (little-endian)",
    "utf-32-be": "UTF-32 (big-endian)",
    "latin-1": "Latin-1 (ISO 8859-1)",
    "cp1250": "Windows-1250 (Central European)",
    "cp1251": "Windows-1251 (Cyrillic)",
    "cp1252": "Windows-1252 (Western European)",
    "cp1253": "Windows-1253 (Greek)",
    "cp1254": "Windows-1254 (Turkish)",
    "cp1255": "Windows-1255 (Hebrew)",
    "cp1256": "Windows-1256 (Arabic)",
    "cp1257": "Windows-1257 (Baltic)",
    "cp1258": "Windows-1258 (Vietnamese)",
    "iso8859-2": "ISO 8859-2 (Central European)",
    "iso8859-4": "ISO 8859-4 (Baltic)",
    "iso8859-5": "ISO 8859-5 (Cyrillic)",
    "iso8859-7": "ISO 8859-7 (Greek)",
    "iso8859-8": "ISO 8859-8 (Hebrew)",
    "iso8859-9": "ISO 8859-9 (Turkish)",
    "iso8859-13": "ISO 8859-13 (Baltic)",
    "iso8859-15": "ISO 8859-15 (Western European)",
    "iso8859-16": "ISO 8859-16 (South-Eastern European)",
    "iso8859-6": "ISO 8859-6 (Arabic)",
    "cp874": "Windows-874 (Thai)",
    "cp862": "code page 862 (DOS, Hebrew)",
    "koi8-r": "KOI8-R (Russian)",
    "koi8-u": "KOI8-U (Ukrainian)",
    "cp437": "code page 437 (DOS)",
    "cp737": "code page 737 (DOS, Greek)",
    "cp775": "code page 775 (DOS, Baltic)",
    "cp850": "code page 850 (DOS, Western European)",
    "cp852": "code page 852 (DOS, Central European)",
    "cp855": "code page 855 (DOS, Cyrillic)",
    "cp857": "code page 857 (DOS, Turkish)",
    "cp866": "code page 866 (DOS, Russian)",
    "mac-roman": "Mac Roman",
    "mac-cyrillic": "Mac Cyrillic",
    "mac-latin2": "Mac Central European",
    "cp932": "Shift JIS (Japanese)",
    "euc_jp": "EUC-JP (Japanese)",
    "iso2022_jp": "ISO-2022-JP (Japanese)",
    "gb18030": "GB 18030 (Chinese)",
    "gbk": "GBK (Chinese)",
    "big5": "Big5 (Chinese)",
    "cp949": "code page 949 (Korean)",
    "euc_kr": "EUC-KR (Korean)",
}
MULTIBYTE = {"cp932", "shift_jis", "shift_jis_2004", "euc_jp", "gb18030", "gbk", "gb2312", "big5", "big5hkscs",
             "cp949", "cp950", "euc_kr", "johab", "iso2022_jp", "iso2022_kr", "hz"}  # fmt: skip
# What detectors call by a name that is narrower than what people use.
_WIDER = {"shift_jis": "cp932", "gb2312": "gb18030", "euc_kr": "cp949", "iso8859-1": "cp1252", "cp1125": "cp866",
          "tis-620": "cp874", "iso8859-11": "cp874"}  # fmt: skip
_COMMON = ("utf-8", "utf-16", "cp1252", "latin-1", "cp1250", "iso-8859-2", "cp1251", "koi8-r", "cp1253", "cp1254",
           "cp1257", "cp850", "mac-roman", "shift_jis", "euc-jp", "gb18030", "big5", "euc-kr")  # fmt: skip
_ALSO = {"ansi": "cp1252", "mac": "mac_roman", "dos": "cp437", "sjis": "shift_jis", "win1250": "cp1250",
         "win1251": "cp1251", "win1252": "cp1252", "macintosh": "mac_roman", "big-5": "big5"}  # fmt: skip

_FEW_LETTERS = 2  # kinds of them
_WESTERN = set("éèêëàâäáåæçïîíñóòôöøœúùûüß")
_SIGNS = set("“”‘’„‚–—…€£§°©®™«»•·½¼¾× \u00a0")

_CANDIDATES = 12
_LOOK = 2**14  # characters
_WORD = re.compile(r"[^\W\d_]+")
_LATIN = re.compile("[A-Za-z\u00c0-\u024f]")
_NOT_LATIN = re.compile("[\u0370-\u058f\u0590-\u06ff\u0e00-\u0e7f]")
_SIGN_IN_WORD = re.compile("[a-z][“”‘‚„£§°©®™«»•·½¼¾×][a-z]")


def older_encoding(sample: bytes, *, has_c1: bool) -> str:
    """The likeliest encoding of bytes that are no UTF-8. has_c1: whether the file has bytes from 0x80 to 0x9f,
    which
    only the Windows and DOS encodings use for letters and signs."""
    if (western := _western(sample)) is not None:
        return western if has_c1 else "latin-1"
    import chardet

    likely = [found["encoding"] for found in chardet.detect_all(sample, ignore_threshold=True)]
    codecs_said = [_codec(said) for said in likely if said]
    names = [name for said in codecs_said if (name := _WIDER.get(said, said)) in NAMES][:_CANDIDATES]
    name = next((name for name in names if _is_of_one_script(sample, name)), "cp1252")
    if name == "cp1252" and not has_c1:
        return "latin-1"
    if name == "iso8859-9" and has_c1:
        return "cp1254"
    return name


def _western(sample: bytes) -> str | None:
    """cp1252 where next to all is ASCII and the rest is what English prose has: "café", curly quotes, a dash.

    Detectors count letters, and one or two kinds of them are too few to count.
    """
    text = sample.decode("cp1252", "replace")
    odd = {character for character in text if not character.isascii()}
    letters = {character.lower() for character in odd if character.isalpha()}
    if (
        len(letters) > _FEW_LETTERS
        or not letters <= _WESTERN
        or not odd - _SIGNS <= {c for c in odd if c.isalpha()}
    ):
        return None
    return None if _SIGN_IN_WORD.search(text) else "cp1252"


def _is_of_one_script(sample: bytes, name: str) -> bool:
    """Whether words in this encoding are of one alphabet: "Йlиve" is what Cyrillic makes of French."""
    words = _WORD.findall(sample.decode(name, "replace")[:_LOOK])
    odd = [word for word in words if not word.isascii()]
    mixed = sum(bool(_LATIN.search(word)) and bool(_NOT_LATIN.search(word)) for word in odd)
    return 3 * mixed <= len(odd)


def _codec(said: str) -> str:
    try:
        return codecs.lookup(said).name
    except LookupError:
        return "cp1252"


def named_encoding(name: str) -> str:
    """The codec of an encoding that a user named. Raises UsageError, which names those that are meant most
    often."""
    wanted = name.strip()
    try:
        found = codecs.lookup(_ALSO.get(wanted.lower(), wanted))
        if not found._is_text_encoding:
            raise LookupError
        "a".encode(found.name)
    except (LookupError, UnicodeError, ValueError) as error:
        known = sorted({*_COMMON, *aliases.values(), *_ALSO})
        near = difflib.get_close_matches(wanted.lower(), known, n=3, cutoff=0.6)
        hint = f"Did you mean {' or '.join(near)}? " if near else ""
        raise UsageError(
            f"There is no encoding called {wanted[:40]!r}.", f"{hint}Common ones are {', '.join(_COMMON)}."
        ) from error
    return found.name
