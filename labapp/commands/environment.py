"""Where does the lab run, and what of it is installed? `labapp doctor` without a net.

`surroundings` finds out, `as_rows` says it in words; what is missing comes with the command that installs it.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import warnings
from pathlib import Path
from typing import Any

import labapp
from labapp.commands.workers import cores
from labapp.config import LabError, extras, first_line, kept_folder, roots, shown
from labapp.store import look
from labapp.store.machine import environment
from labapp.store.space import free_space

BROWSERS = ("chromium", "chromium-browser", "google-chrome")
PATIENCE = 10  # seconds for a program to say its version


def surroundings(root: str) -> dict[str, Any]:
    """What a run's results and speed hang on, by subject; everything as JSON has it. Imports torch.

    Args:
        root: The archive that commands write to.
    """
    about = environment()
    git, package = about.pop("git"), Path(labapp.__file__).parent
    return {
        "labapp": {"version": labapp.__version__, "folder": str(package), "git": git},
        "python": {"version": about["python"], "executable": sys.executable, "platform": about["platform"]},
        "torch": _torch(),
        "threads": {"cores": cores(), "OMP_NUM_THREADS": os.environ.get("OMP_NUM_THREADS")},
        "kernels": _kernels(),
        "chromium": _program(*BROWSERS),
        "ray": extras.version("ray"),
        "s3fs": extras.version("s3fs"),
        "extras": {extra: _extra(extra) for extra in extras.EXTRAS},
        "runs": _archive(root),
        "app": [shown(folder) for folder in roots()],
        "cache": {"archives": str(kept_folder()), "free": free_space(kept_folder())},
    }


def _torch() -> dict[str, Any]:
    try:
        import torch
    except (ImportError, OSError) as error:  # a library of its build that is missing
        return {"version": extras.version("torch"), "problem": first_line(error), "devices": []}
    devices = []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of drivers that are not there
        if torch.cuda.is_available():
            for place in range(torch.cuda.device_count()):
                memory = torch.cuda.get_device_properties(place).total_memory
                devices.append({"name": torch.cuda.get_device_name(place), "kind": "cuda", "memory": memory})
        elif (found := torch.accelerator.current_accelerator(check_available=True)) is not None:
            devices.append({"name": found.type, "kind": found.type, "memory": None})
    built = (torch.version.cuda and f"CUDA {torch.version.cuda}") or (torch.version.hip and f"ROCm {torch.version.hip}")
    return {
        "version": str(torch.__version__),
        "built_for": built or "CPU",
        "devices": devices,
        "threads": torch.get_num_threads(),
        "problem": "",
    }


def _kernels() -> dict[str, Any]:
    """The C compiler, and what became of the recorder's reductions with it."""
    try:
        from labapp.recording import kernels
    except (ImportError, OSError) as error:
        return {"compiler": None, "used": False, "how": first_line(error), "folder": ""}
    found, how = kernels.library()
    how = f"compiled, {kernels.speed()}" if found else how
    return {"compiler": _program(kernels.compiler()), "used": bool(found), "how": how, "folder": str(kernels.folder())}


def _program(*names: str | None) -> dict[str, str] | None:
    """The first of these programs that is there: its path and what it says of its version."""
    path = next(filter(None, (shutil.which(name) for name in names if name)), None)
    if path is None:
        return None
    try:
        command = [path, "--version"]
        said = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE, check=False).stdout
    except (OSError, subprocess.SubprocessError) as error:
        said = f"does not run: {first_line(error)}"
    return {"path": path, "version": first_line(said) if said.strip() else ""}


def _extra(extra: str) -> dict[str, Any]:
    missing = extras.absent(extras.EXTRAS[extra])
    return {
        "installed": not missing,
        "missing": [extras.EXTRAS[extra][name] for name in missing],
        "command": extras.command(extra),
    }


def _archive(root: str) -> dict[str, Any]:
    try:
        listing = look(root)
    except LabError as error:
        return {"place": shown(root), "runs": None, "problem": str(error), "free": free_space(root)}
    return {"place": shown(listing.root), "runs": len(listing.entries), "problem": "", "free": free_space(listing.root)}


def as_rows(found: dict[str, Any]) -> list[tuple[str, str]]:
    """The same in words, a subject a row."""
    torch, kernels, runs = found["torch"], found["kernels"], found["runs"]
    threads = f"{torch['threads']} of torch, " if "threads" in torch else ""
    limit = found["threads"]["OMP_NUM_THREADS"]
    rows = [
        ("labapp", f"{found['labapp']['version']} in {found['labapp']['folder']}"),
        ("Python", "{version} ({executable}), {platform}".format(**found["python"])),
        ("torch", torch["problem"] or f"{torch['version']}, built for {torch['built_for']}"),
        ("devices", ", ".join(map(_device, torch["devices"])) or "the processor alone"),
        ("threads", f"{threads}{found['threads']['cores']} cores; OMP_NUM_THREADS is {limit or 'not set'}"),
        ("C compiler", _told(kernels["compiler"]) or "none was found; apt install gcc, or xcode-select --install"),
        ("kernels", kernels["how"] if kernels["used"] else f"torch's own, several times slower ({kernels['how']})"),
        ("Chromium", _told(found["chromium"]) or "none was found; only tests of pages need it: apt install chromium"),
        ("Ray", found["ray"] or f"not installed; {extras.command('cluster')}"),
        ("s3fs", found["s3fs"] or f"not installed; {extras.command('s3')}"),
    ]
    for extra, about in found["extras"].items():
        lacks = f"without {', '.join(about['missing'])}; {about['command']}"
        rows.append((f"[{extra}]", "installed" if about["installed"] else lacks))
    many = "no archive yet" if runs["runs"] is None else f"{runs['runs']} run{'s' * (runs['runs'] != 1)}"
    rows.append(("runs", f"{runs['place']}: {many}, {_size(runs['free'])} free"))
    rows.append(("the app's runs", ", ".join(found["app"])))
    rows.append(("kept of others", "{}, {} free".format(found["cache"]["archives"], _size(found["cache"]["free"]))))
    return rows


def _device(about: dict[str, Any]) -> str:
    return f"{about['name']} ({_size(about['memory'])})" if about["memory"] else str(about["name"])


def _told(program: dict[str, str] | None) -> str:
    return "" if program is None else f"{program['version'] or 'of an unknown version'} ({program['path']})"


def _size(count: int) -> str:
    return f"{count / 2**30:.3g} GiB"
