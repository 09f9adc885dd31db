"""What do the pages share? The frame around them, the runs chosen in it, cached tables, and the empty state."""

from labapp.app.maps import map_grid
from labapp.app.missing import PICTURE, broken, empty, none_chosen, start, starter_button
from labapp.app.probed import probe, probed, readable, unmeasured, unpaired
from labapp.app.sidebar import PACE, Room, frame, look_again_if_gone, room, swatch
from labapp.app.steps import PACE as PLAY
from labapp.app.steps import playing, step_slider
from labapp.app.tables import curves, layer_table, overview, rows, signals, styles

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
