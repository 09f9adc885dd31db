"""Which net does an experiment ask for: one of the lab's, or one of another maker?"""

from torch import nn

from labapp.config import FOREIGN, Experiment, LabError
from labapp.nets import build
from labapp.nets.foreign import foreign


def net_for(experiment: Experiment, *, num_classes: int, image_size: int, in_channels: int) -> nn.Module:
    """The net of an experiment, with first weights, for these images.

    A factory of the user's own is given ``num_classes`` if it takes it; else it has to know.

    Raises:
        LabError: if there is no such net, or it does not take these images.
    """
    if experiment.family != FOREIGN:
        options = experiment.net_options()
        return build(**options, num_classes=num_classes, image_size=image_size, in_channels=in_channels)
    spec = str(experiment.net)
    source = spec.partition(":")[0]
    if source == "timm":
        return foreign(spec, num_classes=num_classes, in_chans=in_channels)
    if source == "torchvision":
        if in_channels != 3:
            raise LabError(f"{spec} takes images of 3 channels, and {experiment.imageset} has {in_channels}")
        return foreign(spec, num_classes=num_classes)
    return foreign(spec, wanted={"num_classes": num_classes})
