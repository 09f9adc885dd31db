"""How does a command come to a Ray cluster, or to a Ray of its own on this machine?

Without an address Ray is begun on this machine, in a folder of its own and for this command alone, and both are gone
afterwards. Nothing is sent to anybody: usage statistics and dashboard are off. What Ray changes in a process
(environment, signals) is as it was.
"""

from __future__ import annotations

import contextlib
import logging
import os
import secrets
import shutil
import signal
import socket
import sys
import tempfile
import threading
import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from labapp.commands.sweep.engines import Means
from labapp.commands.workers import cores
from labapp.config import LabError

ANSWER = 5.0  # seconds for a machine to answer at all
STORE = 80 * 2**20  # bytes of memory for what travels, a little above the least that Ray takes; tasks are some kB
LONGEST = 40  # signs of a temporary folder, in which Ray's sockets have names of 60 more; a system takes 107
GREETING = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes([0, 0, 0, 4, 0, 0, 0, 0, 0])  # of HTTP/2, with empty settings
SETTINGS = {"RAY_USAGE_STATS_ENABLED": "0", "RAY_COLOR_PREFIX": "0", "RAY_DEDUP_LOGS": "0"}
# Only this command may use what it begins, as Ray has it by default, but with a password that is not kept in the home.
OWN = {"RAY_AUTH_TOKEN": secrets.token_hex(32)}
SERVICE = ("AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3", "AWS_REGION", "AWS_DEFAULT_REGION")  # of remote archives; no keys


@contextlib.contextmanager
def connected(means: Means) -> Iterator[Any]:
    """Ray, connected to the cluster, or begun on this machine for the block."""
    with contextlib.ExitStack() as stack:
        stack.enter_context(_environment(SETTINGS | (_of_an_address() if means.address else OWN)))
        ray = _imported()
        options: dict[str, Any] = {
            "log_to_driver": False,  # what tasks print is not seen, as in processes of this machine
            "logging_level": logging.ERROR,
            "runtime_env": {"env_vars": _of_each(means)},
        }
        if means.address:
            _require_answer(means.address)
            options["address"] = means.address
        else:
            options |= {
                "address": "local",
                "num_cpus": max(cores(), int((means.jobs or 1) * means.cpus + 0.999)),
                "include_dashboard": False,
                "object_store_memory": STORE,
                "_temp_dir": stack.enter_context(_folder()),
            }
        stack.enter_context(_silence(ray))
        stack.callback(ray.shutdown)
        try:
            with _signals_kept(), warnings.catch_warnings():
                warnings.simplefilter("ignore")
                ray.init(**options)
        except (RuntimeError, ValueError, OSError, ray.exceptions.RayError) as error:
            what = f"the cluster at {means.address} cannot be used" if means.address else "Ray cannot be begun here"
            raise LabError(f"{what}: {' '.join(str(error).split()).partition('. ')[0]}") from None
        _require_room(ray, means)
        yield ray


def _imported() -> Any:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            import ray
            import ray.util.scheduling_strategies
    except ImportError as error:
        raise LabError(
            f"the engine ray needs Ray, which cannot be imported here ({error}); `{Path(sys.executable).name} -m pip "
            "install 'labapp[cluster]'` in labapp's environment installs it, --engine local does without"
        ) from None
    return ray


def _require_answer(address: str) -> None:
    """Whether anybody answers at an address; Ray itself would wait for long."""
    if address == "auto":
        return
    if address.startswith("ray://"):
        raise LabError(
            f"{address} is an address of Ray's client, which ends what it began when its connection breaks; begin the "
            "sweep on a node of the cluster (`ray job submit`, ssh) with --address auto"
        )
    host, colon, port = address.rpartition(":")
    if not (host and colon and port.isdecimal() and int(port) < 2**16):
        raise LabError(f"--address is HOST:PORT of a cluster's head, 10.0.0.1:6379 say, or auto, not '{address}'")
    try:
        with socket.create_connection((host.strip("[]"), int(port)), timeout=ANSWER) as line:
            line.sendall(GREETING)
            answer = "" if os.environ.get("RAY_USE_TLS", "0") != "0" or _is_settings(line.recv(9)) else "not Ray"
    except OSError as error:
        answer = error.strerror or str(error)
    if answer:
        raise LabError(
            f"no Ray cluster answers at {address} ({answer}); `ray start --head` begins one and says its address"
        )


def _is_settings(frame: bytes) -> bool:
    """Whether this begins a frame of settings, with which a server of HTTP/2 (gRPC, and so Ray) begins."""
    return frame[3:4] == b"\x04"


def _require_room(ray: Any, means: Means) -> None:
    """Whether some node has what a run takes; a cluster may get it later."""
    nodes = [node["Resources"] for node in ray.nodes() if node["Alive"]]
    if any(node.get("CPU", 0.0) >= means.cpus and node.get("GPU", 0.0) >= means.gpus for node in nodes):
        return
    has = "; ".join(f"{node.get('CPU', 0.0):g} CPUs and {node.get('GPU', 0.0):g} GPUs" for node in nodes)
    wants = f"a run takes {means.cpus:g} CPUs and {means.gpus:g} GPUs"
    if not means.address:
        raise LabError(f"{wants}, and this machine has {has}; give less to --cpus-per-run or --gpus-per-run")
    means.say(f"{wants}, which no node of the cluster has yet ({has}); waiting for one")


def _of_each(means: Means) -> dict[str, str]:
    """What stands in the environment of each worker, whatever its node has: permissions and threads."""
    lab = {name: value for name, value in os.environ.items() if name.startswith("LABAPP_") or name in SERVICE}
    own = {"OMP_NUM_THREADS": str(means.threads), "OMP_WAIT_POLICY": "passive"}
    return lab | own | {"RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "1"}  # what takes no GPU sees none


def _of_an_address() -> dict[str, str]:
    """Settings for a cluster that is there: one try, of 40 s, instead of 20; the user's password where there is one."""
    asked = {"RAY_gcs_server_port_wait_time_s": "1"}
    kept = (Path.home() / ".ray" / "auth_token").is_file() or "RAY_AUTH_TOKEN" in os.environ
    return asked | ({"RAY_AUTH_MODE": "token"} if kept and "RAY_AUTH_MODE" not in os.environ else {})


@contextlib.contextmanager
def _environment(settings: Mapping[str, str]) -> Iterator[None]:
    """Settings that Ray reads from the environment, where it leaves some of its own."""
    before = {name: value for name, value in os.environ.items() if name.startswith("RAY_")}
    os.environ.update(settings)
    try:
        yield
    finally:
        for name in [name for name in os.environ if name.startswith("RAY_")]:
            del os.environ[name]
        os.environ.update(before)


@contextlib.contextmanager
def _signals_kept() -> Iterator[None]:
    """Who handled SIGTERM handles it afterwards; Ray's own handler would end the command without its files closed."""
    handler = signal.getsignal(signal.SIGTERM)
    try:
        yield
    finally:
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGTERM, handler)


@contextlib.contextmanager
def _silence(ray: Any) -> Iterator[None]:
    """What Ray says of lost workers is not printed: it would stand between lines of JSON, and no setting ends it."""
    inner = ray._private.worker
    before = inner.print_to_stdstream
    inner.print_to_stdstream = lambda *_, **__: None
    try:
        yield
    finally:
        inner.print_to_stdstream = before


@contextlib.contextmanager
def _folder() -> Iterator[str]:
    """A temporary folder with a short name, for the sockets in it."""
    usual = tempfile.gettempdir()
    folder = tempfile.mkdtemp(prefix="labapp-", dir=usual if len(usual) < LONGEST else "/tmp")
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
