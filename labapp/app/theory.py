"""What does a page say of theory?

It is drawn at step 0 alone, beside every run about which it has something to say; of the others a sentence says why.
"""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd
import streamlit as st

from labapp import frames, palette
from labapp.config import listed
from labapp.store import Run

DOTS = "Dots: what mean-field theory expects of this very net before training"


def say_theory(chosen: Sequence[Run], at: pd.DataFrame, theory: pd.DataFrame, how: str = "") -> None:
    """Say what the dots of a picture are, and of which runs theory says nothing; nothing where no run is at step 0.

    Args:
        chosen: The runs of the page.
        at: What is shown, with the columns run and step; theory speaks of runs at step 0.
        theory: What is drawn of it, with the column run.
        how: What there is to know about the dots of this page.
    """
    begun = set(at.loc[at["step"] == 0, "run"])
    runs = {name: run for run, name in zip(chosen, frames.names(chosen), strict=True) if name in begun}
    dots = [name for name in runs if name in set(theory["run"])]
    words = [f"{DOTS}{how}."] if dots else []
    averaging = [name for name in dots if runs[name].experiment.family == "dense"]
    if averaging:
        words.append(
            "It takes neighbouring pixels for independent; where they are alike it is too high in front of each "
            f"transition of {listed(averaging)}, which averages neighbours."
        )
    reasons: dict[str, list[str]] = {}
    for name, reason in frames.unexpected(list(runs.values())).items():
        reasons.setdefault(reason, []).append(name)
    words += [f"Theory has nothing to say about {listed(names)}: {reason}." for reason, names in reasons.items()]
    if words:
        st.caption(palette.sentence(" ".join(words)))
