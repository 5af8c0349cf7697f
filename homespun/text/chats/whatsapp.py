"""What WhatsApp writes by itself between what people said: pictures left out, calls, notices, marks of edits.

On iPhones the mark U+200E stands before all of it. Android has no mark; there it is a text in angle brackets, a
file's name, or one of a few sentences, in the language of the phone.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence

from homespun.text.chats.message import without_direction

MARK = "\u200e"
_EVERYWHERE = 0.75  # where so many texts begin with the mark, some tool put it everywhere and it says nothing
_MARKED_PART = re.compile(r"[ \t]*\u200e<[^<>\n]{1,120}>")
_BRACKETED = re.compile(r"<[^<>\n]{2,60}>")
_LAST_BRACKETS = re.compile(r"\s*(<[^\W\d][^<>\n]{5,60}>)\Z")
_FILE = re.compile(r"\A[^\n]{1,200}\.\w{2,5} \([^()\n]{3,40}\)(?:\n|\Z)")
_FILE_NAMES = re.compile(r"\A(?:IMG|VID|PTT|AUD|STK|DOC)-\d{8}-WA\d+\.\w{2,5}[^\n]*(?:\n|\Z)")
_EDITED = re.compile(
    "edited|bearbeitet|modifi|editó|editada|bewerkt|modificato|изменено|edytowan|düzenlendi|redigerat|muokattu",
    re.IGNORECASE,
)
_OMITTED = re.compile(
    r"(?:image|video|audio|sticker|GIF|document|contact card|media|"
    r"Bild|Video|Audio|Sticker|Dokument|Kontaktkarte|imagen|vídeo|imagem|documento|figurinha|"
    r"immagine|adesivo|afbeelding|foto|photo|изображение|видео|аудио|стикер|документ)"
    r" (?:omitted|weggelassen|omitid[oa]|ocultad[oa]|omess[oa]|weggelaten|absent[e]?|опущен[оа]?|отсутствует)",
    re.IGNORECASE,
)
_NOTICES = {
    "null",
    "this message was deleted",
    "you deleted this message",
    "diese nachricht wurde gelöscht",
    "du hast diese nachricht gelöscht",
    "se eliminó este mensaje",
    "eliminaste este mensaje",
    "este mensaje fue eliminado",
    "ce message a été supprimé",
    "vous avez supprimé ce message",
    "questo messaggio è stato eliminato",
    "hai eliminato questo messaggio",
    "esta mensagem foi apagada",
    "mensagem apagada",
    "você apagou esta mensagem",
    "dit bericht is verwijderd",
    "je hebt dit bericht verwijderd",
    "данное сообщение удалено",
    "вы удалили данное сообщение",
    "bu mesaj silindi",
    "bu mesajı sildiniz",
    "ta wiadomość została usunięta",
    "waiting for this message",
    "waiting for this message. this may take a while",
    "missed voice call",
    "missed video call",
    "missed group voice call",
    "missed group video call",
    "verpasster sprachanruf",
    "verpasster videoanruf",
    "llamada perdida",
    "videollamada perdida",
    "appel vocal manqué",
    "appel vidéo manqué",
    "chiamata persa",
    "chamada de voz perdida",
    "chamada de vídeo perdida",
    "пропущенный аудиозвонок",
    "пропущенный видеозвонок",
}


def marks_say_something(texts: Sequence[str]) -> bool:
    """Whether the mark U+200E tells apart what WhatsApp wrote itself."""
    return sum(text.startswith(MARK) for text in texts) <= _EVERYWHERE * len(texts)


def edit_marks(texts: Sequence[str]) -> set[str]:
    """What stands in angle brackets at the end of several messages: "<This message was edited>"."""
    ends = Counter(found[1] for text in texts if (found := _LAST_BRACKETS.search(text)) and found.start())
    return {end for end, count in ends.items() if " " in end and (count > 1 or _EDITED.search(end))}


def spoken(text: str, *, marked: bool, edits: set[str]) -> tuple[str, str]:
    """(what a person said, the kind of what was left out if that is nothing; see message.LEFT_OUT).

    >>> spoken("\\u200eimage omitted", marked=True, edits=set())
    ('', 'no text')
    >>> spoken("<Media omitted>", marked=True, edits=set())
    ('', 'no text')
    >>> spoken("See you\\u200e <This message was edited>", marked=True, edits={"<This message was edited>"})
    ('See you', '')
    """
    if marked and text.startswith(MARK):
        is_file = _OMITTED.search(text) or text.startswith((MARK + "<", MARK + "‎<"))
        rest = _MARKED_PART.sub("", text).strip() if text.startswith(MARK + "<") else ""
        return (without_direction(rest).strip(), "") if rest else ("", "no text" if is_file else "service")
    text = without_direction(_MARKED_PART.sub("", text)).strip()
    if (found := _LAST_BRACKETS.search(text)) and found[1] in edits:
        text = text[: found.start()].rstrip()
    if _BRACKETED.fullmatch(text) or _OMITTED.fullmatch(text):
        return "", "no text"
    if text.lower().rstrip(".") in _NOTICES:
        return "", "service"
    for pattern in (_FILE, _FILE_NAMES):
        if found := pattern.match(text):
            text = text[found.end() :].strip()
            return text, "" if text else "no text"
    return text, "" if text else "no text"
