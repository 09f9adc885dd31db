"""What do the pages share? The frame around them, the runs chosen in it, cached tables, and the empty state."""

from labapp.ui.maps import map_grid
from labapp.ui.missing import PICTURE, broken, empty, none_chosen, start, starter_button
from labapp.ui.probes import probe, probed, readable, unmeasured, unpaired
from labapp.ui.sidebar import PACE, Room, frame, look_again_if_gone, room, swatch
from labapp.ui.steps import PACE as PLAY
from labapp.ui.steps import playing, step_slider
from labapp.ui.tables import curves, layer_table, overview, rows, signals, styles

__all__ = [
    "PACE",
    "PICTURE",
    "PLAY",
    "Room",
    "broken",
    "curves",
    "empty",
    "frame",
    "layer_table",
    "look_again_if_gone",
    "map_grid",
    "none_chosen",
    "overview",
    "playing",
    "probe",
    "probed",
    "readable",
    "room",
    "rows",
    "signals",
    "start",
    "starter_button",
    "step_slider",
    "styles",
    "swatch",
    "unmeasured",
    "unpaired",
]
