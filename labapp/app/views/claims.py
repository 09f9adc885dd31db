"""Which claims of the papers hold in this archive?"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from functools import partial

import pandas as pd
import streamlit as st

from labapp import app, charts, palette
from labapp.app import background
from labapp.app.tables import token
from labapp.claims import CLAIMS, NO_DATA, PAPERS, VERDICTS, Claim, Judged, Judgement, verdicts
from labapp.claims.wording import FACTORS, INK, SHARE, as_shown, command_for, in_words, number, seeds_of
from labapp.config import listed, nearest
from labapp.store import Listing

ADDRESS = "claim"  # in the page's address, the one that is shown alone
AT_ONCE = 3.0  # seconds for which the page waits before it shows how far it is
PACE = 0.7  # seconds between looks at an answer that is being made
COLOURS = {"supported": "green", "contradicted": "red", "undecided": "orange", "no data": "gray"}
ICONS = {
    "supported": ":material/check_circle:",
    "contradicted": ":material/cancel:",
    "undecided": ":material/help:",
    "no data": ":material/block:",
}
MEANING = """
A claim's numbers, thresholds and rule were fixed before anything was measured. A number is *supported* if the whole
95 % interval of its mean over seeds lies on the claim's side of the threshold, *contradicted* if it lies wholly on the
other side, else *undecided*; a claim is supported if all its numbers are. At least three seeds are needed, of runs that
differ in nothing but what the claim compares. Where a number sits at its threshold, 1 verdict of 20 is false.
"""


def page() -> None:
    """Draw the page."""
    busy = st.session_state.get("_judging", False)
    st.fragment(_body, run_every=PACE if busy else None)()


def _body() -> None:
    archive = app.opened()
    top = st.container()
    job = _judged(archive.listing)
    ready = background.wait([job], AT_ONCE)
    if bool(st.session_state.get("_judging")) == ready:  # begin to look again, or stop
        st.session_state["_judging"] = not ready
        st.rerun()
    if not ready:
        top.title("The claims are being judged …", anchor=False)
        st.progress(job.share, text=palette.sentence(job.message))
        return
    if job.fault:
        top.title("The claims could not be judged.", anchor=False)
        st.error(palette.sentence(job.fault))
        return
    found: dict[str, list[Judgement]] = job.value
    asked = str(st.query_params.get(ADDRESS, ""))
    if asked in found:
        with top:
            _alone(found[asked], str(archive.root))
        return
    if asked:
        top.warning(palette.sentence(f"There is no claim '{asked[:60]}'{nearest(asked, CLAIMS)}; below are all."))
    with top:
        best = {name: several[0] for name, several in found.items()}
        st.title(palette.sentence(answer(list(best.values()))), help=MEANING, anchor=False)
        titles = ["All", *(about[0] for about in PAPERS.values())]
        paper = st.segmented_control("Paper", titles, default="All", key="paper", bind="query-params", required=True)
    for name, about in PAPERS.items():
        shown = [verdict for verdict in best.values() if verdict.claim.paper == name and paper in ("All", about[0])]
        if shown:
            st.subheader(palette.markdown(f"{about[0]}: {about[1]}"), anchor=False)
            for left in range(0, len(shown), 2):
                for verdict, column in zip(shown[left : left + 2], st.columns(2, gap="medium"), strict=False):
                    with column:
                        _card(verdict)


def _judged(listing: Listing) -> background.Job:
    """The verdicts on all claims, made once for an archive as it is now."""
    entries = [e for e in listing.entries if any(claim.side(e.experiment) for claim in CLAIMS.values())]
    key = tuple((*token(listing.run(entry)), entry.status) for entry in entries)

    def work(tell: Callable[[float, str], None]) -> dict[str, list[Judgement]]:
        found = {}
        for count, (name, claim) in enumerate(CLAIMS.items()):
            tell(count / len(CLAIMS), f"{count} of {len(CLAIMS)} claims judged")
            found[name] = verdicts(claim, listing)
        return found

    return background.ask(("claims", str(listing.root), key), work, quick=False)


def answer(found: list[Judgement]) -> str:
    """The page's question answered: how many claims have which verdict."""
    count = Counter(verdict.verdict for verdict in found)
    if count[NO_DATA] == len(found):
        return f"This archive holds no runs that any of the {len(found)} claims could be judged by."
    told = [f"{count[word]} {'is' if count[word] == 1 else 'are'} {word}" for word in VERDICTS[:3] if count[word]]
    lacking = f"; {count[NO_DATA]} lack runs" if count[NO_DATA] else ""
    return f"Of {len(found)} claims {listed(told)}{lacking}."


def _card(verdict: Judgement) -> None:
    claim = verdict.claim
    with st.container(border=True):
        with st.container(horizontal=True, vertical_alignment="center"):
            st.badge(verdict.verdict, icon=ICONS[verdict.verdict], color=COLOURS[verdict.verdict])  # type: ignore[arg-type]
            st.button(
                "Look closer", key=f"see-{claim.name}", type="tertiary", on_click=_choose, args=(claim.name,),
                icon=":material/zoom_in:",
            )  # fmt: skip
        st.markdown(palette.sentence(claim.statement))
        for part in verdict.parts:
            if part.seeds:
                st.caption(palette.sentence(f"{part.part.says}: {in_words(part)} ({seeds_of(part)})"))
        if verdict.verdict == NO_DATA:
            st.caption(palette.sentence(f"{verdict.note[:1].upper()}{verdict.note[1:]}."))
        if claim.published:
            st.caption(palette.sentence(f"Published, not measured here: {claim.published}."))


def _alone(several: list[Judgement], root: str) -> None:
    claim = several[0].claim
    st.title(palette.sentence(_heading(several[0])), help=MEANING, anchor=False)
    st.button("All claims", icon=":material/arrow_back:", key="all", on_click=_forget)
    name, authors, address = PAPERS[claim.paper]
    st.caption(palette.sentence(f"{name}: {authors}, {claim.where} ({address}). Also seen on the page {claim.shown}."))
    for at, verdict in enumerate(several):
        if len(several) > 1:
            words = f"{verdict.verdict}: {verdict.settings or 'other runs'}"
            st.subheader(palette.markdown(f"{words[:1].upper()}{words[1:]}"), anchor=False)
        for part in verdict.parts:
            _part(claim, verdict, part, f"{claim.name}-{part.part.name}-{at}")
        if verdict.note:
            st.caption(palette.sentence(f"{verdict.note[:1].upper()}{verdict.note[1:]}."))
        if verdict.runs:
            count = f"{len(verdict.runs)} run{'s' * (len(verdict.runs) != 1)}"
            with st.expander(f"{count}: {palette.markdown(verdict.settings)}"):
                st.markdown("\n".join(f"- `{run}`" for run in verdict.runs))
    if claim.published:
        st.caption(palette.sentence(f"Published, not measured here: {claim.published}."))
    st.caption("This command makes its runs, or those that are missing:")
    st.code(command_for(claim, root), language="bash")


def _heading(verdict: Judgement) -> str:
    word = "No data" if verdict.verdict == NO_DATA else verdict.verdict.capitalize()
    return f"{word}: {verdict.claim.statement}"


def _part(claim: Claim, verdict: Judgement, part: Judged, key: str) -> None:
    says = f"{part.part.says[:1].upper()}{part.part.says[1:]}"
    st.markdown(f"**{palette.markdown(says)}**")
    note = f"; {part.note}" if part.note else ""
    words = f"{part.verdict}: {in_words(part)} ({part.part.because}; {seeds_of(part)}{note})"
    st.caption(palette.sentence(f"{words[:1].upper()}{words[1:]}."))
    if not part.seeds:
        return
    factors, percent = part.part.unit in FACTORS, part.part.unit == SHARE
    shown = partial(as_shown, part)
    about = {"mean": shown(part.value), "low": shown(part.low), "high": shown(part.high)}
    table = pd.DataFrame({"seed": part.whose, "value": [shown(value) for value in part.numbers]})
    unit = "factor" if factors else "%" if percent else "number"
    chart = charts.claim_chart(
        table.assign(**about), unit, shown(part.part.threshold), part.part.above, INK[part.verdict], factors
    )
    exact = table.assign(**about, claim=claim.name, part=part.part.name, verdict=part.verdict)
    app.chart(chart, key, f"{part.part.says}: mean {number(part, part.value)}, {words}", exact)


def _choose(name: str) -> None:
    st.query_params[ADDRESS] = name


def _forget() -> None:
    del st.query_params[ADDRESS]


if __name__ == "__main__":
    page()
