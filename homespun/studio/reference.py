"""The schema for the page's types, written from the routes:  python -m homespun.studio.reference"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

SCHEMA = Path(__file__).parents[2] / "web" / "studio" / "schema.json"


def schema() -> dict[str, Any]:
    """OpenAPI's description of the studio's own addresses."""
    from homespun.studio.app import application

    nobody: Any = None  # no route is called
    return application(nobody, nobody).openapi()


def text() -> str:
    return json.dumps(schema(), indent=1, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    SCHEMA.parent.mkdir(parents=True, exist_ok=True)
    SCHEMA.write_text(text(), encoding="utf-8")
    print(f"{SCHEMA} is written")
