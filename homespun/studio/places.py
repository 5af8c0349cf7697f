"""Paths that a page has named: below the studio's folder, or nothing.

A page is typed into by whoever reaches it, and a path is a way to read files. So a path is relative, has no `..`
in it, and is still below the folder once symbolic links are followed.
"""

from __future__ import annotations

from pathlib import Path, PurePosixPath

from homespun.server.errors import ApiError


def place_below(folder: Path, path: str, param: str = "path") -> Path:
    """The path in full. Raises ApiError: 400 for one that is not relative or leaves the folder."""
    parts = PurePosixPath(path).parts
    if "\0" in path or "\\" in path or path.startswith(("/", "~")) or ".." in parts:
        raise outside(path, param)
    place = (folder / path).resolve()
    if place != folder.resolve() and not place.is_relative_to(folder.resolve()):
        raise outside(path, param)
    return place


def existing_below(folder: Path, path: str, param: str = "path") -> Path:
    """The same, for what is there. Raises ApiError 404 as well."""
    place = place_below(folder, path, param)
    if not place.exists():
        raise ApiError(
            f"There is no {path[:200]!r} in the studio's folder.",
            "It may have been moved or removed: look at the list again.",
            status=404,
            param=param,
            code="not_found",
        )
    return place


def name_below(folder: Path, place: Path) -> str | None:
    """As the page names it: with slashes, from the folder. None for a name that no JSON can carry."""
    name = place.relative_to(folder).as_posix()
    try:
        name.encode("utf-8")
    except UnicodeEncodeError:
        return None
    return name


def outside(path: str, param: str) -> ApiError:
    return ApiError(
        f"{path[:200]!r} is not below the studio's folder.",
        "Name it from that folder, without ..; for another folder start the studio there: homespun studio DIR",
        status=403,
        kind="permission_error",
        param=param,
        code="outside",
    )
