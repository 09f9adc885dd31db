"""Which tables were made of a run's checkpoints? `<quantity>.step-00000300.parquet`, one a quantity and checkpoint."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow as pa

from labapp.config import LabError, first_line, listed, nearest
from labapp.store.files import files, sent, sentences
from labapp.store.parquet import read_whole, write_table
from labapp.store.record import NAME

if TYPE_CHECKING:
    import pandas as pd

_PROBE = re.compile(r"(.+)\.step-(\d{8,})\.parquet")


class Probed:
    """What a `Run` knows of its checkpoints' tables."""

    path: Path
    id: str

    def write_probe(self, name: str, step: int, frame: pd.DataFrame) -> Path:
        """Add the table of one quantity at one checkpoint; also to a finished run, from any process."""
        if not NAME.fullmatch(name):
            raise LabError(f"'{name}' cannot name a probe; letters, digits, '.', '_', '+' and '-' can")
        path = self._probe_path(name, step)
        with sentences(path):
            path.parent.mkdir(exist_ok=True)
            write_table(pa.Table.from_pandas(frame, preserve_index=False), path)
        return sent(path)

    def probes(self) -> dict[str, list[int]]:
        """The quantities that were probed, each with the steps of the checkpoints it was measured at."""
        found: dict[str, list[int]] = {}
        for match in filter(None, map(_PROBE.fullmatch, files(self.path / "probes"))):
            found.setdefault(match[1], []).append(int(match[2]))
        return {name: sorted(steps) for name, steps in sorted(found.items())}

    def probe(self, name: str, step: int | None = None) -> pd.DataFrame:
        """The table of a quantity at a checkpoint; without a step, of all of them, with the column `step` in front."""
        there = self.probes()
        if name not in there:
            has = f"it has {listed(there)}{nearest(name, there)}" if there else f"`labapp probe {self.id}` makes one"
            raise LabError(f"run '{self.id}' has no probe '{name}'; {has}")
        if step is None:
            import pandas as pd

            tables = [self._probe(name, at).assign(step=at) for at in there[name]]
            whole = pd.concat(tables, ignore_index=True)
            return whole[["step", *whole.columns.drop("step")]]
        if step not in there[name]:
            raise LabError(f"run '{self.id}' has no '{name}' at step {step}; it has {listed(there[name])}")
        return self._probe(name, step)

    def _probe(self, name: str, step: int) -> pd.DataFrame:
        path = self._probe_path(name, step)
        try:
            frame: pd.DataFrame = read_whole(path).to_pandas()
            return frame
        except (pa.ArrowException, OSError) as error:
            raise LabError(f"{path} is damaged ({first_line(error)}); `labapp probe {self.id}` makes it anew") from None

    def _probe_path(self, name: str, step: int) -> Path:
        return self.path / "probes" / f"{name}.step-{step:08d}.parquet"
