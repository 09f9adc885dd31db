"""How is a run written for Weights & Biases? As an offline run by its own library; `wandb sync` sends it.

    OUT/wandb/offline-run-…-<run>/run-<run>.wandb

Rows of its history have a column "step", the x-axis of all charts, because rows come table by table and its own counter
goes one way only. Its JSON holds NaN and infinity, so nothing is lost.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from labapp.exports.about import AboutRun
from labapp.exports.points import CurvePoint


class OfflineRun:
    """A dashboard: a run of W&B, beside whatever other run of theirs this process has.

    Args:
        folder: Where its folder "wandb" lies.
        about: The run.
        mode: "offline"; None for what W&B's own settings say.
    """

    def __init__(self, folder: Path, about: AboutRun, mode: Literal["offline"] | None = "offline") -> None:
        import wandb

        folder.mkdir(parents=True, exist_ok=True)
        self._histogram = wandb.Histogram
        quiet: Any = {  # of this machine nothing is told but what the run itself says
            "console": "off",
            "silent": True,
            "disable_code": True,
            "disable_git": True,
            "disable_job_creation": True,
            "symlink": False,
            "x_disable_machine_info": True,
            "x_disable_meta": True,
            "x_disable_stats": True,
            "x_save_requirements": False,
        }
        self._run = wandb.init(
            dir=str(folder),
            id=about.id if not about.first else None,  # an attempt that goes on is a run of its own there
            name=about.name,
            notes=about.note or None,
            tags=about.tags or None,
            config={**about.settings, "labapp": about.facts()},
            project="labapp" if mode else None,
            mode=mode,
            reinit="create_new",
            settings=wandb.Settings(**quiet),
        )
        self._run.define_metric("step", hidden=True)
        self._run.define_metric("*", step_metric="step")

    def add(self, point: CurvePoint, wall: float) -> None:
        """As `Dashboard.add`; W&B has its own clock."""
        row: dict[str, Any] = {"step": point.step, **point.scalars}
        for name, bins in point.histograms.items():
            row[name] = self._histogram(np_histogram=(bins.counts, bins.edges))
        if len(row) > 1:
            self._run.log(row)

    def flush(self) -> None:
        """W&B writes by itself."""

    def close(self, about: AboutRun) -> None:
        """As `Dashboard.close`."""
        self._run.summary.update({f"labapp/{name}": words for name, words in about.facts().items()})
        good = about.status in ("finished", "incomplete", "diverged", "running")
        self._run.finish(exit_code=0 if good else 1)

    def lost(self) -> list[str]:
        """Nothing."""
        return []
