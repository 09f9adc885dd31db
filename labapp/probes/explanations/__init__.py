"""Where does a net at a checkpoint look in one image?

    net = of_run(run, step=300)                                     # or of_spec("torchvision:resnet18")
    shown = look(net, from_set(run, index=3), "gradcam")            # maps of every block, with their scores
    shown.stages[-1].values, shown.stages[-1].energy

The one door from the reading room to torch: a page imports it inside a function, so that the app opens without torch.
A checkpoint is loaded once and kept; one lock lets one question at a time touch a net, because hooks change it. What
comes back are numbers and numpy arrays, never tensors.
"""

from labapp.probes.explanations.faithfulness import faithfulness
from labapp.probes.explanations.maps import LayerMap, Look, look
from labapp.probes.explanations.samples import Sample, from_file, from_picture, from_set, strip
from labapp.probes.explanations.surveys import (
    Survey,
    agreement_of,
    check_sanity,
    drift_of,
    energy_table,
    survey,
)
from labapp.probes.subjects import Reading, Subject, of_run, of_spec, reading_of, restarted_of, untrained_of

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
