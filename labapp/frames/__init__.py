"""Which table does a picture show?

Every function takes runs, or a table made here, and returns a tidy table: one row is one measurement, and its columns
stand at the top of the docstring. Nothing here draws, and nothing here decides a colour.

    table = layer_table(runs, "output_grad_norm", kinds=["conv"])
    gradient_profile(table, step=0)      # against depth
    gradient_slope(table)                # one number a run and step, with its interval
    gradient_heatmap(table)              # depth × step

Values that are not finite are data. They stay in the table, are counted in a column of their own and never take part in
a mean or a fit; a fit that is left without points is NaN. What was not measured has no row, see `beyond`.

The functions that read files take `read=`, so that the app can pass cached readers of the same signature.
"""

from labapp.frames.architecture import layers as architecture
from labapp.frames.architecture import parts, pyramid, sizes
from labapp.frames.beyond import STATES, states_of
from labapp.frames.channels import dead_spans, judged_steps, longest, read_dead_spans
from labapp.frames.checkpoints import (
    NC,
    along_line,
    at_checkpoint,
    collapse,
    lesions,
    paths,
    reordered,
    shattering,
    shortcut_shares,
    singular_values,
)
from labapp.frames.comparisons import besides, comparable, comparable_of, difference, finals
from labapp.frames.divergence import divergence, evidence, read_divergence
from labapp.frames.expected import EXPECTED, expected, expected_gradient, unexpected
from labapp.frames.gradients import (
    gradient_profile,
    gradient_ratio,
    layer_panels,
    layer_table,
    of_layers_that_have,
    quantities_for,
    ratios_of_ends,
)
from labapp.frames.grids import LAYER, Grid, Panel, moments, read_grid, rows_at, span
from labapp.frames.heatmap import gradient_heatmap
from labapp.frames.library import differing, folded, library
from labapp.frames.magnitudes import layers_with, magnitudes, spread
from labapp.frames.maps import map_scores
from labapp.frames.naming import called, usual_of
from labapp.frames.others import by_place, is_placed, numbers_of, other_names
from labapp.frames.published import beside, published, published_words, record
from labapp.frames.representation import BY_DEPTH, across_depth, ends, pair_similarity, pairs, self_similarity
from labapp.frames.reuse import (
    SCALES,
    missed,
    observations,
    preference,
    preference_of_untrained,
    reuse,
    reuse_steps,
    scaled,
    spread_of_untrained,
)
from labapp.frames.runs import IDENTITY, callings, describe, names
from labapp.frames.signals import (
    FROM_ZERO,
    RECORDED,
    SIGNALS,
    UPDATES,
    at_step,
    healthy_band,
    medians,
    signal_panels,
    signal_rows,
    signals,
    totals,
)
from labapp.frames.slopes import gradient_slope, over_seeds, sampled_slopes
from labapp.frames.steps import TOLERANCE, averaged, middle_step, moment, near, standing, together
from labapp.frames.surface import loss_surface, of_planes
from labapp.frames.thinning import MARKS, thinned
from labapp.frames.training import SUMMARY, curves, overview, read_curves, summary
from labapp.frames.whole import OF_STEPS, OF_TOTALS, read_whole_steps, whole_steps
from labapp.probes.catalogue import PLAN

__all__ = [
    "BY_DEPTH",
    "EXPECTED",
    "FROM_ZERO",
    "IDENTITY",
    "LAYER",
    "MARKS",
    "NC",
    "OF_STEPS",
    "OF_TOTALS",
    "PLAN",
    "RECORDED",
    "SCALES",
    "SIGNALS",
    "STATES",
    "SUMMARY",
    "TOLERANCE",
    "UPDATES",
    "Grid",
    "Panel",
    "across_depth",
    "along_line",
    "architecture",
    "at_checkpoint",
    "at_step",
    "averaged",
    "beside",
    "besides",
    "by_place",
    "called",
    "callings",
    "collapse",
    "comparable",
    "comparable_of",
    "curves",
    "dead_spans",
    "describe",
    "difference",
    "differing",
    "divergence",
    "ends",
    "evidence",
    "expected",
    "expected_gradient",
    "finals",
    "folded",
    "gradient_heatmap",
    "gradient_profile",
    "gradient_ratio",
    "gradient_slope",
    "healthy_band",
    "is_placed",
    "judged_steps",
    "layer_panels",
    "layer_table",
    "layers_with",
    "lesions",
    "library",
    "longest",
    "loss_surface",
    "magnitudes",
    "map_scores",
    "medians",
    "middle_step",
    "missed",
    "moment",
    "moments",
    "names",
    "near",
    "numbers_of",
    "observations",
    "of_layers_that_have",
    "of_planes",
    "other_names",
    "over_seeds",
    "overview",
    "pair_similarity",
    "pairs",
    "parts",
    "paths",
    "preference",
    "preference_of_untrained",
    "published",
    "published_words",
    "pyramid",
    "quantities_for",
    "ratios_of_ends",
    "read_curves",
    "read_dead_spans",
    "read_divergence",
    "read_grid",
    "read_whole_steps",
    "record",
    "reordered",
    "reuse",
    "reuse_steps",
    "rows_at",
    "sampled_slopes",
    "scaled",
    "self_similarity",
    "shattering",
    "shortcut_shares",
    "signal_panels",
    "signal_rows",
    "signals",
    "singular_values",
    "sizes",
    "span",
    "spread",
    "spread_of_untrained",
    "standing",
    "states_of",
    "summary",
    "thinned",
    "together",
    "totals",
    "unexpected",
    "usual_of",
    "whole_steps",
]
