"""Where do the compiled kernels come from, and are they worth it on this machine?

Compiled by the machine's own compiler at first use, kept in the user's cache, and timed once against `torch.dot`. What
a compiler makes of the source decides whether they cost one or twenty times as much; where they lose they are not used.
"""

import ctypes
import hashlib
import os
import platform
import shutil
import subprocess
import tempfile
import time
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import torch

HERE = Path(__file__).parent
SOURCES = (HERE / "sums.c", HERE / "pairs.c")
FLAGS = ("-O3", "-fno-trapping-math", "-fno-math-errno", "-ffp-contract=fast", "-shared", "-fPIC")
ATTEMPTS = (("-march=native", "-fopenmp"), ("-mcpu=native", "-fopenmp"), ("-fopenmp",), ("-march=native",), ())
TOO_SLOW = 3.0  # times torch.dot: above it torch's own calls are the better choice
TURNS = 12  # at most, of the timing that says so


@dataclass(frozen=True)
class Speed:
    """How long the compiled pass takes over memory, beside the plainest pass there is.

    Attributes:
        ratio: time of all four sums over that of `torch.dot`, on the same memory and one thread.
        machine: the compiler and the vectors it was given, as "gcc 12.2.0, AVX2, 8 lanes".
    """

    ratio: float
    machine: str

    def __str__(self) -> str:
        return f"{self.ratio:.1f}× the time of torch.dot ({self.machine})"


def folder() -> Path:
    """Where compiled kernels are kept between sessions."""
    root = os.environ.get("XDG_CACHE_HOME")
    return (Path(root) if root else Path.home() / ".cache") / "labapp"


@cache
def library() -> tuple[ctypes.CDLL | None, str]:
    """The compiled kernels, or None; and how they were made, or why there are none. Settled once a process.

    LABAPP_KERNELS=portable does without them; =compiled takes them whatever their speed, where there is a compiler;
    =<file> loads a shared object built elsewhere.
    """
    wish = os.environ.get("LABAPP_KERNELS", "")
    if wish.lower() in {"0", "off", "portable"}:
        return None, "switched off by LABAPP_KERNELS"
    try:
        built = Path(wish) if wish.endswith((".so", ".dylib")) else build()
        found = load(built)
    except (OSError, RuntimeError, AttributeError, subprocess.SubprocessError) as error:
        return None, str(error) or type(error).__name__
    speed = timed(found)
    if speed.ratio > TOO_SLOW and wish.lower() != "compiled":
        return None, f"the compiled pass takes {speed}"
    return found, f"compiled with {speed.machine}"


def compiler() -> str | None:
    """The C compiler of this machine, a path or what CC says; None where there is none."""
    return os.environ.get("CC") or shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")


def speed() -> Speed | None:
    """The compiled pass beside `torch.dot`, measured now (some milliseconds); None where there is none."""
    found, _ = library()
    return timed(found) if found else None


def build(flags: tuple[str, ...] = ()) -> Path:
    """The shared object for this machine, compiled unless the cache has it; RuntimeError with the compiler's words."""
    found = compiler()
    if not found:
        raise RuntimeError("no C compiler (cc, gcc or clang) was found")
    text = "".join(path.read_text() for path in (*SOURCES, HERE / "lanes.h"))
    key = "\0".join([text, *FLAGS, *flags, str(ATTEMPTS), found, _processor(), torch.__version__])
    name = f"kernels-{hashlib.sha256(key.encode()).hexdigest()[:16]}.so"
    try:
        home = folder()
        home.mkdir(parents=True, exist_ok=True)
        if (home / name).exists():
            return home / name
        handle, made = tempfile.mkstemp(suffix=".so", dir=home)
    except (OSError, RuntimeError):  # a home that cannot be written, or none
        home = Path(tempfile.mkdtemp(prefix="labapp-"))
        handle, made = tempfile.mkstemp(suffix=".so", dir=home)
    os.close(handle)
    # Linked against the OpenMP that torch has loaded, by its own file where torch brings one: two thread pools would
    # fight for the same cores.
    own = [str(path) for path in sorted((Path(torch.__file__).parent / "lib").glob("libgomp*"))]
    said = "no message"
    for attempt in ATTEMPTS:
        command = [found, *FLAGS, *attempt, *flags, *map(str, SOURCES), "-o", made, *own * ("-fopenmp" in attempt)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
        if done.returncode == 0:
            return Path(made).replace(home / name)
        said = (done.stderr.strip().splitlines() or [said])[-1]
    Path(made).unlink(missing_ok=True)
    raise RuntimeError(f"{found} refused the kernels ({said})")


def _processor() -> str:
    """What -march=native depends on: a cache shared by two machines must not hand one the other's instructions."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.machine() + platform.processor()
    return "".join(sorted({line for line in lines if line.startswith(("flags", "Features"))}))


def load(path: Path) -> ctypes.CDLL:
    """The functions of a shared object, with their signatures; OSError or AttributeError where it is not ours."""
    found = ctypes.CDLL(str(path))
    pointer, size, number = ctypes.c_void_p, ctypes.c_int64, ctypes.c_int
    for function, arguments in {
        "labapp_flat": (pointer, size, number, pointer, number),
        "labapp_planes": (pointer, size, size, size, pointer, pointer, number),
        "labapp_columns": (pointer, size, size, pointer, pointer, number),
        "labapp_inner": (pointer, pointer, size, pointer, number),
        "labapp_crossed": (pointer, pointer, size, size, size, number, pointer, number),
        "labapp_exponents": (pointer, size, pointer, number),
        "labapp_norms": (pointer, pointer, pointer, size, pointer, number),
    }.items():
        getattr(found, function).argtypes = arguments
        getattr(found, function).restype = None
    found.labapp_machine.restype = ctypes.c_char_p
    return found


def timed(found: ctypes.CDLL) -> Speed:
    """The compiled pass beside `torch.dot`, on one thread: what 3,584 more values cost either, in the first cache.

    The least of many short turns, at sizes that dot does not share among threads. A turn of 2 ms may lie whole in a
    moment when the processor is someone else's: a verdict against the pass needs some that are 20 ms apart.
    """
    # Every block has both signs, as most outputs and gradients have.
    values = torch.linspace(-1, 1, 4096, dtype=torch.float32, device="cpu").view(64, 64).t().reshape(-1)
    out, address = (ctypes.c_double * 4)(), values.data_ptr()
    best: dict[tuple[bool, int], float] = {}
    ratio = TOO_SLOW
    for turn in range(TURNS):
        if turn and ratio < TOO_SLOW / 2:
            break
        time.sleep(0.02 if turn else 0)
        with torch.inference_mode():
            for _ in range(25):
                for size in (512, 4096):
                    part = values[:size]
                    for ours in (False, True):
                        start = time.perf_counter()
                        for _ in range(8):
                            found.labapp_flat(address, size, 1, out, 1) if ours else torch.dot(part, part)
                        took = time.perf_counter() - start
                        best[ours, size] = min(best.get((ours, size), took), took)
        dot, pass_ = (max(best[ours, 4096] - best[ours, 512], 1e-9) for ours in (False, True))
        ratio = pass_ / dot
    return Speed(ratio, found.labapp_machine().decode().replace(" ,", ","))
