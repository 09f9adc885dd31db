"""What the first page needs is named in the page that a browser gets first."""

import re
from pathlib import Path

import pytest
import streamlit
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.responses import FileResponse, JSONResponse, StreamingResponse
from starlette.routing import Route
from starlette.testclient import TestClient
from streamlit.web.server.starlette import starlette_app

from labapp.app import preloading
from labapp.app.preloading import Preloading, named, preload

FILES = Path(streamlit.__file__).parent / "static"
INDEX = FILES / "index.html"


def scripts(page: str) -> list[str]:
    return re.findall(r'(?:src|href)="\./(static/js/[^"]+)"', page)


def test_a_page_names_what_draws_charts_and_tables_once_each_and_all_is_there():
    page = INDEX.read_text()
    more = named(page.encode()).decode()
    own, all_of_them = scripts(page), scripts(more)
    assert all_of_them[: len(own)] == own
    assert len(set(all_of_them)) == len(all_of_them) > len(own)
    assert all((FILES / script).is_file() for script in all_of_them)
    for word in preloading.DRAWN_WITH:  # a name that Streamlit's build no longer has is to be looked for anew
        assert any(re.search(rf"/{word}\.[^/]+\.js$", script) for script in all_of_them), word


@pytest.fixture
def client():
    async def page(request):
        return FileResponse(INDEX, status_code=int(request.query_params.get("status", 200)))

    async def parts(request):
        return StreamingResponse(iter([b"<html><he", b"ad></head>", b"</html>"]), media_type="text/html")

    async def other(request):
        return JSONResponse({"</head>": 1})

    routes = [Route("/", page), Route("/parts", parts), Route("/other", other)]
    return TestClient(Starlette(routes=routes, middleware=[Middleware(Preloading)]))


def test_it_is_served_with_its_new_length_and_the_rest_as_it_is(client):
    answer = client.get("/")
    assert answer.content == named(INDEX.read_bytes())
    assert int(answer.headers["content-length"]) == len(answer.content)
    assert client.get("/parts").text.count("modulepreload") == len(preloading._needed())  # it names none itself
    assert client.get("/other").json() == {"</head>": 1}
    assert client.get("/?status=404").content == INDEX.read_bytes()
    assert client.head("/").headers["content-length"] == str(INDEX.stat().st_size)


def test_streamlits_server_is_made_with_it(monkeypatch):
    monkeypatch.setattr(starlette_app, "create_streamlit_middleware", starlette_app.create_streamlit_middleware)
    preload()
    assert starlette_app.create_streamlit_middleware()[-1].cls is Preloading


def test_of_a_streamlit_without_that_list_nothing_is_named(monkeypatch):
    monkeypatch.setattr(preloading, "BUILT", "static/none.json")
    preloading._needed.cache_clear()
    try:
        assert named(b"<head></head>") == b"<head></head>"
    finally:
        preloading._needed.cache_clear()
