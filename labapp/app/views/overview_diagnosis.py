"""What is wrong with the chosen runs? The same as `labapp diagnose RUN`, below the curves of the Overview page."""

from __future__ import annotations

import streamlit as st

from labapp import app, frames, palette
from labapp.app.tables import token
from labapp.config import listed
from labapp.frames import diagnosis
from labapp.store import Run

SHOWN = 2  # findings of a run that are told in full; the others by their titles
MEANING = """Twelve questions to the records alone, each with a threshold from theory or literature. Findings are ranked
by how far they are beyond it; what follows from another finding stands behind it."""


def draw(archive: app.OpenArchive) -> None:
    """Draw the panel, whose runs are looked at when it is opened."""
    st.fragment(_folded, run_every=app.PACE if archive.live else None)(archive)


def _folded(archive: app.OpenArchive) -> None:
    app.look_again_if_gone(archive.chosen)
    with st.expander(
        "What is wrong with them?", icon=":material/stethoscope:", key="diagnosis", bind="query-params"
    ) as part:
        if part.open:
            with app.reading(archive.chosen):
                told = [_diagnosis(*token(run)) for run in archive.chosen]
            _runs(list(zip(frames.names(archive.chosen), archive.chosen, told, strict=True)))


def _runs(told: list[tuple[str, Run, diagnosis.Diagnosis]]) -> None:
    healthy = [name for name, _, one in told if not one.findings]
    if healthy:
        st.markdown(palette.sentence(f"Nothing was found in {listed(healthy)}."), help=MEANING)
    for name, run, one in told:
        if one.findings:
            st.markdown(f"**{palette.sentence(f'{name}: {diagnosis.verdict(one)}')}**", help=MEANING)
            for rank, symptom in enumerate(one.findings[:SHOWN], start=1):
                _finding(rank, symptom)
            if rest := one.findings[SHOWN:]:
                st.caption(palette.sentence(f"Also: {listed([_title(symptom) for symptom in rest])}."))
        with st.container(horizontal=True, vertical_alignment="center"):
            st.download_button(
                f"Diagnosis of {palette.markdown(name)}",
                diagnosis.as_markdown(one),
                f"diagnosis-{run.id}.md",
                "text/markdown",
                icon=":material/download:",
                key=f"diagnosis-{run.id}",
                help="All findings, with definitions and what was looked at, as Markdown",
                on_click="ignore",
            )
            st.caption(palette.sentence(f"`labapp diagnose {run.id}`"))


def _title(symptom: diagnosis.Symptom) -> str:
    return f"{symptom.title[:1].lower()}{symptom.title[1:]}"


def _finding(rank: int, symptom: diagnosis.Symptom) -> None:
    st.markdown(palette.sentence(f"Finding {rank}: {_title(symptom)}. {symptom.words}"))
    facts = diagnosis.facts(symptom)
    silent = {"steps", "strength", *(["theory"] if symptom.expected.startswith("Theory says nothing") else [])}
    lines = [f"{fact}: {words}" for fact, words in facts.items() if fact not in silent]
    lines += [f"to confirm: {words}" for words in symptom.confirm]
    st.caption("  \n".join(map(palette.sentence, lines)))


@st.cache_data(max_entries=64, show_spinner=False)
def _diagnosis(path: str, version: str) -> diagnosis.Diagnosis:
    return diagnosis.diagnose(Run(path))
