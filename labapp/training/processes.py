"""How do processes begin that train? Out of one that has loaded torch for all of them, where that is safe.

Loading it takes each of them five seconds of a core and more, longer than many a training.
"""

import multiprocessing
import os
import sys

AHEAD = "labapp.training.ahead"
DEVICES = ("/dev/nvidiactl", "/dev/kfd")  # of CUDA and ROCm, whose state no process may inherit


def start_method(*also: str) -> str:
    """By which of `multiprocessing`'s methods they begin.

    Each by itself where a device's driver might be loaded with torch, or where libraries of the system do not bear it.

    Args:
        also: Modules that they share besides.
    """
    if sys.platform != "linux" or any(os.path.exists(device) for device in DEVICES):  # noqa: PTH110
        return "spawn"
    multiprocessing.set_forkserver_preload([*also, AHEAD])
    return "forkserver"


def settle(environment: dict[str, str]) -> None:
    """Give this process the environment and the threads that whoever began it meant for it.

    Args:
        environment: Which the process that this one came out of need not have.
    """
    os.environ.clear()
    os.environ.update(environment)
    threads = environment.get("OMP_NUM_THREADS", "").partition(",")[0].strip()  # of what is nested, the outer ones
    if threads.isdigit() and int(threads) and (torch := sys.modules.get("torch")):  # it asked when it was loaded
        torch.set_num_threads(int(threads))
