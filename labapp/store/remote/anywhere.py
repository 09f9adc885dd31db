"""How are objects listed, read and written where fsspec knows the way, and no more than that?

What such a store has instead of conditions differs, so here an object is looked at and then written: two machines that
do so in one moment may both succeed. In S3 they cannot.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO

from labapp.config.extras import needed
from labapp.store.files import write_whole
from labapp.store.remote.objects import ANY, Objects, OutdatedError, Stored

with needed(__name__):
    import fsspec


class Anywhere(Objects):
    """Objects in a folder of a file system of fsspec."""

    def __init__(self, address: str) -> None:
        super().__init__(address)
        self.system, self.top = fsspec.core.url_to_fs(address, use_listings_cache=False)
        self.top = self.top.rstrip("/")

    def listed(self, prefix: str) -> dict[str, Stored]:
        """As `Objects.listed`."""
        with self.told():
            found = self.system.find(f"{self.top}/{prefix.rstrip('/')}" if prefix else self.top, detail=True)
        return {self._key(name): _stored(about) for name, about in found.items() if self._key(name).startswith(prefix)}

    def folders(self) -> list[str]:
        """As `Objects.folders`."""
        with self.told():
            there = self.system.ls(self.top, detail=True) if self.system.exists(self.top) else []
        names = (self._key(each["name"]) for each in there if each["type"] == "directory")
        return sorted(name for name in names if name[:1] != ".")

    def look(self, key: str) -> Stored | None:
        """As `Objects.look`."""
        with self.told():
            try:
                about = self.system.info(f"{self.top}/{key}")
                return None if about["type"] == "directory" else _stored(about)
            except FileNotFoundError:
                return None

    def read(self, key: str) -> bytes | None:
        """As `Objects.read`."""
        with self.told():
            try:
                return bytes(self.system.cat_file(f"{self.top}/{key}"))
            except FileNotFoundError:
                return None

    def fetch(self, wanted: Mapping[str, Path]) -> dict[str, str]:
        """As `Objects.fetch`."""
        tags = {}
        for key, path in wanted.items():
            about, contents = self.look(key), self.read(key)
            if about is not None and contents is not None:
                write_whole(path, partial(_fill, contents))
                tags[key] = about.tag
        return tags

    def put(self, key: str, contents: Path | bytes, expected: str = ANY) -> str:
        """As `Objects.put`, but that somebody may come between looking and writing."""
        there = self.look(key)
        if expected != ANY and (there.tag if there else "") != expected:
            raise OutdatedError(key)
        with self.told():
            self.system.makedirs(f"{self.top}/{key}".rpartition("/")[0], exist_ok=True)
            self.system.pipe_file(
                f"{self.top}/{key}", contents if isinstance(contents, bytes) else contents.read_bytes()
            )
        now = self.look(key)
        return now.tag if now else ""

    def remove(self, keys: Iterable[str]) -> None:
        """As `Objects.remove`."""
        for key in keys:
            if self.look(key):
                with self.told():
                    self.system.rm_file(f"{self.top}/{key}")

    def _key(self, name: str) -> str:
        return name.removeprefix("/").removeprefix(self.top.removeprefix("/")).removeprefix("/")


def _fill(contents: bytes, file: BinaryIO) -> None:
    file.write(contents)


def _stored(about: Mapping[str, Any]) -> Stored:
    """The tag is what the store says of the object, whatever that is."""
    when = next((about[name] for name in ("LastModified", "mtime", "updated", "created") if about.get(name)), 0.0)
    said = (
        about.get("ETag") or about.get("etag") or hashlib.sha256(str(sorted(about.items())).encode()).hexdigest()[:32]
    )
    return Stored(str(said), int(about["size"]), when.timestamp() if isinstance(when, datetime) else float(when or 0))
