"""Exports of chats: what each app and each language makes of them, and what is no chat."""

# ruff: noqa: E501 (exports and texts stand as they are)
from __future__ import annotations

import json
from datetime import datetime
from pathlib import Path

import pytest

from homespun.text.chats import find, objects
from homespun.text.chats.message import Chat
from homespun.text.sources import read
from tests.text.conftest import notes_of, only_text, texts, write_zip

TALK = "Anna: Are you there?\nBen: Yes.\nStill here.\nAnna: Good.\n"


def whatsapp(form: str, *stamps: str) -> str:
    """The talk as an export whose lines are `form`, with a service message before it."""
    said = [("Anna", "Are you there?"), ("Ben", "Yes.\nStill here."), ("Anna", "Good.")]
    lines = [form.format(stamp=stamp, who=who, what=what) for stamp, (who, what) in zip(stamps, said, strict=True)]
    return "\n".join(lines) + "\n"


FORMS = {
    "iPhone, US": ("[{stamp}] {who}: {what}", "3/13/24, 9:05:00\u202fPM", "3/13/24, 9:06:00\u202fPM", "3/14/24, 8:00:00\u202fAM"),
    "iPhone, Germany": ("[{stamp}] {who}: {what}", "13.03.24, 21:05:00", "13.03.24, 21:06:00", "14.03.24, 08:00:00"),
    "iPhone, Denmark": ("[{stamp}] {who}: {what}", "13/03/2024 21.05.00", "13/03/2024 21.06.00", "14/03/2024 08.00.00"),
    "iPhone, Japan": ("[{stamp}] {who}: {what}", "2024/03/13 21:05:00", "2024/03/13 21:06:00", "2024/03/14 8:00:00"),
    "Android, UK": ("{stamp} - {who}: {what}", "13/03/2024, 21:05", "13/03/2024, 21:06", "14/03/2024, 08:00"),
    "Android, Spain": ("{stamp} - {who}: {what}", "13/3/24, 9:05 p.\u00a0m.", "13/3/24, 9:06 p.\u00a0m.", "14/3/24, 8:00 a.\u00a0m."),
    "Android, France": ("{stamp} - {who}: {what}", "13/03/2024 à 21:05", "13/03/2024 à 21:06", "14/03/2024 à 08:00"),
    "Android, Finland": ("{stamp} - {who}: {what}", "13.3.2024 klo 21.05", "13.3.2024 klo 21.06", "14.3.2024 klo 8.00"),
    "Android, Hungary": ("{stamp} - {who}: {what}", "2024. 03. 13. 21:05", "2024. 03. 13. 21:06", "2024. 03. 14. 08:00"),
    "Android, China": ("{stamp} - {who}: {what}", "2024/3/13 下午9:05", "2024/3/13 下午9:06", "2024/3/14 上午8:00"),
    "Android, Korea": ("{stamp}, {who} : {what}", "2024년 3월 13일 오후 9:05", "2024년 3월 13일 오후 9:06", "2024년 3월 14일 오전 8:00"),
    "Android, Egypt": ("{stamp} - {who}: {what}", "١٣/٣/٢٠٢٤، ٩:٠٥ م", "١٣/٣/٢٠٢٤، ٩:٠٦ م", "١٤/٣/٢٠٢٤، ٨:٠٠ ص"),
    "Android, Israel": ("{stamp} - {who}: {what}", "\u200f13\u200f/3\u200f/2024, 21:05", "13/3/2024, 21:06", "14/3/2024, 8:00"),
}  # fmt: skip


@pytest.mark.parametrize("form", FORMS)
def test_whatsapp_is_read_in_the_dates_of_many_languages(tmp_path: Path, form: str) -> None:
    (tmp_path / "_chat.txt").write_text(whatsapp(*FORMS[form]), encoding="utf-8")
    [document] = read(tmp_path / "_chat.txt").documents()
    assert document.read() == TALK and document.chat is not None
    assert [message.when for message in document.chat.messages] == [
        datetime(2024, 3, 13, 21, 5),
        datetime(2024, 3, 13, 21, 6),
        datetime(2024, 3, 14, 8, 0),
    ]
    assert "is read as a WhatsApp chat: 3 messages of Anna and Ben" in notes_of(tmp_path / "_chat.txt")


def test_what_whatsapp_writes_itself_is_counted_and_left_out(tmp_path: Path) -> None:
    lines = [
        "[1/2/24, 9:00:00\u202fAM] Group: \u200eMessages and calls are end-to-end encrypted.",
        "[1/2/24, 9:01:00\u202fAM] ~\u202fCem: Hello 👩\u200d👩\u200d👧",
        "\u200e[1/2/24, 9:02:00\u202fAM] Anna: \u200eimage omitted",
        "\u200e[1/2/24, 9:02:30\u202fAM] Anna: \u200e<attached: 0001-PHOTO.jpg>",
        "[1/2/24, 9:03:00\u202fAM] Anna: Tomorrow \u200e<This message was edited>",
        "[1/2/24, 9:04:00\u202fAM] Anna: https://example.org/x",
        "[1/2/24, 9:05:00\u202fAM] Anna: \u200eMissed voice call",
    ]
    (tmp_path / "_chat.txt").write_bytes("\r\n".join(lines).encode())
    assert only_text(tmp_path / "_chat.txt") == "Cem: Hello 👩\u200d👩\u200d👧\nAnna: Tomorrow\n"
    notes = notes_of(tmp_path / "_chat.txt")
    assert "2 service messages, 2 messages without text" in notes and "1 message that is only a link" in notes


def test_android_has_no_marks_and_is_understood_all_the_same(tmp_path: Path) -> None:
    lines = """12/03/2024, 21:04 - Messages are encrypted.
12/03/2024, 21:05 - Anna: <Media omitted>
12/03/2024, 21:05 - Anna: IMG-20240101-WA0001.jpg (file attached)
Look at this
12/03/2024, 21:06 - Anna changed the subject to "Plan: sea"
12/03/2024, 21:06 - Ben: This message was deleted
12/03/2024, 21:07 - Ben: <3 you
"""
    (tmp_path / "chat.txt").write_text(lines)
    assert only_text(tmp_path / "chat.txt") == "Anna: Look at this\nBen: <3 you\n"


LOGS = {
    "IRC": "[10:01] <anna> hello\n[10:02] <@ben> hi\n[10:02] *** Joins: cem\n",
    "irssi": "--- Log opened Tue Jan 02 10:00:00 2024\n10:01 -!- cem has joined\n10:01 < anna> hello\n10:02 <@ben> hi\n",
    "weechat": "2024-01-02 10:01:02\tanna\thello\n2024-01-02 10:02:02\t@ben\thi\n2024-01-02 10:02:03\t-->\tcem joined\n"
    + "2024-01-02 10:03:02\tanna\tso\n2024-01-02 10:03:04\tben\tyes\n",
    "Signal": "[2024-01-02 10:01] anna: hello\n[2024-01-02 10:02] ben: hi\n",
    "Viber": "[ 02.01.2024 10:01:02 ] anna: hello\n[ 02.01.2024 10:02:02 ] ben: hi\n",
    "KakaoTalk": "--------------- 2024년 1월 2일 화요일 ---------------\n[anna] [오전 10:01] hello\n[ben] [오전 10:02] hi\n",
    "Discord": "==============\nGuild: x\n==============\n\n[02-Jan-24 10:01 AM] anna#1234\nhello\n\n{Attachments}\n"
    + "https://cdn/x.png\n\n[02-Jan-24 10:02 AM] ben (pinned)\nhi\n\n==============\nExported 2 message(s)\n==============\n",
    "Telegram copied": "anna, [02.01.2024 10:01]\nhello\n\nben, [02.01.2024 10:02]\nhi\n",
    "iMessage": "Jan 02, 2024 10:01:02 AM (Read by you after 5 seconds)\nanna\nhello\n\nJan 02, 2024 10:02:02 AM\nben\nhi\n",
    "Zoom, one line": "10:01:02\t From  anna : hello\n10:02:02\t From  ben : hi\n",
    "Zoom": "10:01:02 From anna to Everyone:\n\thello\n10:02:02 From ben to Everyone:\n\thi\n",
}


@pytest.mark.parametrize("app", LOGS)
def test_other_logs_of_chats_are_read_the_same(tmp_path: Path, app: str) -> None:
    (tmp_path / "log.txt").write_text(LOGS[app], encoding="utf-8")
    assert only_text(tmp_path / "log.txt").startswith("anna: hello\nben: hi\n")


@pytest.mark.parametrize(
    "text",
    [
        "2024-01-02 10:01:02,123 INFO: started\n2024-01-02 10:01:03,123 ERROR: failed\n" * 5,
        "[2024-01-02 10:00:00] app.ERROR: no\n[2024-01-02 10:00:01] app.INFO: yes\n" * 5,
        "10:00 Opening: Anna speaks\n11:00 Talk: Ben\n12:00 Lunch: food\n",
        "HAMLET: To be.\nOPHELIA: My lord.\nHAMLET: Go.\n",
        "1:3 And God said, Let there be light: and there was light.\n1:4 And God saw: it was good.\n"
        + "1:10 And God said, Let there be: and there was.\n1:11 And God saw: it was good.\n"
        + "1:12 And God said: yes.\n1:13 And God said: no.\n1:14 And it was so: so.\n1:15 And so on: on.\n",
        "Jan 02, 2024 10:01 AM\nIt rained all day.\n\nJan 03, 2024 10:01 AM\nThe sun came out.\n",
        "[2024-01-02 10:00:00] Server started\n[2024-01-02 10:00:01] Server stopped\n",
        "Chapter 1: The hen\n\nIt was 10:30 when she came.\n",
    ],
)
def test_what_only_looks_like_a_chat_is_read_as_it_stands(tmp_path: Path, text: str) -> None:
    (tmp_path / "a.txt").write_text(text)
    assert only_text(tmp_path / "a.txt") == text


def test_names_without_stamps_are_a_chat_for_those_who_ask() -> None:
    assert find.chat_in_text(TALK) is None
    chat = find.chat_in_text(TALK, without_stamps=True)
    assert chat is not None and chat.text() == TALK and chat.remarks
    assert find.chat_in_text("One: two.\nThree: four.\n", without_stamps=True) is None


# --- JSON -----------------------------------------------------------------------------------------------------------

TELEGRAM = {
    "name": "Anna",
    "type": "personal_chat",
    "id": 1,
    "messages": [
        {"id": 1, "type": "service", "actor": "Anna", "action": "create_group", "text": ""},
        {
            "id": 2,
            "type": "message",
            "from": "Anna",
            "from_id": "user1",
            "text": "Are you there?",
            "date_unixtime": "60",
        },
        {"id": 3, "type": "message", "from": None, "text": ["Yes, ", {"type": "bold", "text": "here"}, "."]},
        {"id": 4, "type": "message", "from": "Anna", "text": "", "media_type": "sticker"},
    ],
}
META = {
    "participants": [{"name": "Bj\u00c3\u00b6rn"}],
    "thread_path": "inbox/x",
    "messages": [  # newest first
        {
            "sender_name": "Anna",
            "timestamp_ms": 3000,
            "content": "Reacted \u00f0\u009f\u0098\u0080 to your message",
        },
        {"sender_name": "Anna", "timestamp_ms": 2000, "content": "caf\u00c3\u00a9, d\u00c3\u00a9j\u00c3\u00a0"},
        {"sender_name": "Bj\u00c3\u00b6rn", "timestamp_ms": 1000, "content": "Hej \u00f0\u009f\u0098\u0080"},
        {"sender_name": "Anna", "timestamp_ms": 500, "photos": [{"uri": "x.jpg"}]},
    ],
}
DISCORD = {
    "guild": {"name": "g"},
    "channel": {"name": "general"},
    "messages": [
        {"type": "Default", "timestamp": "2024-01-02T10:01:00+00:00", "content": "hi <:wave:12> all", "author": {"name": "anna", "nickname": "Anna"}},
        {"type": "GuildMemberJoin", "timestamp": "2024-01-02T10:01:10+00:00", "content": "joined", "author": {"name": "cem"}},
        {"type": "Reply", "timestamp": "2024-01-02T10:02:00+00:00", "content": "yo", "author": {"name": "ben"}},
    ],
}  # fmt: skip


@pytest.mark.parametrize(
    ("export", "kind", "text"),
    [
        (TELEGRAM, "Telegram", "Anna: Are you there?\nDeleted Account: Yes, here.\n"),
        ({"chats": {"list": [TELEGRAM]}}, "Telegram", "Anna: Are you there?\nDeleted Account: Yes, here.\n"),
        (META, "Messenger", "Björn: Hej 😀\nAnna: café, déjà\n"),
        (DISCORD, "Discord", "Anna: hi :wave: all\nben: yo\n"),
        (
            [{"type": "message", "user": "U1", "text": "<https://x.org|page> &amp; <@U2|ben>", "ts": "1.0", "user_profile": {"display_name": "Anna"}}],
            "Slack",
            "Anna: page & @ben\n",
        ),
        (
            {"messages": [{"sender": "@anna:x.org", "type": "m.room.message", "content": {"msgtype": "m.text", "body": "hi"}}]},
            "Matrix",
            "anna: hi\n",
        ),
        (
            [{"sender": "Anna", "text": "hi", "timestamp": 1700000000}, {"sender": "Ben", "text": "yo", "timestamp": 1700000060}],
            "",
            "Anna: hi\nBen: yo\n",
        ),
    ],
)  # fmt: skip
def test_json_exports_are_read_as_what_was_said(tmp_path: Path, export: object, kind: str, text: str) -> None:
    (tmp_path / "result.json").write_text(json.dumps(export))
    assert only_text(tmp_path / "result.json") == text
    assert f"is read as a {kind} chat".replace("  ", " ") in notes_of(tmp_path / "result.json")


def test_characters_that_are_whole_stay_where_others_are_repaired() -> None:
    [chat] = objects.chats_in({"messages": [{"sender_name": "A", "content": "\u00c3\u00a9 and é and 😀"}]}) or []
    assert chat.messages[0].what == "é and é and 😀"


def test_messages_with_roles_are_no_chat() -> None:
    talk = [{"role": "user", "content": "hi"}, {"role": "assistant", "content": "yo"}]
    assert objects.chats_in({"messages": talk}) is None
    assert objects.chats_in(talk) is None
    assert objects.chats_in([{"author": "Poe", "title": "Raven", "text": "Once upon"}] * 3) is None


SLACK = {
    "users.json": [{"id": "U1", "name": "anna", "profile": {"display_name": "Anna"}}, {"id": "U2", "name": "ben"}],
    "channels.json": [{"name": "general"}],
    "general/2024-01-03.json": [{"type": "message", "user": "U2", "text": "hi <@U1>", "ts": "1704276000.1"}],
    "general/2024-01-02.json": [
        {"type": "message", "subtype": "channel_join", "user": "U2", "text": "joined", "ts": "1704189600.1"},
        {"type": "message", "user": "U1", "text": "First", "ts": "1704189700.1"},
    ],
    "random/2024-01-02.json": [{"type": "message", "user": "U1", "text": "Alone", "ts": "1704189700.1"}],
}


@pytest.mark.parametrize("packed", [False, True])
def test_a_slack_export_is_a_chat_a_channel_with_the_names_of_people(tmp_path: Path, packed: bool) -> None:
    files = {name: json.dumps(value).encode() for name, value in SLACK.items()}
    path = tmp_path / "export"
    if packed:
        path = write_zip(tmp_path / "export.zip", files)
    for name, content in files.items() if not packed else ():
        (path / name).parent.mkdir(parents=True, exist_ok=True)
        (path / name).write_bytes(content)
    assert list(texts(read(path)).values()) == ["Anna: First\nben: hi @Anna\n", "Anna: Alone\n"]
    assert "1 service message" in notes_of(path)


def test_a_day_of_slack_that_is_too_large_is_named_as_such(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in SLACK.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(json.dumps(value))
    most = max(path.stat().st_size for path in tmp_path.rglob("*.json")) - 1
    monkeypatch.setattr("homespun.text.slack_days.MAX_DAY", most)
    assert f"is a file of a Slack export of more than {most:,} bytes" in notes_of(tmp_path)


def test_tables_of_chats_are_chats(tmp_path: Path) -> None:
    (tmp_path / "discord.csv").write_text(
        "AuthorID,Author,Date,Content,Attachments,Reactions\n"
        "1,anna#1234,2024-01-02T10:01:00.1230000+00:00,hello,,\n2,ben,2024-01-02T10:02:00.1230000+00:00,hi,,\n"
    )
    (tmp_path / "kakao.csv").write_text(
        'Date,User,Message\n"2024-01-02 10:01:02","anna","hello"\n"2024-01-02 10:02:02","ben","hi"\n'
    )
    (tmp_path / "tweets.csv").write_text(
        "user,date,text\n" + "".join(f"u{i},2024-01-02 10:01,Tweet {i}\n" for i in range(9))
    )
    assert only_text(tmp_path / "discord.csv") == only_text(tmp_path / "kakao.csv") == "anna: hello\nben: hi\n"
    assert len(texts(read(tmp_path / "tweets.csv"))) == 9


def test_left_out_kinds_are_those_that_are_described() -> None:
    chat = Chat("Signal")
    chat.add("Anna", " \n")
    chat.add("Anna", "www.example.org https://x.org")
    chat.leave_out("service")
    assert chat.messages == [] and chat.left_out.total() == 3
    assert chat.description() == (
        "a Signal chat: 0 messages; left out: 1 service message, 1 message without text (pictures, recordings), "
        "1 message that is only a link"
    )


TELEGRAM_PAGE = """<html><body><div class="page_body chat_page"><div class="message service"><div class="body details">Today</div></div>
<div class="message default clearfix"><div class="pull_left"><div class="initials">A</div></div><div class="body">
<div class="pull_right date details" title="02.01.2024 10:01:02 UTC+01:00">10:01</div><div class="from_name"> Anna </div>
<div class="text">Hello<br>you <strong>there</strong></div></div></div>
<div class="message default clearfix joined"><div class="body"><div class="pull_right date details" title="02.01.2024 10:01:10">10:01</div>
<div class="text">And more</div></div></div>
<div class="message default clearfix"><div class="body"><div class="from_name">Ben</div><div class="media_wrap">Photo</div></div></div>
</div></body></html>"""
META_PAGE = """<html><body><div class="_a6-g"><div class="_a6-h">Ben</div><div class="_a6-p"><div>And more</div></div>
<div class="_a6-o">Jan 02, 2024 10:02 AM</div></div><div class="_a6-g"><div class="_a6-h">Anna</div><div class="_a6-p"><div>Hello you</div></div>
<div class="_a6-o">Jan 02, 2024 10:01 AM</div></div></body></html>"""
DISCORD_PAGE = """<html><body><div class="chatlog__message-group"><span class="chatlog__author">Anna</span>
<div class="chatlog__message"><div class="chatlog__content">Hello you</div></div></div><div class="chatlog__message-group">
<span class="chatlog__author">Ben</span><div class="chatlog__content">And more</div></div></body></html>"""


@pytest.mark.parametrize(
    ("page", "text"),
    [
        (TELEGRAM_PAGE, "Anna: Hello\nyou there\nAnna: And more\n"),
        (META_PAGE, "Anna: Hello you\nBen: And more\n"),
        (DISCORD_PAGE, "Anna: Hello you\nBen: And more\n"),
    ],
)
def test_chats_exported_as_pages_are_chats(tmp_path: Path, page: str, text: str) -> None:
    pytest.importorskip("lxml")
    (tmp_path / "messages.html").write_text(page)
    assert only_text(tmp_path / "messages.html") == text


def test_messages_of_a_phone_are_a_chat_and_other_xml_says_what_it_is(tmp_path: Path) -> None:
    pytest.importorskip("lxml")
    (tmp_path / "sms.xml").write_text(
        '<?xml version="1.0"?><smses><sms address="+49" date="2000" type="2" body="Yes &amp; no" contact_name="Anna"/>'
        '<sms address="+49" date="1000" type="1" body="Are you there?" contact_name="Anna"/></smses>'
    )
    assert only_text(tmp_path / "sms.xml") == "Anna: Are you there?\nMe: Yes & no\n"
    (tmp_path / "a.xml").write_text("<a>One</a>")
    assert only_text(tmp_path / "a.xml") == "<a>One</a>"
    assert "is read as it stands, as XML" in notes_of(tmp_path / "a.xml")


def node(role: str, text: str, parent: str | None, *children: str) -> dict:
    message = {"author": {"role": role}, "content": {"content_type": "text", "parts": [text]}}
    return {"message": message, "parent": parent, "children": list(children)}


def test_what_chatgpt_and_claude_export_is_conversations(tmp_path: Path) -> None:
    tree = {
        "a": {"message": None, "parent": None, "children": ["b"]},
        "b": node("user", "Who?", "a", "c", "d"),
        "c": node("assistant", "Thrown away.", "b"),
        "d": node("assistant", "The hen.", "b"),
    }
    claude = [{"sender": "human", "text": "Who?"}, {"sender": "assistant", "text": "The hen."}]
    for export in (
        [{"title": "T", "mapping": tree, "current_node": "d"}],
        [{"uuid": "1", "chat_messages": claude}],
    ):
        (tmp_path / "conversations.json").write_text(json.dumps(export))
        assert only_text(tmp_path / "conversations.json") == "User: Who?\nAssistant: The hen.\n"
    assert "1 conversation with an assistant" in notes_of(tmp_path / "conversations.json")


def test_nicknames_in_angle_brackets_are_a_chat_and_a_page_is_not(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("<anna> hello\n<ben> hi\n<anna> more\n")
    (tmp_path / "b.txt").write_text("<p> Hello</p>\n<p> you</p>\n<b> no</b>\n")
    assert only_text(tmp_path / "a.txt") == "anna: hello\nben: hi\nanna: more\n"
    assert only_text(tmp_path / "b.txt").startswith("<p>")
