"""What does a browser need for the first page besides what Streamlit's own page names?

Streamlit's page names the scripts of its frame. Those of charts, tables and fields are fetched once the first of them
is to be drawn, one behind another, when everything else is there. Named in the page's head as well they come meanwhile,
so that the browser has them when it has heard from the server. Which they are stands in the list that Streamlit's build
left beside its files. They are a hundred and a half, so each is served out of memory: through threads and the state of
a file one takes the server three times as long.
"""

from __future__ import annotations

import json
import mimetypes
import pkgutil
import re
from collections.abc import Iterable
from functools import cache
from typing import Any

from starlette.middleware import Middleware
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from streamlit.web.server.starlette import starlette_app

from labapp.app.promptly import promptly

BUILT = "static/manifest.json"  # of the package streamlit
DRAWN_WITH = (  # what the first page is made of, by the names that Streamlit's build has for them
    "Html", "TextInput", "Multiselect", "Button", "Checkbox", "ArrowVegaLiteChart", "loadVegaEmbed", "embed",
    "vega-interpreter", "DataFrame",
)  # fmt: skip


NAMED = re.compile(r"\.[\w-]{8}\.\w+")  # how a file's name ends that holds a digest of its contents
FOR_GOOD = b"public, immutable, max-age=31536000"  # as Streamlit has it


class FromMemory:
    """Serves the files of Streamlit's own pages, and leaves all else to another application."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        parts = _built().values()
        files = {file for part in parts for file in (part["file"], *part.get("css", ()), *part.get("assets", ()))}
        self._files = {file for file in files if NAMED.search(file)}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""
        if scope["type"] == "lifespan":  # the server begins, and listens already
            promptly()
        file = f"static/{scope['path'].rpartition('/static/')[2]}" if scope["type"] == "http" else ""
        if file not in self._files or scope["method"] != "GET" or any(name == b"range" for name, _ in scope["headers"]):
            await self._app(scope, receive, send)
            return
        head, body = _answer(file)
        await send({"type": "http.response.start", "status": 200, "headers": head})
        await send({"type": "http.response.body", "body": body})


@cache
def _answer(file: str) -> tuple[list[tuple[bytes, bytes]], bytes]:
    body = pkgutil.get_data("streamlit", f"static/{file}") or b""
    kind = mimetypes.guess_type(file)[0] or "application/octet-stream"
    if kind.startswith("text/"):
        kind += "; charset=utf-8"
    told = {"content-type": kind.encode(), "content-length": str(len(body)).encode(), "cache-control": FOR_GOOD}
    return [(name.encode(), value) for name, value in told.items()], body


class Preloading:
    """Serves what another application serves, its pages with the names of what they will need."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""
        if scope["type"] != "http" or scope["method"] != "GET":
            await self._app(scope, receive, send)
            return
        start: Message | None = None
        page = b""

        async def sent(message: Message) -> None:
            nonlocal start, page
            if message["type"] == "http.response.start" and message["status"] == 200 and _is_page(message):
                start = message  # its length is known once the page is
            elif start is None:
                await send(message)
            else:
                page += message.get("body", b"")
                if not message.get("more_body", False):
                    whole = named(page)
                    own = [each for each in start["headers"] if each[0].lower() != b"content-length"]
                    await send({**start, "headers": [*own, (b"content-length", str(len(whole)).encode())]})
                    await send({"type": "http.response.body", "body": whole})

        await self._app(scope, receive, sent)


def named(page: bytes) -> bytes:
    """A page of Streamlit with the names of what it will need in its head; of any other page nothing changes."""
    there = set(re.findall(rb'="\./(static/js/[^"]+)"', page))
    more = [file for file in _needed() if file.encode() not in there]
    links = "".join(f'<link rel="modulepreload" crossorigin href="./{file}">' for file in more)
    return page.replace(b"</head>", links.encode() + b"</head>", 1)


def preload() -> None:
    """Have the server that begins in this process name them, and keep them."""
    own = starlette_app.create_streamlit_middleware
    starlette_app.create_streamlit_middleware = lambda: [
        Middleware(FromMemory),
        *own(),
        Middleware(Preloading),  # the page is named before it is packed
    ]


@cache
def _needed() -> list[str]:
    """The scripts that draw what is on the first page, and all that those begin with."""
    built = _built()
    return _with_all((key for key, part in built.items() if part.get("name") in DRAWN_WITH), built)


@cache
def _built() -> dict[str, Any]:
    """What Streamlit's build left: its files, by the parts of its pages."""
    try:
        return dict(json.loads(pkgutil.get_data("streamlit", BUILT) or b""))
    except (OSError, ValueError):  # of another Streamlit; then all is as it would be without us
        return {}


def _with_all(keys: Iterable[str], built: dict[str, Any]) -> list[str]:
    found: dict[str, None] = {}
    left = list(keys)
    while left:
        part = built.get(left.pop(0), {})
        file = str(part.get("file", ""))
        if file.endswith(".js") and file not in found:
            found[file] = None
            left += part.get("imports", [])
    return list(found)


def _is_page(start: Message) -> bool:
    return any(name.lower() == b"content-type" and value.startswith(b"text/html") for name, value in start["headers"])
