"""What do the pages share? The sidebar, the runs chosen in it, cached tables, controls, and what is said when empty."""

import logging

from labapp.config.extras import needed

# `labapp app` has its pages there before its server: of each function whose results are kept Streamlit would warn.
logging.getLogger("streamlit.runtime.caching.cache_data_api").addFilter(
    lambda record: "No runtime found" not in str(record.msg)
)

with needed(__name__):
    from labapp.app.archive import OpenArchive, look_again_if_gone, opened
    from labapp.app.compared import by_depth, compared_steps, course, ratio_span
    from labapp.app.controls import choice, of_step, playable, playing, say_steps, step_slider
    from labapp.app.diverged import say_divergence
    from labapp.app.drawn import chart, colour_bar
    from labapp.app.legend import names_on_phones, svg_address, swatch
    from labapp.app.live import live, sent, unfolded
    from labapp.app.missing import PICTURE, begin_starter, broken, empty, none_chosen, show, start, starter_button
    from labapp.app.probed import measured_steps, probe, readable, say_untrusted, show_probed, unmeasured, unpaired
    from labapp.app.promptly import promptly
    from labapp.app.questions import warm
    from labapp.app.reading import reading
    from labapp.app.resuming import resume_buttons
    from labapp.app.sidebar import draw_sidebar
    from labapp.app.tables import curves, described, layers, made_of, overview, quickly, rows, signals, styles, summary
    from labapp.app.theory import say_theory
    from labapp.config import roots

__all__ = [
    "PICTURE", "OpenArchive", "begin_starter", "broken", "by_depth", "chart", "choice", "colour_bar",
    "compared_steps", "course", "curves", "described", "draw_sidebar", "empty", "layers", "live",
    "look_again_if_gone", "made_of", "measured_steps", "names_on_phones", "none_chosen", "of_step", "opened",
    "overview", "playable", "playing", "probe", "promptly", "quickly", "ratio_span", "readable", "reading",
    "resume_buttons", "roots", "rows", "say_divergence", "say_steps", "say_theory", "say_untrusted", "sent", "show",
    "show_probed", "signals", "start", "starter_button", "step_slider", "styles", "summary", "svg_address",
    "swatch", "unfolded", "unmeasured", "unpaired", "warm",
]  # fmt: skip
