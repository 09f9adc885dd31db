"""In which processes does a training run: in this one, in several that it begins, or in those that a cluster began?

torchrun and Slurm begin every process of a training themselves, on as many hosts as they like, and tell each its place
in the environment, where lightning-fabric reads it. Without them this process begins one for each device of its host;
on several hosts whoever types says by MASTER_ADDR, MASTER_PORT and NODE_RANK where the hosts meet and which this is.
"""

import os
import signal
import sys
from collections.abc import Callable
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import torch
from torch.multiprocessing.spawn import ProcessContext, ProcessExitedException, ProcessRaisedException

from labapp.config import Experiment, LabError, first_line
from labapp.training.company import OtherProcessError
from labapp.training.devices import cluster, make_fabric
from labapp.training.fabric import Fabric, find_free_network_port
from labapp.training.processes import settle, start_method

GRACE = 60.0  # seconds for the other processes to end by themselves, when one has failed
Work = Callable[[Fabric], Path | None]


def launched(work: Work, experiment: Experiment) -> Path:
    """Do the work in as many processes as the experiment wants.

    Args:
        work: Of one process; gives the run's folder, None where it was stopped. It travels to other processes.
        experiment: Its devices and hosts count.

    Raises:
        LabError: What failed, wherever it did; or that a process was killed.
        KeyboardInterrupt: Where somebody stopped the training.
    """
    several = experiment.devices * experiment.num_nodes > 1
    fabric = make_fabric(experiment)
    path = _begun_here(work, experiment) if several and not cluster() else fabric.launch(work)
    if path is None:
        raise KeyboardInterrupt
    return path


def _begun_here(work: Work, experiment: Experiment) -> Path | None:
    """Begins a process for each device of this host, and waits for all of them."""
    place = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(find_free_network_port()), "NODE_RANK": "0"}
    if experiment.num_nodes > 1:  # else whatever the environment says is about something else
        place |= {name: os.environ[name] for name in place if name in os.environ}
    ways = [torch.multiprocessing.Pipe(duplex=False) for _ in range(experiment.devices)]
    answers = [answer for _, answer in ways]
    os.environ.setdefault("TORCH_CPP_LOG_LEVEL", "ERROR")  # of processes that are begun: no traces of closed sockets
    given = (work, experiment, {**os.environ, **place}, answers)
    begun = torch.multiprocessing.start_processes(
        _one_of_several, given, experiment.devices, join=False, start_method=start_method()
    )
    try:
        _wait(begun)
    except KeyboardInterrupt:
        for process in begun.processes:  # whoever asked may not have asked them
            if process.is_alive():
                os.kill(process.pid, signal.SIGINT)
        for process in begun.processes:
            process.join()
        raise
    told = [_heard(hearing) for hearing, _ in ways]
    if all(process.exitcode == 0 for process in begun.processes):
        return Path(told[0]["path"]) if told[0].get("path") else None
    raise _fault(told, [process.exitcode for process in begun.processes])


def _wait(begun: ProcessContext) -> None:
    """Waits until all processes have ended; when one has failed, the others get the time to say so and leave."""
    try:
        while not begun.join(grace_period=GRACE):
            pass
    except (ProcessRaisedException, ProcessExitedException):
        pass  # it is of the first that was seen to end, which need not be the one that failed first


def _fault(told: list[dict[str, Any]], codes: list[int]) -> Exception:
    """What failed: the error of the process in which it began, else which process was killed."""
    first = next((one for one in told if one.get("fault") and not one["elsewhere"]), None)
    if first is not None:
        return LabError(first["fault"]) if first["lab"] else RuntimeError(first["fault"])
    for rank, (one, code) in enumerate(zip(told, codes, strict=True)):
        if not one and code < 0:
            name = signal.Signals(-code).name
            return LabError(
                f"process {rank} of this training was ended by {name}; `labapp resume` goes on with the run"
            )
    return LabError(next((one["fault"] for one in told if one.get("fault")), "a process of this training ended early"))


def _heard(hearing: Connection) -> dict[str, Any]:
    """What a process said before it left; nothing where it was killed."""
    try:
        return dict(hearing.recv()) if hearing.poll() else {}
    except (EOFError, OSError):
        return {}


def _one_of_several(
    at: int, work: Work, experiment: Experiment, environment: dict[str, str], answers: list[Connection]
) -> None:
    settle({**environment, "LOCAL_RANK": str(at)})
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    fault: dict[str, Any] = {}
    path = None
    try:
        path = make_fabric(experiment).launch(work)
    except KeyboardInterrupt:
        pass
    except LabError as error:
        fault = {"fault": str(error), "lab": True, "elsewhere": isinstance(error, OtherProcessError)}
    except Exception as error:
        fault = {"fault": f"{type(error).__name__}: {first_line(error)}", "lab": False, "elsewhere": False}
    answers[at].send(fault or {"path": str(path) if path else ""})
    if fault or path is None:  # at once: what ends a group in order waits for the others, who wait for this process
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(bool(fault))
