"""The names that people give to the fields of a conversation and to those who speak in it.

Compared without case, spaces and signs: "System Prompt", "system_prompt" and "systemPrompt" are one name.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from homespun.text.fields import key_of

# Fields that hold a list of messages.
LISTS = ("messages", "conversations", "conversation", "dialog", "dialogue", "dialogs", "turns", "chat", "contents")
SYSTEM = ("system", "systemprompt", "systemmessage", "systeminstruction", "systemtext")
HISTORY = ("history", "chathistory")
QUESTIONS = (
    *("instruction", "instructions", "question", "questions", "prompt", "prompts", "query", "queries"),
    *("problem", "problems", "request", "requests", "userprompt", "usermessage", "userinput", "human", "user"),
    *("inputs", "input", "source", "sources", "sourcetext", "q"),
)
ANSWERS = (
    *("output", "outputs", "response", "responses", "answer", "answers", "completion", "completions", "reply"),
    *("replies", "solution", "solutions", "assistant", "assistantresponse", "botresponse", "modelresponse", "bot"),
    *("gpt", "target", "targets", "targettext", "a"),
)
# With {"text": …} as the question, and with {"text": …} as the answer: a text alone is a text.
ANSWERS_TO_A_TEXT = ("response", "responses", "reply", "completion", "output", "answer")
QUESTIONS_OF_A_TEXT = ("prompt", "prompts", "instruction", "instructions", "question")
BESIDE_A_QUESTION = ("input", "inputs", "context", "contexts", "passage", "background")
CHOSEN, REJECTED = "chosen", "rejected"
LABEL = "label"  # of preference data without pairs (KTO): true for a good answer, false for a bad one

# Where each record is a message: which conversation it is of. With a parent it is of a tree, which is none.
GROUPS = (
    *("conversationid", "conversation", "convid", "dialogid", "dialogueid", "dialogue", "threadid", "thread"),
    *("sessionid", "session", "chatid", "groupid", "group"),
)
PARENT = "parentid"

# In a message: who speaks, and what is said.
SPEAKERS = ("role", "from", "speaker", "author", "type", "sender")
SAID = ("content", "value", "text", "message", "utterance", "parts", "body")

_ROLES = {
    "system": "system developer sys systemmessage systemprompt systemtext",
    "user": "user human prompter humanmessage usermessage customer client question instruction prompt input q",
    "assistant": "assistant gpt chatgpt gpt4 gpt35 bot model ai aimessage assistantmessage chatbot bing "
    "bard claude gemini llm agent functioncall toolcall response answer output a",
    "tool": "tool function functionresponse toolresponse toolmessage functionmessage functionresult toolresult "
    "observation ipython",
}
ROLES = {name: role for role, names in _ROLES.items() for name in names.split()}
CALLS = ("functioncall", "toolcall")  # roles whose content is a call of a tool, as JSON


def role_of(said: object) -> str | None:
    """
    >>> role_of("Human"), role_of("SystemMessage"), role_of("AI"), role_of("boss")
    ('user', 'system', 'assistant', None)
    """
    return ROLES.get(key_of(said)) if isinstance(said, str) and len(said) <= 40 else None


class Fields(Mapping[str, Any]):
    """A record by the compared names of its fields; `name` is what a field is called in the file.

    >>> record = Fields({"System Prompt": "Be kind.", "question": "Who?"})
    >>> record["systemprompt"], record.name("systemprompt")
    ('Be kind.', 'System Prompt')
    """

    def __init__(self, record: Mapping[str, Any]) -> None:
        self.names: dict[str, str] = {}
        for name in record:
            self.names.setdefault(key_of(str(name)), name)
        self.record = record

    def __getitem__(self, key: str) -> Any:
        return self.record[self.names[key]]

    def __iter__(self) -> Iterator[str]:
        return iter(self.names)

    def __len__(self) -> int:
        return len(self.names)

    def name(self, key: str) -> str:
        return self.names[key]

    def first(self, keys: tuple[str, ...]) -> str | None:
        """The first of these names that the record has."""
        return next((key for key in keys if key in self.names), None)
