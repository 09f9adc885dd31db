"""On which devices, in which precision and on how many cores does a training run?"""

import contextlib
import os
from collections.abc import Iterator
from typing import Any

import torch
from lightning_fabric import Fabric

from labapp.config import Experiment, LabError, first_line


def make_fabric(experiment: Experiment) -> Fabric:
    """A Fabric with the devices and the precision of an experiment.

    Raises:
        LabError: If this machine does not have them, or a batch cannot be shared among them.
    """
    device = experiment.device
    precision: Any = experiment.precision
    present = {"cpu": True, "auto": True, "cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    present["gpu"] = present["cuda"] or present["mps"]
    if not present[device]:
        raise LabError(f"torch finds no {device} device on this machine; take device cpu or auto")
    if precision.startswith("16") and (device == "cpu" or not present["gpu"]):
        raise LabError(f"precision {precision} needs a GPU; on the CPU take 32-true or bf16-mixed")
    if experiment.batch_size % experiment.devices:
        raise LabError(f"a batch of {experiment.batch_size} cannot be shared equally by {experiment.devices} devices")
    if (share := experiment.batch_size // experiment.devices) < experiment.accumulate:
        raise LabError(f"a device's {share} images of a batch cannot be cut into {experiment.accumulate} micro-batches")
    strategy = "auto" if experiment.devices == 1 else "ddp_spawn"  # spawn works from a notebook and a test as well
    try:
        return Fabric(accelerator=device, devices=experiment.devices, strategy=strategy, precision=precision)
    except (ValueError, RuntimeError) as error:  # such as more devices than there are
        raise LabError(first_line(error)) from error


@contextlib.contextmanager
def a_core_left() -> Iterator[None]:
    """Use one thread less than torch would, for the app and whatever else runs, unless OMP_NUM_THREADS is set.

    Threads spin while they wait for the last of them. Measured with residual-20 at width 8: on two idle cores a step
    takes 32 ms with one thread and 26 ms with two, on two cores that others use as well 68 and 850 ms.
    """
    before = torch.get_num_threads()
    if "OMP_NUM_THREADS" not in os.environ:
        torch.set_num_threads(max(1, before - 1))
    try:
        yield
    finally:
        torch.set_num_threads(before)
