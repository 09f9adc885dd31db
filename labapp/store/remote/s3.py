"""How are objects of S3 listed, read and written, in as few requests as there can be?

Through s3fs, which knows regions, credentials and what to try again; below its files, because those know no conditions
and no tags. A condition is S3's own (If-Match, If-None-Match), so it holds between machines.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from labapp.config.addresses import endpoint
from labapp.config.extras import needed
from labapp.store.files import write_whole
from labapp.store.remote.objects import ANY, NOTHING_THERE, Objects, OutdatedError, Stored

with needed(__name__):
    import fsspec.asyn
    import s3fs

AT_ONCE = 16  # requests
LARGE = 100 * 2**20  # bytes; what is larger goes up in parts, without a condition
PIECE = 2**20
MOST = 1000  # objects that one request deletes
CONFIG = {"connect_timeout": 10, "read_timeout": 60, "retries": {"max_attempts": 3, "mode": "standard"}}


class InS3(Objects):
    """Objects in a bucket, below a prefix."""

    def __init__(self, address: str) -> None:
        super().__init__(address)
        self.bucket, _, prefix = address.partition("://")[2].partition("/")
        self.prefix = f"{prefix.rstrip('/')}/" if prefix else ""
        self.system = s3fs.S3FileSystem(
            endpoint_url=endpoint() or None, config_kwargs=CONFIG, skip_instance_cache=True, use_listings_cache=False
        )

    def listed(self, prefix: str) -> dict[str, Stored]:
        """As `Objects.listed`; one request a thousand."""
        return {
            each["Key"][len(self.prefix) :]: Stored(each["ETag"], each["Size"], each["LastModified"].timestamp())
            for page in self._pages(Prefix=self.prefix + prefix)
            for each in page.get("Contents", ())
        }

    def folders(self) -> list[str]:
        """As `Objects.folders`; one request a thousand."""
        pages = self._pages(Prefix=self.prefix, Delimiter="/", StartAfter=f"{self.prefix}/")  # a stroke comes after "."
        return [each["Prefix"][len(self.prefix) : -1] for page in pages for each in page.get("CommonPrefixes", ())]

    def _pages(self, **asked: Any) -> Iterator[Mapping[str, Any]]:
        token: dict[str, str] = {}
        while True:
            with self.told():
                page = self._call("list_objects_v2", **asked, **token)
            yield page
            if not page.get("IsTruncated"):
                return
            token = {"ContinuationToken": page["NextContinuationToken"]}

    def look(self, key: str) -> Stored | None:
        """As `Objects.look`."""
        with self.told():
            try:
                found = self._call("head_object", Key=self.prefix + key)
            except FileNotFoundError as error:
                _require_bucket(error)
                return None
        return Stored(found["ETag"], found["ContentLength"], found["LastModified"].timestamp())

    def read(self, key: str) -> bytes | None:
        """As `Objects.read`."""

        async def whole() -> bytes:
            answer = await self.system._call_s3("get_object", Bucket=self.bucket, Key=self.prefix + key)
            async with answer["Body"] as body:
                return bytes(await body.read())

        with self.told():
            try:
                return bytes(self._run(whole))
            except FileNotFoundError as error:
                _require_bucket(error)
                return None

    def fetch(self, wanted: Mapping[str, Path]) -> dict[str, str]:
        """As `Objects.fetch`, several at once."""
        tags: dict[str, str] = {}

        async def one(key: str, path: Path, turn: asyncio.Semaphore) -> None:
            async with turn:
                try:
                    answer = await self.system._call_s3("get_object", Bucket=self.bucket, Key=self.prefix + key)
                except FileNotFoundError as error:
                    _require_bucket(error)
                    return
                pieces = []
                async with answer["Body"] as body:
                    while piece := await body.read(PIECE):
                        pieces.append(piece)
                write_whole(path, lambda file: file.writelines(pieces))
                tags[key] = answer["ETag"]

        async def every() -> None:
            turn = asyncio.Semaphore(AT_ONCE)
            await asyncio.gather(*(one(key, path, turn) for key, path in wanted.items()))

        if wanted:
            with self.told():
                self._run(every)
        return tags

    def put(self, key: str, contents: Path | bytes, expected: str = ANY) -> str:
        """As `Objects.put`."""
        condition = {} if expected == ANY else {"IfMatch": expected} if expected else {"IfNoneMatch": "*"}
        if isinstance(contents, Path):
            if contents.stat().st_size > LARGE:
                with self.told():
                    self.system.put_file(str(contents), f"{self.bucket}/{self.prefix}{key}")
                found = self.look(key)
                return found.tag if found else ""
            contents = contents.read_bytes()
        with self.told():
            try:
                return str(self._call("put_object", Key=self.prefix + key, Body=contents, **condition)["ETag"])
            except Exception as error:
                if condition and _code(error) in _REFUSED | (
                    {"NoSuchKey", "404"} if expected != NOTHING_THERE else set()
                ):
                    raise OutdatedError(key) from error
                raise

    def remove(self, keys: Iterable[str]) -> None:
        """As `Objects.remove`; one request a thousand."""
        gone = [{"Key": self.prefix + key} for key in keys]
        for first in range(0, len(gone), MOST):
            with self.told():
                self._call("delete_objects", Delete={"Objects": gone[first : first + MOST], "Quiet": True})

    def _call(self, method: str, **given: Any) -> Any:
        return self.system.call_s3(method, Bucket=self.bucket, **given)

    def _run(self, work: Callable[[], Awaitable[Any]]) -> Any:
        return fsspec.asyn.sync(self.system.loop, work)


_REFUSED = {"PreconditionFailed", "ConditionalRequestConflict", "412", "409"}


def _code(error: BaseException | None) -> str:
    """What S3 said in one word."""
    while error is not None:
        if isinstance(answer := getattr(error, "response", None), dict):
            return str(answer.get("Error", {}).get("Code", ""))
        error = error.__cause__ or error.__context__
    return ""


def _require_bucket(error: FileNotFoundError) -> None:
    """A bucket that is not there is a fault, an object that is not there is none."""
    if _code(error) == "NoSuchBucket":
        raise error
