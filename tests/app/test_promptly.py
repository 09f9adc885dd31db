"""What the server says is sent at once, whatever other sockets and files are open."""

import socket
import tempfile
from pathlib import Path

from labapp.app.promptly import send_at_once


def is_prompt(each):
    return bool(each.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY))


def test_open_connections_and_those_that_come_send_at_once():
    with socket.socket() as listening, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other:
        pair = socket.socketpair()
        with tempfile.TemporaryFile() as file, pair[0], pair[1]:
            listening.bind(("127.0.0.1", 0))
            listening.listen()
            with socket.create_connection(listening.getsockname()) as before, listening.accept()[0] as accepted:
                assert not any(map(is_prompt, (listening, before, accepted)))
                send_at_once()
                assert all(map(is_prompt, (listening, before, accepted)))
                with socket.create_connection(listening.getsockname()) as after, listening.accept()[0] as come:
                    assert is_prompt(come)
                    after.sendall(b"x")
                    assert come.recv(1) == b"x"
            file.write(b"still open")  # what is no such socket is as it was
            pair[0].sendall(b"y")
            assert pair[1].recv(1) == b"y"
            assert other.getsockopt(socket.SOL_SOCKET, socket.SO_TYPE) == socket.SOCK_DGRAM


def test_no_file_is_left_open():
    with socket.socket(), tempfile.TemporaryFile():
        send_at_once()
        before = len([*Path("/dev/fd").iterdir()])
        for _ in range(3):
            send_at_once()
        assert len([*Path("/dev/fd").iterdir()]) == before
