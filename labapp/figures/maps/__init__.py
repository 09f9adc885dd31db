"""How do maps of what nets look at become pictures that compare?

`scale` turns values into colours, `pixels` lays them over the image, `encoding` makes files and addresses of pictures,
`sheet` says what is shown together, and `figure` draws a sheet on paper.
"""

from labapp.figures.maps.encoding import address, png, raw
from labapp.figures.maps.pixels import SIDE, at_most, blend, enlarged, grey, outline
from labapp.figures.maps.scale import SCALES, colours, scale_colours, scale_limit, scale_title, scaled
from labapp.figures.maps.sheet import Cell, MapRow, Sheet, energy_words

__all__ = [
    "SCALES", "SIDE", "Cell", "MapRow", "Sheet", "address", "at_most", "blend", "colours", "energy_words", "enlarged",
    "grey", "outline", "png", "raw", "scale_colours", "scale_limit", "scale_title", "scaled",
]  # fmt: skip
