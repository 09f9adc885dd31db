"""What does a browser need for the first page besides what Streamlit's own page names?

Streamlit's page names the scripts of its frame. Those of charts, tables and fields are fetched once the first of them
is to be drawn, one behind another, when everything else is there. Named in the page's head as well they come meanwhile,
so that the browser has them when it has heard from the server. Which they are stands in the list that Streamlit's build
left beside its files.
"""

from __future__ import annotations

import json
import pkgutil
import re
from collections.abc import Iterable
from functools import cache
from typing import Any

from starlette.middleware import Middleware
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from streamlit.web.server.starlette import starlette_app

BUILT = "static/manifest.json"  # of the package streamlit
DRAWN_WITH = (  # what the first page is made of, by the names that Streamlit's build has for them
    "Html", "TextInput", "Multiselect", "Button", "Checkbox", "ArrowVegaLiteChart", "loadVegaEmbed", "embed",
    "vega-interpreter", "DataFrame",
)  # fmt: skip


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
    """Have the server that begins in this process name them."""
    own = starlette_app.create_streamlit_middleware
    starlette_app.create_streamlit_middleware = lambda: [*own(), Middleware(Preloading)]  # before it is packed


@cache
def _needed() -> list[str]:
    """The scripts that draw what is on the first page, and all that those begin with."""
    try:
        built = json.loads(pkgutil.get_data("streamlit", BUILT) or b"")
    except (OSError, ValueError):  # of another Streamlit; then they come when they are asked for
        return []
    return _with_all((key for key, part in built.items() if part.get("name") in DRAWN_WITH), built)


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
