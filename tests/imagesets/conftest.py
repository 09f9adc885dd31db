"""A machine without a network."""

import pytest


@pytest.fixture
def offline(monkeypatch):
    """No name resolves and no address answers, whatever this machine is connected to."""

    def refuse(*_):
        raise OSError("network is unreachable")

    monkeypatch.setattr("socket.create_connection", refuse)
    monkeypatch.setattr("socket.getaddrinfo", refuse)
