"""Which images does a net learn from, in which order, and where in them is the thing to see?"""

from labapp.imagesets.augmentation import MIRRORED, augment
from labapp.imagesets.loading import load, load_for
from labapp.imagesets.sets import FolderSet, ImageSet, MemorySet

__all__ = ["MIRRORED", "FolderSet", "ImageSet", "MemorySet", "augment", "load", "load_for"]
