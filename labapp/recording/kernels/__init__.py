"""Which numbers does one pass over a tensor's memory give, and how is that pass made fast?

Four reductions, each adding to a float64 buffer: `moments` (sum, sum of squares, positive and non-finite count, which
channels live), `energy` (the same sums in any memory order), `inner` (⟨a,b⟩, ⟨a,a⟩, ⟨b,b⟩) and `exponents` (a
histogram of magnitudes in powers of two). Two implementations with the same interface: `Compiled` runs ``kernels.c``
on float32 tensors in the machine's memory, `Portable` says the same in torch for every other device, dtype or machine
without a C compiler.

Neither reads a number back into Python: `Compiled` writes through a pointer, `Portable` leaves 0-dimensional tensors.
"""

import ctypes
import hashlib
import os
import shutil
import subprocess
import tempfile
from array import array
from functools import cache
from pathlib import Path

import torch
from torch import Tensor

FLAGS = (
    "-O3",
    "-march=native",
    "-fno-trapping-math",
    "-fno-math-errno",
    "-ffp-contract=fast",
    "-fopenmp",
    "-shared",
    "-fPIC",
)
SOURCE = Path(__file__).with_name("sums.c")
MAX_THREADS = 64


def dense(tensor: Tensor) -> Tensor:
    """The values as a tensor without gaps or overlaps, in whatever order they lie; a copy only where needed.

    A norm needs no order, so a channels-last gradient is read where it is; an expanded one (stride 0) is written out.
    """
    if tensor.is_contiguous() or (tensor.dim() == 4 and tensor.is_contiguous(memory_format=torch.channels_last)):
        return tensor
    expected = 1
    for stride, size in sorted((s, n) for s, n in zip(tensor.stride(), tensor.shape, strict=True) if n != 1):
        if stride != expected:
            return tensor.contiguous()
        expected *= size
    return tensor


def folder() -> Path:
    """Where compiled kernels are kept between sessions."""
    root = os.environ.get("XDG_CACHE_HOME")
    return (Path(root) if root else Path.home() / ".cache") / "labapp"


@cache
def library() -> tuple[ctypes.CDLL | None, str]:
    """The compiled kernels, or None; and how, or why not. Compiled once a machine and kept in the user's cache."""
    if os.environ.get("LABAPP_KERNELS", "").lower() in {"0", "off", "portable"}:
        return None, "switched off by LABAPP_KERNELS"
    compiler = os.environ.get("CC") or shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")
    if not compiler:
        return None, "no C compiler (cc, gcc or clang) was found"
    # -march=native: a cache shared by two machines must not hand one the other's instructions.
    try:
        cpu = "".join(
            sorted(
                {
                    line
                    for line in Path("/proc/cpuinfo").read_text().splitlines()
                    if line.startswith(("flags", "Features"))
                }
            )
        )
    except OSError:
        cpu = os.uname().machine
    key = hashlib.sha256(
        "\0".join([SOURCE.read_text(), *FLAGS, compiler, cpu, torch.__version__]).encode()
    ).hexdigest()[:16]
    try:
        home = folder()
        home.mkdir(parents=True, exist_ok=True)
    except OSError:
        home = Path(tempfile.mkdtemp(prefix="labapp-"))
    built = home / f"kernels-{key}.so"
    if not built.exists():
        # Linked against the OpenMP that torch has loaded, by its own file where torch brings one: two thread pools
        # would fight for the same cores.
        own = sorted((Path(torch.__file__).parent / "lib").glob("libgomp*"))
        handle, name = tempfile.mkstemp(suffix=".so", dir=home)
        os.close(handle)
        command = [compiler, *FLAGS, str(SOURCE), "-o", name, *map(str, own)]
        try:
            done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
        except (OSError, subprocess.TimeoutExpired) as error:
            Path(name).unlink(missing_ok=True)
            return None, f"{compiler} could not be run ({error})"
        if done.returncode:
            Path(name).unlink(missing_ok=True)
            return None, f"{compiler} refused kernels.c ({(done.stderr.strip().splitlines() or ['no message'])[-1]})"
        Path(name).replace(built)
    try:
        found = ctypes.CDLL(str(built))
    except OSError as error:
        return None, f"the compiled kernels do not load ({error})"
    pointer, size, threads = ctypes.c_void_p, ctypes.c_int64, ctypes.c_int
    for function, arguments in {
        "labapp_flat": (pointer, size, pointer, threads),
        "labapp_planes": (pointer, size, size, size, pointer, pointer, threads),
        "labapp_columns": (pointer, size, size, pointer, pointer, pointer, threads),
        "labapp_inner": (pointer, pointer, size, pointer, threads),
        "labapp_exponents": (pointer, size, pointer, threads),
        "labapp_norms": (pointer, pointer, pointer, size, pointer, threads),
    }.items():
        getattr(found, function).argtypes = arguments
        getattr(found, function).restype = None
    return found, f"compiled with {Path(compiler).name}"


class Compiled:
    """The reductions in C, for float32 tensors in the machine's memory."""

    def __init__(self, found: ctypes.CDLL) -> None:
        self.threads = min(torch.get_num_threads(), MAX_THREADS)
        self._flat, self._planes, self._columns = found.labapp_flat, found.labapp_planes, found.labapp_columns
        self._inner, self._exponents, self._norms = found.labapp_inner, found.labapp_exponents, found.labapp_norms
        self._scratch: dict[int, Tensor] = {}

    @staticmethod
    def takes(tensor: Tensor) -> bool:
        """Whether this implementation can read the tensor."""
        return tensor.dtype is torch.float32 and tensor.is_cpu and tensor.layout is torch.strided

    def moments(self, tensor: Tensor, axis: int, out: int, alive: int) -> None:
        """Adds four sums at address `out`; sets a byte at address `alive` for each channel with a positive value."""
        channels = tensor.shape[axis]
        if axis == 1 and tensor.dim() > 2:
            if tensor.is_contiguous():
                n = tensor.shape[0]
                self._planes(
                    tensor.data_ptr(), n, channels, tensor.numel() // max(n * channels, 1), out, alive, self.threads
                )
                return
            tensor = tensor.movedim(1, -1)
        if not tensor.is_contiguous():
            tensor = tensor.contiguous()
        scratch = self._scratch.get(channels)
        if scratch is None:
            period = channels
            while period % 16:
                period += channels
            scratch = self._scratch[channels] = torch.empty(self.threads * period, dtype=torch.int32)
        rows = tensor.numel() // max(channels, 1)
        self._columns(tensor.data_ptr(), rows, channels, out, alive, scratch.data_ptr(), self.threads)

    def energy(self, tensor: Tensor, out: int) -> None:
        """Adds four sums at address `out`, whatever the order of the values in memory."""
        tensor = dense(tensor)
        self._flat(tensor.data_ptr(), tensor.numel(), out, self.threads)

    def norms(self, tensors: list[Tensor], before: list[Tensor] | None = None) -> tuple[Tensor, Tensor]:
        """(n,) 2-norms in float64: of the tensors; or of what they were before, and of what was added since."""
        now = [dense(t) for t in tensors]
        out = torch.empty(len(now), 2, dtype=torch.float64)
        addresses = array("q", [t.data_ptr() for t in now])
        sizes = array("q", [t.numel() for t in now])
        old = array("q")
        if before is not None:
            # A copy made by torch.empty_like has the order of a dense tensor's values; anything else is put into it.
            same = [
                b if b.stride() == t.stride() else torch.empty_like(t).copy_(b)
                for t, b in zip(now, before, strict=True)
            ]
            old = array("q", [b.data_ptr() for b in same])
        pointers = (addresses.buffer_info()[0], old.buffer_info()[0] if old else None, sizes.buffer_info()[0])
        self._norms(*pointers, len(now), out.data_ptr(), self.threads)
        return out[:, 0], out[:, 1]

    def inner(self, a: Tensor, b: Tensor, out: int) -> None:
        """Adds ⟨a,b⟩, ⟨a,a⟩, ⟨b,b⟩ and the number of non-finite values of b at address `out`."""
        a = dense(a)
        if a.stride() != b.stride():
            b = torch.empty_like(a).copy_(b)
        self._inner(a.data_ptr(), b.data_ptr(), a.numel(), out, self.threads)

    def exponents(self, tensor: Tensor, out: int) -> None:
        """Adds the 256 counts of float32 exponents at address `out`."""
        tensor = dense(tensor)
        self._exponents(tensor.data_ptr(), tensor.numel(), out, self.threads)


class Portable:
    """The same reductions in torch, for any device and floating dtype; half precision is widened to float32."""

    @staticmethod
    def wide(tensor: Tensor) -> Tensor:
        """In float32 or wider, because sums of half-precision squares overflow at 65,504."""
        return tensor if tensor.dtype in (torch.float32, torch.float64) else tensor.float()

    def moments(self, tensor: Tensor, axis: int) -> tuple[Tensor, Tensor]:
        """(4,) sums and (C,) booleans: which channels have a positive value."""
        values = self.wide(tensor)
        positive = (values > 0).to(torch.float32)
        others = [d for d in range(values.dim()) if d != axis % values.dim()]
        counts = positive.sum(dim=others) if others else positive
        return self.energy(values, counts.sum()), counts > 0

    def energy(self, tensor: Tensor, positive: Tensor | None = None) -> Tensor:
        """(4,) sums: Σx, Σx², the number of positive values, the number of NaN or infinite ones."""
        flat = dense(self.wide(tensor))
        flat = flat.as_strided((flat.numel(),), (1,))
        if positive is None:
            positive = (flat > 0).sum()
        bad = flat.numel() - torch.isfinite(flat).sum()
        return torch.stack([flat.sum(), torch.dot(flat, flat), positive.to(flat.dtype), bad.to(flat.dtype)])

    def norms(self, tensors: list[Tensor], before: list[Tensor] | None = None) -> tuple[Tensor, Tensor]:
        """(n,) 2-norms: of the tensors; or of what they were before, and of what was added since."""
        if before is not None:
            return self._norms(before), self._norms(list(torch._foreach_sub(tensors, before)))
        found = self._norms(tensors)
        return found, found

    def _norms(self, tensors: list[Tensor]) -> Tensor:
        wide = [self.wide(t) for t in tensors]
        if wide[0].device.type == "cpu":
            # torch adds up float32 squares one by one on a CPU: 1 % too little for 10⁸ values. Short runs do not err.
            parts = [torch.stack(torch._foreach_norm(list(t.reshape(-1).split(65536)), 2)).double() for t in wide]
            return torch.stack([part.norm() for part in parts])
        return torch.stack(torch._foreach_norm(wide, 2))

    def inner(self, a: Tensor, b: Tensor) -> Tensor:
        """(4,) tensor: ⟨a,b⟩, ⟨a,a⟩, ⟨b,b⟩ and the number of non-finite values of b."""
        a, b = self.wide(a).reshape(-1), self.wide(b).reshape(-1)
        bad = (b.numel() - torch.isfinite(b).sum()).to(b.dtype)
        return torch.stack([torch.dot(a, b), torch.dot(a, a), torch.dot(b, b), bad])

    def exponents(self, tensor: Tensor) -> Tensor:
        """(256,) counts of float32 exponents."""
        bits = tensor.detach().float().reshape(-1).view(torch.int32)
        return torch.bincount((bits >> 23) & 255, minlength=256)


def norms(tensors: list[Tensor], before: list[Tensor] | None = None) -> tuple[Tensor, Tensor]:
    """(n,) 2-norms of tensors on one device; or of what they were `before`, and of what was added since."""
    found, _ = library()
    if found and all(Compiled.takes(tensor) for tensor in tensors):
        return Compiled(found).norms(tensors, before)
    return Portable().norms(tensors, before)
