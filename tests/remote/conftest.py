"""An S3 server on this machine, the machines that use it, and the requests that they make."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.request import Request, urlopen

import pytest

from labapp.config import addresses
from labapp.store import index
from labapp.store.remote import mirror, objects


@pytest.fixture(scope="session")
def server() -> Iterator[str]:
    """Its address."""
    pytest.importorskip("s3fs", reason="s3fs is not installed; `pip install -e '.[s3]'` installs it")
    why = "moto is not installed, the S3 server of these tests; `pip install -e '.[dev]'` installs it"
    moto = pytest.importorskip("moto.server", reason=why)
    running = moto.ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    running.start()
    host, port = running.get_host_and_port()
    yield f"http://{host}:{port}"
    running.stop()


class Machine:
    """A machine: it keeps what it has of archives elsewhere in a folder of its own."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.folder, self._monkeypatch = folder, monkeypatch

    def __enter__(self) -> "Machine":
        """What runs from here on runs on this machine, begun just now."""
        self._monkeypatch.setenv(addresses.CACHE, str(self.folder))
        mirror._mirrors.clear()
        index._archives.clear()
        return self

    def __exit__(self, *_: object) -> None:
        pass


@pytest.fixture
def machine(server: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Machine]:
    """A machine by its name, that reaches the server, which is empty."""
    urlopen(Request(f"{server}/moto-api/reset", method="POST"))
    for name, value in {
        "AWS_ENDPOINT_URL": server,
        "AWS_ACCESS_KEY_ID": "testing",
        "AWS_SECRET_ACCESS_KEY": "testing",
        "AWS_DEFAULT_REGION": "us-east-1",
    }.items():
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("AWS_PROFILE", raising=False)
    return lambda name: Machine(tmp_path / name, monkeypatch)


@pytest.fixture
def archive(machine: Callable[[str], Machine]) -> Iterator[str]:
    """The address of an archive that is empty, seen from the machine `one`."""
    with machine("one"):
        store = objects.objects_at("s3://bucket/runs")
        store.system.call_s3("create_bucket", Bucket="bucket")  # type: ignore[attr-defined]
        yield "s3://bucket/runs"


@pytest.fixture
def requests(archive: str, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What was asked of the server, each as METHOD PATH."""
    from aiobotocore.httpsession import AIOHTTPSession

    seen: list[str] = []
    original = AIOHTTPSession.send

    async def send(self: AIOHTTPSession, request: object) -> object:
        seen.append(f"{request.method} {request.url.partition('/bucket')[2]}")  # type: ignore[attr-defined]
        return await original(self, request)

    monkeypatch.setattr(AIOHTTPSession, "send", send)
    return seen


def stored(address: str) -> dict[str, bytes]:
    """All objects below an address."""
    store = objects.objects_at(address)
    return {key: store.read(key) or b"" for key in store.listed("")}


def edit_there(address: str, key: str, **fields: object) -> None:
    """Write other values into a JSON object."""
    store = objects.objects_at(address)
    store.put(key, json.dumps(json.loads(store.read(key) or b"{}") | fields).encode())
