"""On which devices, in which precision and on how many cores does a training run?"""

import contextlib
import logging
import os
from collections.abc import Iterator
from typing import Any

import torch

from labapp.config import Experiment, LabError, first_line
from labapp.training.fabric import Fabric, LightningEnvironment, SLURMEnvironment, TorchElasticEnvironment

CLUSTERS = ("torchrun", "Slurm")  # that tell processes where they meet


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
    processes = experiment.devices * experiment.num_nodes
    if experiment.batch_size % processes:
        raise LabError(f"a batch of {experiment.batch_size} cannot be shared equally by {processes} devices")
    if (share := experiment.batch_size // processes) < experiment.accumulate:
        raise LabError(f"a device's {share} images of a batch cannot be cut into {experiment.accumulate} micro-batches")
    if processes > 1 and experiment.gradient_noise:
        raise LabError("of gradients of micro-batches several processes have only the mean; leave gradient_noise out")
    _check_cluster(experiment)
    if processes > 1:
        logging.getLogger("lightning_fabric").setLevel(logging.WARNING)  # not that processes have found each other
    options: Any = {"strategy": "ddp" if processes > 1 else "auto"}
    if processes == 1 or cluster() not in CLUSTERS:
        options["plugins"] = LightningEnvironment()  # or it might take the environment for that of a job of Slurm
    options |= {"accelerator": device, "devices": experiment.devices, "num_nodes": experiment.num_nodes}
    try:
        return Fabric(precision=precision, **options)
    except (ValueError, RuntimeError) as error:  # such as more devices than there are
        raise LabError(first_line(error)) from error


def cluster() -> str:
    """Who began this process as one of several: torchrun, Slurm or somebody; "" where nobody did."""
    if TorchElasticEnvironment.detect():
        return "torchrun"
    if int(os.environ.get("SLURM_NTASKS", "1")) > 1 and SLURMEnvironment.detect():
        return "Slurm"
    return "somebody" if "LOCAL_RANK" in os.environ else ""


def _check_cluster(experiment: Experiment) -> None:
    """Compares how many processes there are to be with how many were begun, and where they meet."""
    devices, hosts, who = experiment.devices, experiment.num_nodes, cluster()
    asked = f"--devices {devices} --num-nodes {hosts} asks for {devices * hosts}"
    if who == "torchrun" and (begun := int(os.environ["WORLD_SIZE"])) != devices * hosts:
        raise LabError(f"torchrun began {begun} processes, and {asked}: --devices is the number on each of the hosts")
    if devices * hosts == 1:
        return  # in a job of Slurm every task may train a net of its own
    if who == "Slurm" and (begun := int(os.environ["SLURM_NTASKS"])) != devices * hosts:
        raise LabError(
            f"Slurm began {begun} tasks, and {asked}; begin the command by "
            f"`srun --nodes={hosts} --ntasks-per-node={devices}`"
        )
    if hosts > 1 and who not in CLUSTERS and not {"MASTER_ADDR", "MASTER_PORT"} <= os.environ.keys():
        raise LabError(
            "several hosts need MASTER_ADDR and MASTER_PORT, an address and a free port of the first, and NODE_RANK, "
            "the number of this one from 0; torchrun and srun set them"
        )


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
