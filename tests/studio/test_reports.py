"""What the page gets of a text that was looked at, by the commands that read it."""

from __future__ import annotations

import json
from pathlib import Path

from tests.studio.running import RunningStudio

TALK = {"messages": [{"role": "user", "content": "The moon."}, {"role": "assistant", "content": "It is blue."}]}


def test_conversations_are_shown_and_are_no_text_to_train_on(studio: RunningStudio, shared_folder: Path) -> None:
    (shared_folder / "talk.jsonl").write_text((json.dumps(TALK) + "\n") * 20, encoding="utf-8")
    asked = studio.post("/api/act/look", text={"kind": "path", "path": "talk.jsonl"})
    found = studio.job(asked["job"])["look"]
    assert set(found["shown"]) == {"conversations"} and found["examination"] is None
    (_, first), *_ = found["shown"]["conversations"]["examples"]
    assert first == [["user", "The moon."], ["assistant", "It is blue."]]
    assert "That is a conversation" in found["problem"]
