"""What differs between two runs, or two groups of runs?

    a, b = side(plain_runs), side(residual_runs)      # repetitions that differ in the seed alone, or any runs
    configuration(a, b)                               # the settings that differ
    course(a, b, "loss")                              # how curves differ, over steps
    by_depth(a, b, "output_grad_norm", step=300)      # B ÷ A layer by layer
    judge(parse_rule("update_ratio>3x"), a, b)        # whether that is too much

A difference has an interval where both sides have two runs or more, Welch's over the runs as in `frames.difference`;
of ratios on the logarithm. What cannot be compared is NaN, and its row says why.
"""

from labapp.frames.compare.configuration import CONFIGURATION, configuration, in_words, repeated
from labapp.frames.compare.contrast import contrast
from labapp.frames.compare.judging import Verdict, judge
from labapp.frames.compare.layers import by_depth
from labapp.frames.compare.moments import compared_steps
from labapp.frames.compare.quantities import OF_LAYERS, OF_RUNS, SCALES, SHOWN
from labapp.frames.compare.reading import read_compared, read_only, read_recorded
from labapp.frames.compare.rules import Rule, parse_rule
from labapp.frames.compare.series import course, ends, read_series
from labapp.frames.compare.sides import Side, side
from labapp.frames.compare.summary import largest
from labapp.frames.compare.telling import telling

__all__ = [
    "CONFIGURATION", "OF_LAYERS", "OF_RUNS", "SCALES", "SHOWN", "Rule", "Side", "Verdict", "by_depth",
    "compared_steps", "configuration", "contrast", "course", "ends", "in_words", "judge", "largest", "parse_rule",
    "read_compared", "read_only", "read_recorded", "read_series", "repeated", "side", "telling",
]  # fmt: skip
