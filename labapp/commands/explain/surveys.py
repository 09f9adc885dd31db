"""Where do the nets look in many images, and is it what they have learnt? Tables of energy, agreement and sanity."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from labapp.commands.explain.files import write_tables
from labapp.commands.explain.nets import Asked
from labapp.commands.progress import console, percent
from labapp.config import Experiment
from labapp.store import Run


def write_surveys(
    asked: Sequence[Asked], source: Run | Experiment, methods: Sequence[str], count: int, folder: Path
) -> list[Path]:
    """Survey the first `count` test images with each net and method."""
    from labapp.probes import explanations

    energy: list[dict[str, Any]] = []
    agreement: list[dict[str, Any]] = []
    sanity: list[dict[str, Any]] = []
    for method in methods:
        surveys = []
        for each in asked:
            of = each.run or source
            trained = explanations.survey(each.subject, of, method, count).named(each.title)
            first = each.run.checkpoints()[:1] if each.run else []
            random = (
                explanations.of_run(each.run, 0)
                if each.run and first == [0]
                else explanations.restarted_of(each.subject)
            )
            untrained = explanations.survey(random, of, method, count)
            table = explanations.energy_table(trained, untrained)
            energy += [{"method": method} | row for row in table]
            verdict, rows, _ = explanations.check_sanity(each.subject, of, method)
            sanity += [{"run": each.title, "method": method, "verdict": verdict} | row for row in rows]
            surveys.append(trained)
            console().print(f"{each.title}, {method}: {_energy_words(table, trained.last)}; it {verdict}")
        agreement += [{"method": method} | row for row in explanations.agreement_of(surveys)]
    return write_tables({"energy": energy, "agreement": agreement, "sanity": sanity}, folder)


def _energy_words(table: Sequence[dict[str, Any]], layer: str) -> str:
    rows = {row["net"]: row for row in table if row["layer"] == layer and row["measure"] == "energy"}
    if np.isnan(rows["uniform"]["mean"]):
        return f"at {layer} no mask says where the thing is"

    def words(net: str) -> str:
        row = rows[net]
        return f"{percent(row['mean'])} ({percent(row['low'])} to {percent(row['high'])}, {row['images']} images)"

    return (
        f"at {layer} {words('trained')} of the energy inside the mask, random weights {words('untrained')}, "
        f"an even map {percent(rows['uniform']['mean'])}"
    )
