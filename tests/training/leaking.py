"""A net of somebody's own that fails in one of several processes, as LEAK says: "raise 1 4" or "kill 2 3"."""

import os
import signal

from torch import nn


class Leaking(nn.Module):
    """Without batch norms, so that several processes do what one does; in training it counts its forwards."""

    def __init__(self, classes):
        super().__init__()
        self.body = nn.Sequential(nn.Conv2d(1, 8, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(3), nn.Flatten())
        self.head = nn.Linear(72, classes)
        self.forwards = 0

    def forward(self, x):
        how, rank, at = os.environ.get("LEAK", "never -1 -1").split()
        self.forwards += self.training
        if self.training and os.environ.get("LOCAL_RANK") == rank and self.forwards == int(at):
            if how == "kill":
                os.kill(os.getpid(), signal.SIGKILL)
            raise RuntimeError("the roof leaks")
        return self.head(self.body(x))


def make(num_classes=10):
    return Leaking(num_classes)
