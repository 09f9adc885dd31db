"""What does a net at a checkpoint make of one image?

    net = of_run(run, step=300)                                     # or of_spec("torchvision:resnet18")
    shown = look(net, from_set(run, index=3), "gradcam")            # maps of every block, with their scores
    shown.stages[-1].values, shown.stages[-1].energy

The one door from the reading room to torch: a page imports it inside a function, so that the app opens without torch.
A checkpoint is loaded once and kept; one lock lets one question at a time touch a net, because hooks change it. What
comes back are numbers and numpy arrays, never tensors.
"""

from labapp.workbench.faithfulness import faithfulness
from labapp.workbench.looks import LayerMap, Look, look
from labapp.workbench.samples import Sample, from_file, from_picture, from_set, strip
from labapp.workbench.subjects import Reading, Subject, of_run, of_spec, reading_of, restarted_of, untrained_of
from labapp.workbench.surveys import (
    Survey,
    agreement_of,
    check_sanity,
    drift_of,
    energy_table,
    survey,
)

__all__ = [
    "LayerMap",
    "Look",
    "Reading",
    "Sample",
    "Subject",
    "Survey",
    "agreement_of",
    "check_sanity",
    "drift_of",
    "energy_table",
    "faithfulness",
    "from_file",
    "from_picture",
    "from_set",
    "look",
    "of_run",
    "of_spec",
    "reading_of",
    "restarted_of",
    "strip",
    "survey",
    "untrained_of",
]
