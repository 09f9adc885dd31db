"""Which words name an archive that is elsewhere, and which folder of this machine stands for it?

    place("s3://bucket/runs")               # ~/.cache/labapp/archives/s3+bucket+runs
    shown(place("s3://bucket/runs") / "a")  # "s3://bucket/runs/a"
    place("runs"), place("file:///runs")    # Path("runs"), Path("/runs")

The folder stands for the address everywhere, also in another process: its name says what it stands for. So whatever
takes a folder takes an address, and paths stay paths. What lies in it is the affair of `store.remote`.
"""

import functools
import os
import re
from pathlib import Path
from urllib.parse import quote, unquote, urlsplit

from labapp.config.errors import LabError

CACHE = "LABAPP_CACHE"  # the folder for what this machine keeps of archives elsewhere
_ADDRESS = re.compile(
    r"([a-z][a-z0-9.-]+):/+(.*)", re.DOTALL
)  # one letter is a disk of Windows; a Path keeps one slash
_BELOW = "archives"
_LONGEST = 200  # bytes of a folder's name
_OF_S3 = ("s3", "s3a")


def place(where: str | os.PathLike[str]) -> Path:
    """The folder of this machine that an archive's folder or address means; it need not be there.

    Raises:
        LabError: An address that names nothing.
    """
    word = os.fspath(where)
    found = _ADDRESS.fullmatch(word) if ":/" in word else None
    if not found:
        return where if isinstance(where, Path) else Path(where)
    protocol, rest = found[1], found[2].strip("/")
    if protocol == "file":
        return Path("/", rest)
    parts = [part for part in rest.split("/") if part not in ("", ".")]  # a Path has no such parts either
    if not parts:
        raise LabError(f"'{word}' names no archive; an address is like s3://bucket/runs")
    name = "+".join(quote(part, safe=" @") for part in (_service(protocol), *parts))
    if len(name.encode()) > _LONGEST:
        raise LabError(f"the address '{word}' is too long; {_LONGEST} signs are what a folder's name may have")
    return Path(_kept(*_settings()), name)


def place_of_run(where: str | os.PathLike[str]) -> Path:
    """As `place`, of a run: what its address names before the last stroke is the archive."""
    word = os.fspath(where)
    if not (":/" in word and _ADDRESS.fullmatch(word)):
        return where if isinstance(where, Path) else Path(where)
    archive, _, name = word.rstrip("/").rpartition("/")
    return place(f"{archive}/") / name


def is_remote(path: str | os.PathLike[str]) -> bool:
    """Whether a folder or file of this machine stands for one that is elsewhere."""
    word = os.fspath(path)
    return _BELOW in word and word.startswith(_inside(*_settings()))  # the first is quick, and asked for every file


def address_of(path: str | os.PathLike[str]) -> tuple[str, str]:
    """Of what stands for something elsewhere: the archive's address, and the rest of the path below it."""
    inside = _inside(*_settings())
    name, _, below = os.fspath(path)[len(inside) :].partition(os.sep)
    service, *parts = map(unquote, name.split("+"))
    return f"{service.partition('@')[0]}://{'/'.join(parts)}", below.replace(os.sep, "/")


def archive_of(path: str | os.PathLike[str]) -> Path:
    """Of what stands for something elsewhere: the folder of its archive."""
    inside = _inside(*_settings())
    return Path(inside + os.fspath(path)[len(inside) :].partition(os.sep)[0])


def shown(path: str | os.PathLike[str]) -> str:
    """A folder or file as it is called in a sentence: by its address, where it is elsewhere."""
    if not is_remote(path):
        return os.fspath(path)
    address, below = address_of(path)
    return f"{address}/{below}" if below else address


def kept_folder() -> Path:
    """The folder with what this machine keeps of archives elsewhere."""
    return Path(_kept(*_settings()))


def endpoint() -> str:
    """The service that answers for S3, where it is not Amazon's."""
    return os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL") or ""


def _service(protocol: str) -> str:
    """Protocol and, since two services may have a bucket of one name each, which service."""
    other = urlsplit(endpoint()).netloc if protocol in _OF_S3 else ""
    return f"{protocol}@{other}" if other else protocol


def _settings() -> tuple[str, str]:
    return os.environ.get(CACHE, ""), os.environ.get("XDG_CACHE_HOME", "")


@functools.cache
def _kept(own: str, everybody: str) -> str:
    cache = Path(own).expanduser() if own else (Path(everybody) if everybody else Path.home() / ".cache") / "labapp"
    return str((cache / _BELOW).resolve())


def _inside(own: str, everybody: str) -> str:
    return _kept(own, everybody) + os.sep
