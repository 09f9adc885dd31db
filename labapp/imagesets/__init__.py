"""Which images does a net learn from, in which order, and where in them is the thing to see?"""

from labapp.imagesets.sets import MIRRORED, FolderSet, ImageSet, MemorySet, augment, load, load_for

__all__ = ["MIRRORED", "FolderSet", "ImageSet", "MemorySet", "augment", "load", "load_for"]
