"""How does the server send what it has to say at once?

A system holds a small piece back until the last one is acknowledged (Nagle, RFC 896), and a browser acknowledges up to
40 ms later (RFC 1122, 4.2.3.2). A page is fifty pieces, its scripts twice a hundred and a half. Python switches that
off for sockets that it opens itself, but not for the one that Streamlit binds and hands to its server, nor for the
connections that come by it, which have its settings.
"""

from __future__ import annotations

import contextlib
import os
import socket
import stat
from functools import cache
from pathlib import Path

OPEN = Path("/dev/fd")  # what this process has open


@cache
def promptly() -> None:
    """Have the sockets of this process, and so the connections that come, send at once; for its life."""
    send_at_once()


def send_at_once() -> None:
    """Switch it off for every TCP socket that is open now."""
    with contextlib.suppress(OSError):  # no such folder on this system
        for name in os.listdir(OPEN):  # noqa: PTH208 - numbers, not paths
            with contextlib.suppress(OSError, ValueError):  # closed meanwhile
                number = int(name)
                if stat.S_ISSOCK(os.fstat(number).st_mode):
                    _set(number)


def _set(number: int) -> None:
    with socket.socket(fileno=os.dup(number)) as each:  # a number of its own: closing it closes nothing else
        if each.type == socket.SOCK_STREAM and each.family in (socket.AF_INET, socket.AF_INET6):
            each.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
