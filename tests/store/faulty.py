"""A disk that fails, or a process that dies, at a chosen file operation.

    with FaultyDisk(root, at=17, harm=fail_with(errno.ENOSPC)) as disk: …

Every operation below `root` is counted and kept: opening for writing, each write, fsync, rename, link, unlink, mkdir.
They are the real ones, which pathlib, the archive and pyarrow call.
"""

import contextlib
import errno
import io
import os
import signal
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple, NoReturn
from unittest import mock


class Operation(NamedTuple):
    """What was done to which path; `to` is the second path of a rename or link."""

    name: str
    path: str
    to: str = ""


Harm = Callable[[Operation, Callable[[], Any], Callable[[], Any]], Any]  # operation, do it, do half of it


def fail_with(number: int) -> Harm:
    """The operation is not done, and an error of this number raised."""

    def harm(operation: Operation, do: Callable[[], Any], half: Callable[[], Any]) -> NoReturn:
        raise OSError(number, os.strerror(number), operation.path)

    return harm


def fail_half_way(operation: Operation, do: Callable[[], Any], half: Callable[[], Any]) -> NoReturn:
    """A write is done by half, and then the disk is full."""
    half()
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), operation.path)


def die_before(operation: Operation, do: Callable[[], Any], half: Callable[[], Any]) -> None:
    """The process is killed before the operation."""
    os.kill(os.getpid(), signal.SIGKILL)


def die_half_way(operation: Operation, do: Callable[[], Any], half: Callable[[], Any]) -> None:
    """The process is killed in the middle of a write, or after any other operation."""
    with contextlib.suppress(OSError):  # such as of a file that is not there to be deleted
        half()
    os.kill(os.getpid(), signal.SIGKILL)


class FaultyDisk:
    """Counts file operations below a folder and does harm at one of them, or at all from there on.

    Attributes:
        done: The operations so far.
    """

    def __init__(self, root: Path, at: int | None = None, harm: Harm | None = None, lasting: bool = False) -> None:
        self.root, self.at, self.harm, self.lasting = str(root.resolve()), at, harm, lasting
        self.done: list[Operation] = []
        self._folders: dict[int, str] = {}  # handles of folders and files, for fsync

    def _is_here(self, path: Any) -> bool:
        return isinstance(path, str | os.PathLike) and os.path.realpath(os.fspath(path)).startswith(self.root)

    def count(self, operation: Operation, do: Callable[[], Any], half: Callable[[], Any] | None = None) -> Any:
        number = len(self.done)
        self.done.append(operation)
        if self.harm is not None and self.at is not None and (number == self.at or (self.lasting and number > self.at)):
            self.harm(operation, do, half or do)
        return do()

    @contextlib.contextmanager
    def _patched(self) -> Iterator[None]:
        real_open, real_os_open, real_fsync, real_close = io.open, os.open, os.fsync, os.close

        def open_(path: Any, mode: str = "r", *arguments: Any, **options: Any) -> Any:
            if not (self._is_here(path) and set(mode) & set("wax+")):
                return real_open(path, mode, *arguments, **options)
            path = os.fspath(path)
            opened = partial(real_open, path, mode, *arguments, **options)
            file = self.count(Operation("open", path), opened, lambda: opened().close())
            self._folders[file.fileno()] = path
            return _File(self, file, path)

        def os_open(path: Any, flags: int, *arguments: Any, **options: Any) -> int:
            handle = real_os_open(path, flags, *arguments, **options)
            if self._is_here(path):
                self._folders[handle] = os.fspath(path)
            return handle

        def close(handle: int) -> None:
            self._folders.pop(handle, None)
            real_close(handle)

        def fsync(handle: int) -> None:
            if handle in self._folders:
                self.count(Operation("fsync", self._folders[handle]), lambda: real_fsync(handle))
            else:
                real_fsync(handle)

        def counted(name: str) -> Callable[..., Any]:
            real = getattr(os, name)

            def call(path: Any, *arguments: Any, **options: Any) -> Any:
                if not self._is_here(path):
                    return real(path, *arguments, **options)
                to = os.fspath(arguments[0]) if arguments and name in ("replace", "rename", "link") else ""
                return self.count(Operation(name, os.fspath(path), to), lambda: real(path, *arguments, **options))

            return call

        with contextlib.ExitStack() as stack:
            stack.enter_context(mock.patch.object(io, "open", open_))
            for name, function in {"open": os_open, "close": close, "fsync": fsync}.items():
                stack.enter_context(mock.patch.object(os, name, function))
            for name in ("replace", "rename", "link", "unlink", "mkdir"):
                stack.enter_context(mock.patch.object(os, name, counted(name)))
            yield

    def __enter__(self) -> "FaultyDisk":
        self._stack = contextlib.ExitStack()
        self._stack.enter_context(self._patched())
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()


class _File:
    """A file opened for writing, whose writes are counted; they reach the disk at once."""

    def __init__(self, disk: FaultyDisk, file: Any, path: str) -> None:
        self._disk, self._file, self._path = disk, file, path

    def write(self, data: Any) -> int:
        def half() -> None:
            self._file.write(bytes(data)[: len(data) // 2])
            self._file.flush()

        def whole() -> int:
            count = self._file.write(data)
            self._file.flush()
            return count

        return self._disk.count(Operation("write", self._path), whole, half)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._file, name)

    def __enter__(self) -> "_File":
        return self

    def __exit__(self, *_: object) -> None:
        self._disk._folders.pop(self._file.fileno(), None)
        self._file.close()
