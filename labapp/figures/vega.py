"""How does a chart of the screen get onto paper? As Vega draws it, without a browser."""

from __future__ import annotations

from typing import Any

DENSITY = 2.0  # pixels of a PNG for one on the screen
FONT = "DejaVu Sans"  # the one of all figures, which matplotlib brings along: without a font nothing is written


def drawn(spec: dict[str, Any], form: str) -> bytes:
    """A Vega-Lite description (`charts.alone`) as a PNG, SVG or PDF.

    Args:
        spec: The description; its font is set here.
        form: png, svg or pdf.
    """
    import matplotlib
    import vl_convert

    vl_convert.register_font_directory(f"{matplotlib.get_data_path()}/fonts/ttf")
    spec = spec | {"config": spec.get("config", {}) | {"font": FONT}}
    if form == "png":
        return bytes(vl_convert.vegalite_to_png(spec, scale=DENSITY))
    if form == "pdf":
        return bytes(vl_convert.vegalite_to_pdf(spec))
    return vl_convert.vegalite_to_svg(spec).encode()
