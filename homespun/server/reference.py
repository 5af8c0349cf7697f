"""The tables of docs/serve.md, written from `fields`:  python -m homespun.server.reference"""

from __future__ import annotations

from pathlib import Path

from homespun.server.fields import DONE, FIELDS, HARMLESS, REFUSED, Field

PAGE = Path(__file__).parents[2] / "docs" / "serve.md"
BEGIN, END = "<!-- fields: written by python -m homespun.server.reference -->", "<!-- end of fields -->"
TITLES = {
    DONE: "Parameters that are done",
    HARMLESS: "Accepted, without effect",
    REFUSED: "Refused, with the reason",
}


def tables() -> str:
    """All fields, by what becomes of them."""
    return "\n\n".join(section(status) for status in TITLES)


def section(status: str) -> str:
    rows = [row(field) for field in FIELDS if field.status == status]
    return "\n".join([f"### {TITLES[status]}", "", "| parameter | of | |", "|---|---|---|", *rows])


def row(field: Field) -> str:
    where = ", ".join(field.where)
    about = field.about.replace("|", "\\|")
    return f"| `{field.name}`{' *' if field.ours else ''} | {where} | {about} |"


def with_tables(page: str) -> str:
    """The page with the tables between its marks."""
    before, _, rest = page.partition(BEGIN)
    _, _, after = rest.partition(END)
    return f"{before}{BEGIN}\n\n{tables()}\n\n{END}{after}"


if __name__ == "__main__":
    PAGE.write_text(with_tables(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
    print(f"{PAGE} is written")
