"""Conversations with an assistant, as ChatGPT and Claude export them: their messages, in the order they were
read in.

>>> node = {"message": {"author": {"role": "user"}, "content": {"parts": ["Who?"]}}, "parent": None}
>>> answer = {"message": {"author": {"role": "assistant"}, "content": {"parts": ["The hen."]}}, "parent": "a"}
>>> node["children"], answer["children"] = ["b"], []
>>> [message["content"] for message in messages_of({"mapping": {"a": node, "b": answer}})]
['Who?', 'The hen.']
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

_ROLES = {"human": "user", "user": "user", "assistant": "assistant", "system": "system"}


def messages_of(value: object) -> list[dict[str, str]] | None:
    """The messages of one conversation; None for any other value."""
    if not isinstance(value, Mapping):
        return None
    if isinstance(value.get("mapping"), Mapping):
        return _chatgpt(value)
    if isinstance(value.get("chat_messages"), list):
        return _claude(value["chat_messages"])
    return None


def _chatgpt(value: Mapping[str, Any]) -> list[dict[str, str]]:
    """A tree, of which the last branch is what the user saw."""
    nodes = {key: node for key, node in value["mapping"].items() if isinstance(node, Mapping)}
    current = value.get("current_node")
    if current not in nodes:
        leaves = [key for key, node in nodes.items() if not node.get("children")]
        current = leaves[-1] if leaves else None
    path: list[Mapping[str, Any]] = []
    seen: set[object] = set()
    while current in nodes and current not in seen:
        seen.add(current)
        path.append(nodes[current])
        current = nodes[current].get("parent")
    found = []
    for node in reversed(path):
        message = node.get("message")
        if not isinstance(message, Mapping):
            continue
        author, content = message.get("author"), message.get("content")
        role = _ROLES.get(str(author.get("role"))) if isinstance(author, Mapping) else None
        parts = content.get("parts") if isinstance(content, Mapping) else None
        text = "\n".join(part for part in parts if isinstance(part, str)) if isinstance(parts, list) else ""
        if role and text.strip():
            found.append({"role": role, "content": text.strip()})
    return found


def _claude(messages: list[Any]) -> list[dict[str, str]]:
    found = []
    for message in messages:
        role = _ROLES.get(str(message.get("sender"))) if isinstance(message, Mapping) else None
        text = message.get("text") if isinstance(message, Mapping) else None
        if role and isinstance(text, str) and text.strip():
            found.append({"role": role, "content": text.strip()})
    return found
