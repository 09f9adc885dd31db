"""Which experiments does a sweep consist of? A YAML file of lists and grids, each experiment with every seed.

    name: degradation                # of the tag `sweep:degradation`; the file's name when left out
    about: Does depth make the training error worse?
    base: {width: 8, steps: 300}     # values that all have: any option of `labapp train`
    grid:                            # lists that multiply
      family: [plain, residual]
      depth: [20, 56]
    runs:                            # lists of their own, each once with every combination of the grid
      - {norm: batch}
      - {norm: none, learning_rate: 0.01}
    seeds: [0, 1, 2]                 # each with every seed; [0] when left out
    probes:                          # what is measured on each when it has ended, with the options of `labapp probe`
      lesions: {checkpoints: [300], images: 128}
      similarity: {against: seeds}   # also of its layers with those of the next seed
    blocks:                          # several lists and grids, in place of `runs` and `grid` above; each may have all
      - {base: …, grid: …, seeds: …, probes: …}       # of these, besides what stands above

Later values win: base, the block's base, the item of `runs`, the grid. An experiment that comes twice is one, and what
either is to be measured for is measured. An empty value means what it means where an option is left out.

    read("analysis/sweeps/quick/degradation.yaml").planned[0].experiment
"""

from labapp.config.sweeps.marks import Marked
from labapp.config.sweeps.spec import MOST, Planned, Sweep, parse, read
from labapp.config.sweeps.wishes import ProbeWish

__all__ = ["MOST", "Marked", "Planned", "ProbeWish", "Sweep", "parse", "read"]
