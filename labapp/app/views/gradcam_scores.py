"""Is what the maps show believable? The scores under the grid of the Grad-CAM page."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import pandas as pd
import streamlit as st

from labapp import app, charts, palette
from labapp.app import background, questions
from labapp.app.views.gradcam_grid import View, picked
from labapp.store import Run

if TYPE_CHECKING:
    from labapp.probes.explanations import Look, Sample

SCORED = 4  # layers of a net whose faithfulness is scored, at most


def ask(runs: Sequence[Run], names: dict[str, str], method: str) -> list[background.Job]:
    """Ask about many test images and about random weights; one job a run."""
    return [questions.survey(run, names[run.id], method) for run in runs]


def draw(
    runs: Sequence[Run],
    names: dict[str, str],
    sample: Sample | None,
    shown: Sequence[tuple[Run, int, Look]],
    view: View,
    jobs: Sequence[background.Job],
) -> tuple[pd.DataFrame, list[background.Job]]:
    """Draw the tables, and give back the energies of the chosen stage with the jobs that are still wanted."""
    found = [job.value for job in jobs if job.done and not job.fault]
    energy = _of_stage(pd.concat([each["energy"] for each in found]), view.stage) if found else pd.DataFrame()
    wanted: list[background.Job] = []
    if sample is not None and shown:
        wanted += _of_image(names, sample, shown, view)
        if view.columns == "checkpoints":
            wanted += _drift(runs, names, shown, view)
    for sentence in dict.fromkeys(job.fault for job in jobs if job.done and job.fault):
        st.error(palette.sentence(sentence))
    if found:
        _of_many(energy, found, {names[run.id]: run.checkpoints()[-1] for run in runs})
    if len(found) > 1:
        wanted += _agreement([each["survey"] for each in found], view)
    return (energy[energy["measure"] == "energy"] if len(energy) else energy), wanted


def _of_stage(table: pd.DataFrame, stage: int | None) -> pd.DataFrame:
    """The rows of a stage; of the last one of a run that has no such."""
    last = table.groupby("run")["stage"].transform("max")
    has = table["stage"].eq(stage).groupby(table["run"]).transform("any") if stage else pd.Series(False, table.index)
    return table[(table["stage"] == stage) & has | (table["stage"] == last) & ~has]


def _of_image(
    names: dict[str, str], sample: Sample, shown: Sequence[tuple[Run, int, Look]], view: View
) -> list[background.Job]:
    """The scores of the maps above, one row a map."""
    st.subheader("Scores of these maps", anchor=False)
    faithful = st.toggle(
        "Score faithfulness too", key="faithful", bind="query-params",
        help="Deletion, insertion, infidelity and sensitivity; they ask a net some hundred times a layer",
    )  # fmt: skip
    rows, jobs = [], []
    for run, step, look in shown:
        layers = picked(look, view) if view.columns != "blocks" else look.at_depths(SCORED)
        more: dict[str, dict[str, Any]] = {}
        if faithful:
            job = questions.faithfulness(run, step, sample, look, layers, view.mean, view.std)
            jobs.append(job)
            if job.done and not job.fault:
                more = {row["layer"]: row for row in job.value}
        for layer in layers:
            rows.append(
                {
                    "run": names[run.id],
                    "step": step,
                    "layer": layer.path,
                    "energy": 100 * layer.energy,
                    "pointing": layer.hit,
                    **{name: more.get(layer.path, {}).get(name, math.nan) for name in FAITHFUL if faithful},
                }
            )
    number = st.column_config.NumberColumn
    st.dataframe(
        pd.DataFrame(rows), hide_index=True, key="scores", placeholder="–",
        alt="Scores of each map: energy inside the mask, pointing game, faithfulness",
        column_config={
            "run": "Run", "step": "Step", "layer": "Layer",
            "energy": number("Energy inside", format="%.1f %%", help="Of the map's positive part, inside the mask"),
            "pointing": number("Pointing game", format="%.2g", help="1 where the highest place is inside the mask"),
            **{name: number(title, format="%.3f", help=about) for name, (title, about) in FAITHFUL.items()},
        },
    )  # fmt: skip
    answers = [row for job in jobs if job.done and not job.fault for row in job.value]
    for sentence in dict.fromkeys(row["note"] for row in answers if row["note"]):
        st.caption(palette.sentence(f"Not every score can be told: {sentence}."))
    return jobs


FAITHFUL = {
    "deletion": ("Deletion", "Area under the probability while the highest places are taken out; small is faithful"),
    "insertion": ("Insertion", "Area under the probability while they are put into a blurred image; large is faithful"),
    "infidelity": ("Infidelity", "Yeh et al. 2019, Definition 2.1, after the best scaling; 0 is best"),
    "sensitivity": ("Sensitivity", "Greatest change of the map under changes of the image by 0.02; 0 is best"),
}


def _of_many(energy: pd.DataFrame, found: Sequence[dict[str, Any]], steps: dict[str, int]) -> None:
    """Energy inside the mask at the last checkpoint with its interval, trained beside random, and the verdict."""
    verdicts = {each["survey"].name: each["verdict"] for each in found}
    right = {each["survey"].name: float(each["survey"].correct.mean()) for each in found}
    count = len(found[0]["survey"].correct)
    st.subheader(
        palette.sentence(f"Over {count} test images"), anchor=False,
        help="All asked about their true class, at each net's last checkpoint. Means with 95 % intervals (a bootstrap "
        "over the images; Wilson's for counts of hits); images whose map has no positive part have no energy to share "
        "out and are left out, their number is in the last columns.",
    )  # fmt: skip
    rows = []
    for name, table in energy.groupby("run", sort=False):
        cell = {(row.measure, row.net): row for row in app.rows(table)}
        energies, hits = (
            {net: cell[measure, net] for net in ("trained", "untrained", "difference", "uniform")}
            for measure in ("energy", "pointing")
        )
        rows.append(
            {
                "run": name,
                "step": steps[str(name)],
                "layer": energies["trained"].layer,
                "trained": _interval(energies["trained"]),
                "untrained": _interval(energies["untrained"]),
                "difference": _interval(energies["difference"]),
                "verdict": verdicts[str(name)],
                "uniform": palette.percent(energies["uniform"].mean),
                "pointing": _interval(hits["trained"]),
                "correct": palette.percent(right[str(name)]),
                "images": f"{energies['trained'].images} / {energies['untrained'].images}",
            }
        )
    st.dataframe(
        pd.DataFrame(rows), hide_index=True, key="many",
        alt="Energy inside the mask over many test images, trained beside random weights, and the sanity check",
        column_config={
            "run": "Run", "step": "Step", "layer": "Layer", "trained": "Energy inside", "untrained": "Random net",
            "difference": "Difference, paired", "uniform": "Even map", "pointing": "Pointing game",
            "correct": "Accuracy", "verdict": "The map …", "images": "Images, trained / random",
        },
    )  # fmt: skip


def _interval(row: Any) -> str:
    if math.isnan(row.mean):
        return "–"
    if math.isnan(row.low):
        return f"{100 * row.mean:.1f} % (too few images for an interval)".replace("-", "−")
    return f"{100 * row.mean:.1f} % ({100 * row.low:.1f} to {100 * row.high:.1f})".replace("-", "−")


def _agreement(surveys: Sequence[Any], view: View) -> list[background.Job]:
    job = questions.agreement(surveys, view.stage)
    background.wait([job], 1.0)
    if job.done and not job.fault and len(job.value):
        st.subheader(
            "Do the nets look at the same places?", anchor=False,
            help="Spearman's rank correlation of two nets' maps, mean over the images; hovering gives its interval.",
        )  # fmt: skip
        names = [each.name for each in surveys]
        drawn = charts.agreement_chart(job.value, order=names)
        app.chart(drawn, "agreement", "Rank correlation of the maps of every pair of nets", job.value)
    return [job]


def _drift(
    runs: Sequence[Run], names: dict[str, str], shown: Sequence[tuple[Run, int, Look]], view: View
) -> list[background.Job]:
    looks = {names[run.id]: [look for of, _, look in shown if of == run] for run in runs}
    job = questions.drift({name: each for name, each in looks.items() if each}, view.stage)
    background.wait([job], 1.0)
    if job.done and not job.fault:
        st.subheader(
            "When does the map take its form?", anchor=False,
            help="Spearman's ρ of a checkpoint's map with the last one's; 1 where the net looks as in the end.",
        )  # fmt: skip
        drawn = charts.drift_chart(job.value, app.styles(runs))
        app.chart(drawn, "drift", "Rank correlation of each checkpoint's map with the last one's", job.value)
    return [job]
