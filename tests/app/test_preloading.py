"""What the first page needs is named in the page that a browser gets first, and served out of memory."""

import re
import socket
from pathlib import Path

import pytest
import streamlit
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.responses import FileResponse, JSONResponse, StreamingResponse
from starlette.routing import Route
from starlette.testclient import TestClient
from streamlit.web.server.starlette import starlette_app
from streamlit.web.server.starlette.starlette_static_routes import create_streamlit_static_assets_routes

from labapp.app import preloading
from labapp.app.preloading import FromMemory, Preloading, named, preload
from labapp.app.promptly import promptly

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


def test_streamlits_server_is_made_with_both(monkeypatch):
    monkeypatch.setattr(starlette_app, "create_streamlit_middleware", starlette_app.create_streamlit_middleware)
    preload()
    made = starlette_app.create_streamlit_middleware()
    assert (made[0].cls, made[-1].cls) == (FromMemory, Preloading)


@pytest.fixture
def both():
    """Streamlit's own serving of its files, alone and with ours in front."""
    static = create_streamlit_static_assets_routes(None)
    made = [Starlette(routes=static, middleware=each) for each in ([], [Middleware(FromMemory)])]
    return [TestClient(each) for each in made]


def test_its_files_come_as_streamlit_serves_them(both):
    names = FromMemory(None)._files
    assert len(names) > 300
    kinds = {Path(name).suffix: name for name in names}
    for name in [*kinds.values(), *scripts(named(INDEX.read_bytes()).decode())[:20]]:
        theirs, ours = (client.get(f"/{name}") for client in both)
        assert ours.status_code == theirs.status_code == 200, name
        assert ours.content == theirs.content
        for header in ("content-type", "content-length", "cache-control"):
            assert ours.headers[header] == theirs.headers[header], (name, header)


@pytest.mark.parametrize(
    "path", ["/", "/signals", "/static/js/none.js", "/static/../index.html", "/static/js", "/x.js"]
)
def test_all_else_is_left_to_streamlit(both, path):
    theirs, ours = (client.get(path) for client in both)
    assert (ours.status_code, ours.content) == (theirs.status_code, theirs.content)


def test_so_are_parts_of_files_and_other_methods(both):
    name = scripts(INDEX.read_text())[0]
    for method, headers in (("GET", {"range": "bytes=2-5"}), ("HEAD", {}), ("POST", {})):
        theirs, ours = (client.request(method, f"/{name}", headers=headers) for client in both)
        assert (ours.status_code, ours.content) == (theirs.status_code, theirs.content), method
        assert ours.headers["content-length"] == theirs.headers["content-length"]


def test_below_a_path_of_the_servers_own_too(both):
    name = scripts(INDEX.read_text())[0]
    assert both[1].get(f"/lab/{name}").content == (FILES / name).read_bytes()


def test_a_server_that_begins_sends_at_once():
    promptly.cache_clear()
    with socket.socket() as listening:  # as Streamlit opens it, before it says so
        listening.bind(("127.0.0.1", 0))
        listening.listen()
        with TestClient(Starlette(middleware=[Middleware(FromMemory)])):
            pass
        with socket.create_connection(listening.getsockname()), listening.accept()[0] as come:
            assert come.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
    promptly.cache_clear()


def test_of_a_streamlit_without_that_list_nothing_is_named(monkeypatch):
    monkeypatch.setattr(preloading, "BUILT", "static/none.json")
    for kept in (preloading._needed, preloading._built):
        kept.cache_clear()
    try:
        assert named(b"<head></head>") == b"<head></head>"
        assert not FromMemory(None)._files
    finally:
        for kept in (preloading._needed, preloading._built):
            kept.cache_clear()
