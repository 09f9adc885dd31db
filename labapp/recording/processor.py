r"""How much processor time does recording take, whatever else the machine does meanwhile?

Wall time also counts waiting for a core that another process has. Processor time of the thread that trains does not.
A clock of processor time costs ten times one of wall time (half a microsecond against 0.04), too much for every hook;
so whole steps are compared: each recorded step with the step after it, if that one is not recorded. What a recorded
step takes more is what recording costs, in hooks or by what it does to caches. Steps side by side do the same work on
other images, so the differences scatter, and the mean has its interval.

Method:
    Meaning: What recording adds to the processor time of training.
    Formula: Mean of $t_\text{recorded} - t_\text{next}$ over that of an idle step, with its 95 % interval.
    Source: Measured by the recorder itself; Student 1908, *Biometrika* 6, 1, for the interval.
    Batch norm: Not concerned.
    Sampling: Recorded steps whose next step is not recorded.
    Fails: Processor time leaves out waiting; wall time, told beside it, includes other programs. NaN where every step
        is recorded.
    Processes: Local: of the first process, its part of each exchange included.
    Command: labapp train --record every
"""

import math
import time

FEWEST = 5  # pairs, for a share with its interval


class ProcessorTime:
    """Differences between recorded steps and those after them."""

    def __init__(self) -> None:
        self.pairs = 0
        self.flushing = 0.0  # seconds, of handing rows on
        self._sum = self._squares = self._bare = 0.0
        self._pending: float | None = None  # of the recorded step just before
        self._recorded: bool | None = None
        self._began = 0.0

    def begins(self, recorded: bool) -> None:
        """A step begins; the clock is read only in recorded steps and right after one."""
        self._recorded = recorded
        if recorded or self._pending is not None:
            self._began = time.thread_time()

    def ends(self, counts: bool) -> None:
        """The step ends; one that failed, or studied the net, does not count."""
        if not self._recorded and self._pending is None:
            return
        spent = time.thread_time() - self._began
        if self._recorded:
            self._pending = spent if counts else None
        elif self._pending is not None:
            if counts:
                self.add(self._pending - spent, spent)
            self._pending = None

    def add(self, more: float, bare: float) -> None:
        """A pair: what the recorded step took more, and what the step after it took."""
        self.pairs, self._bare = self.pairs + 1, self._bare + bare
        self._sum, self._squares = self._sum + more, self._squares + more * more

    @property
    def bare(self) -> float:
        """Seconds of an idle step, of which there must be a pair."""
        return self._bare / self.pairs

    def share(self, recorded: int, steps: int) -> float | None:
        """The share alone, of however few pairs; None of none."""
        if not self.pairs or self._bare <= 0 or not steps:
            return None
        return (recorded * self._sum / self.pairs + self.flushing) / (steps * self.bare)

    def shares(self, recorded: int, steps: int) -> dict[str, float | None]:
        """What recording adds to the processor time of training alone.

        Args:
            recorded: how many steps were recorded.
            steps: of how many in all.

        Returns:
            cpu_share, with cpu_share_low and cpu_share_high, the ends of its 95 % interval (Student's t of the pairs);
            None of fewer than `FEWEST` pairs, such as where every step is recorded.
        """
        names = ("cpu_share", "cpu_share_low", "cpu_share_high")
        if self.pairs < FEWEST or self._bare <= 0 or not steps:
            return dict.fromkeys(names)
        from scipy.special import stdtrit  # here, since not every recorded net ends with a look at its cost

        more, bare = self._sum / self.pairs, self._bare / self.pairs
        variance = max(0.0, self._squares - self.pairs * more * more) / (self.pairs - 1)
        half = float(stdtrit(self.pairs - 1, 0.975)) * math.sqrt(variance / self.pairs)
        whole = steps * bare
        return {
            name: round((recorded * (more + sign * half) + self.flushing) / whole, 6)
            for name, sign in zip(names, (0, -1, 1), strict=True)
        }
