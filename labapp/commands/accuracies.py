"""How many images does a run's net tell right? As it was kept in the archive, or read from the run's tables."""

from __future__ import annotations

from labapp.store import NUMBERS, Entry, KeptNumbers, Listing, Run, last_number


def final_accuracy(run: Run, split: str) -> float:
    """The last accuracy measured on a split, a share; NaN where there is none."""
    return last_number(run, "evals", "accuracy", {"split": split})


class Accuracies:
    """The last test accuracy of runs: as it was kept, or read from their tables."""

    def __init__(self, listing: Listing) -> None:
        self._listing = listing
        self._kept = KeptNumbers(listing.root, NUMBERS)
        self._read: dict[str, float] = {}

    def __call__(self, entry: Entry, _: str = "accuracy") -> float:
        """A fraction; NaN for a run that was not tested."""
        if self._kept.is_current(entry):
            return self._kept.number(entry, "accuracy")
        if entry.id not in self._read:
            self._read[entry.id] = final_accuracy(self._listing.run(entry), "test")
        return self._read[entry.id]
