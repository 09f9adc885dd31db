"""How does Ray work off the tasks of a sweep, on a cluster or on this machine?

    with Cluster(Means(root, address="head:6379", cpus=1, gpus=0.5)) as workers: …          # an `Engine`

A task is a task of Ray with the resources that a run takes, so Ray says where and when it begins. It is begun once by
Ray: what was lost with a process or a node comes back as lost. Without an address Ray is begun on this machine, in a
folder of its own, and both are gone afterwards. Nothing is sent to anybody: usage statistics and dashboard are off.
"""

from __future__ import annotations

import contextlib
import itertools
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
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Self

from labapp.commands.sweep import on_node
from labapp.commands.sweep.engines import Means
from labapp.commands.workers import PACE, PATIENCE, Work, cores
from labapp.config import LabError, is_remote, place

ANSWER = 5.0  # seconds for a machine to answer at all
STORE = 80 * 2**20  # bytes of memory for what travels, a little above the least that Ray takes; tasks are some kB
LONGEST = 40  # signs of a temporary folder, in which Ray's sockets have names of 60 more; a system takes 107
GREETING = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes([0, 0, 0, 4, 0, 0, 0, 0, 0])  # of HTTP/2, with empty settings
SETTINGS = {"RAY_USAGE_STATS_ENABLED": "0", "RAY_COLOR_PREFIX": "0", "RAY_DEDUP_LOGS": "0"}
# Only this command may use what it begins; Ray would write a password into the user's home.
OWN = {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": secrets.token_hex(32)}
SERVICE = ("AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3", "AWS_REGION", "AWS_DEFAULT_REGION")  # of remote archives; no keys


class Cluster:
    """Ray's workers, and the tasks that wait for one."""

    def __init__(self, means: Means) -> None:
        self.means = means
        self.waiting: deque[Work] = deque()
        self._numbers = itertools.count()
        self._works: dict[int, Work] = {}  # those that Ray has, by number
        self._given: dict[Any, int] = {}  # by the reference to what becomes of them
        self._begun: set[int] = set()  # those that said so

    def add(self, function: Callable[..., Any], *arguments: Any) -> Work:
        """Has a task wait for its turn."""
        work = Work(function, arguments)
        self.waiting.append(work)
        return work

    @property
    def running(self) -> list[Work]:
        """What is being worked on."""
        return [self._works[number] for number in sorted(self._begun)]

    def finished(self, look: Callable[[], None] = lambda: None) -> Iterator[Work]:
        """The tasks, each as it ends; more may be added meanwhile. `look` is called again and again.

        Raises:
            LabError: What a task raised of this kind, or why a node cannot work: the others would meet it as well.
        """
        while self.waiting or self._given:
            self._give()
            ready, _ = self._ray.wait([*self._given], timeout=PACE)
            self._listen()
            for reference in ready:
                work = self._works.pop(number := self._given.pop(reference))
                self._begun.discard(number)
                self._take_down(work, reference)
                look()
                yield work
            look()

    def _give(self) -> None:
        """Hands over as many tasks as may run at a time; all where Ray alone decides."""
        while self.waiting and (self.means.jobs is None or len(self._given) < self.means.jobs):
            work, number = self.waiting.popleft(), next(self._numbers)
            parcel = self._ray.put((work.function, work.arguments))
            self._works[number] = work
            self._given[self._task.remote(self._terms, [parcel], self._bulletin, number)] = number

    def _listen(self) -> None:
        """Takes down how far tasks are."""
        with contextlib.suppress(self._ray.exceptions.RayError):  # the bulletin is begun again, and told anew
            for number, said in self._ray.get(self._bulletin.read.remote(), timeout=PATIENCE).items():
                if number in self._works:
                    self._begun.add(number)
                    self._works[number].share, self._works[number].words = said

    def _take_down(self, work: Work, reference: Any) -> None:
        faults = self._ray.exceptions
        try:
            work.ended(*self._ray.get(reference))
        except (faults.RayTaskError, faults.TaskCancelledError) as error:
            work.fault = _sentence(error)
        except faults.RayError as error:
            work.fault, work.lost = f"its worker was lost ({_sentence(error)})", True

    def __enter__(self) -> Self:
        with contextlib.ExitStack() as stack:
            self._ray = ray = stack.enter_context(_connected(self.means))
            mark = stack.enter_context(_marked(self.means.root))
            ray.cloudpickle.register_pickle_by_value(on_node)
            stack.callback(ray.cloudpickle.unregister_pickle_by_value, on_node)
            here = ray.util.scheduling_strategies.NodeAffinitySchedulingStrategy(
                ray.get_runtime_context().get_node_id(), soft=False
            )
            self._bulletin = (
                ray.remote(on_node.Bulletin).options(num_cpus=0, max_restarts=-1, scheduling_strategy=here).remote()
            )
            takes = {"num_cpus": self.means.cpus, "num_gpus": self.means.gpus}
            self._task = ray.remote(on_node.work).options(**takes, max_retries=0)
            self._terms = (on_node.versions(), str(Path.cwd()), self.means.root, mark)
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        """Ends what runs at a whole step, as on Ctrl-C; what waits never begins."""
        with self._stack, contextlib.suppress(self._ray.exceptions.RayError):
            for reference in reversed(self._given):  # the last first, so that none of them begins
                self._ray.cancel(reference)
            if self._given:
                self._ray.wait([*self._given], num_returns=len(self._given), timeout=PATIENCE)


def _sentence(error: BaseException) -> str:
    """The first sentence of what Ray says in many lines; of what a task raised its own."""
    error = getattr(error, "cause", None) or error
    words = " ".join(str(error).split())
    return f"{type(error).__name__}: {words.partition('. ')[0]}".rstrip(".: ")


@contextlib.contextmanager
def _connected(means: Means) -> Iterator[Any]:
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


@contextlib.contextmanager
def _marked(root: str) -> Iterator[str]:
    """A file in the archive by which a node knows that it sees the same one; "" where its address says so."""
    folder = place(root)
    if is_remote(folder):
        yield ""
        return
    mark = folder / f".sweep-{secrets.token_hex(8)}"
    try:
        mark.parent.mkdir(parents=True, exist_ok=True)
        mark.touch()
    except OSError as error:
        raise LabError(f"the archive {root} cannot be written: {error.strerror or error}") from None
    try:
        yield str(mark)
    finally:
        mark.unlink(missing_ok=True)
