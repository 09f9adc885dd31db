"""What does a store of objects offer, and what does it say when it does not?

Seven things, and nothing that S3 lacks: no renaming, no locks, no folders. An object appears whole or not at all. What
takes the place of a lock is `put` with what the object is expected to be: it is written where that is so, in one moment
for everybody, or not.
"""

from __future__ import annotations

import contextlib
import functools
import os
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from labapp.config import LabError, first_line, nearest
from labapp.config.addresses import endpoint
from labapp.config.extras import command

ANY = "*"  # whatever is there, it is written over
NOTHING_THERE = ""  # an object is written only where there is none


@dataclass(frozen=True, slots=True)
class Stored:
    """An object: a tag that changes with its contents, its bytes, and when it was written, in seconds."""

    tag: str
    size: int
    time: float


class OutdatedError(Exception):
    """An object is not what it was expected to be."""


class UnreachableError(LabError):
    """A store does not do what it is asked: it is away, is not there, or refuses."""


class Objects(ABC):
    """The objects of one archive, by their keys below its address. Faults are `UnreachableError`, one sentence."""

    def __init__(self, address: str) -> None:
        self.address = address

    @abstractmethod
    def listed(self, prefix: str) -> dict[str, Stored]:
        """All objects whose keys begin so."""

    @abstractmethod
    def folders(self) -> list[str]:
        """The first parts of all keys that have several, without those with "." in front."""

    @abstractmethod
    def look(self, key: str) -> Stored | None:
        """One object; None where it is not there."""

    @abstractmethod
    def fetch(self, wanted: Mapping[str, Path]) -> dict[str, str]:
        """Write objects into files, each whole; the tags of those that were there."""

    @abstractmethod
    def put(self, key: str, contents: Path | bytes, expected: str = ANY) -> str:
        """Write an object, and return its tag.

        Args:
            key: Which.
            contents: A file, or bytes.
            expected: The tag that it is to have until then, NOTHING_THERE or ANY.

        Raises:
            OutdatedError: It is another.
        """

    @abstractmethod
    def remove(self, keys: Iterable[str]) -> None:
        """Delete objects; those that are not there are no fault."""

    @abstractmethod
    def read(self, key: str) -> bytes | None:
        """One small object; None where it is not there."""

    @contextlib.contextmanager
    def told(self) -> Iterator[None]:
        """Turns what goes wrong in a block into `UnreachableError`."""
        try:
            yield
        except (LabError, OutdatedError):
            raise
        except Exception as error:
            raise UnreachableError(self.sentence(error)) from error

    def sentence(self, error: Exception) -> str:
        """What a fault means, and what to do."""
        names = {kind.__name__ for each in _chain(error) for kind in type(each).__mro__}
        said = first_line(error)
        if names & {"NoCredentialsError", "PartialCredentialsError", "ProfileNotFound", "TokenRetrievalError"}:
            return f"{self.address} asks for credentials, and there are none ({said}); {_CREDENTIALS}"
        if "PermissionError" in names or "RefreshError" in names:
            return f"{self.address} refuses these credentials or what is done with them ({said}); {_CREDENTIALS}"
        if "FileNotFoundError" in names:
            bucket = self.address.partition("://")[2].partition("/")[0]
            return f"{self.address} is not there: there is no bucket '{bucket}' ({said}); make it first"
        if names & _AWAY:
            return f"{self.address} cannot be reached ({said}); look at the network and at AWS_ENDPOINT_URL, then again"
        return f"{self.address} cannot be used: {said}"


_CREDENTIALS = "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE, name others"
_AWAY = {
    "EndpointConnectionError",
    "HTTPClientError",
    "ConnectionError",
    "ConnectTimeoutError",
    "TimeoutError",
    "gaierror",
}


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def objects_at(address: str) -> Objects:
    """The objects below an address.

    Raises:
        UnreachableError: No such protocol, or the package for it is not installed.
    """
    return _opened(address, os.getpid(), endpoint())


@functools.lru_cache(maxsize=16)
def _opened(address: str, _process: int, _service: str) -> Objects:
    protocol = address.partition("://")[0]
    try:
        import fsspec
    except ImportError:
        raise UnreachableError(f"{address} needs fsspec; `{command('s3')}` installs it") from None
    if protocol not in (known := fsspec.available_protocols()):
        near = nearest(protocol, known) or f"; s3, memory, file and {len(known) - 3} others are known"
        raise UnreachableError(f"'{protocol}' of {address} is no kind of store that fsspec knows{near}")
    try:
        if protocol in ("s3", "s3a"):
            from labapp.store.remote.s3 import InS3

            return InS3(address)
        from labapp.store.remote.anywhere import Anywhere

        return Anywhere(address)
    except ImportError as error:
        needs = f"s3fs, which is not installed; `{command('s3')}` installs it"
        other = f"a package that is not installed ({first_line(error)})"
        raise UnreachableError(f"{address} needs {needs if protocol.startswith('s3') else other}") from None
