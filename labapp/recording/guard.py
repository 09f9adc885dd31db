"""How does a fault of the recorder stay out of the training that it watches, and how is it said?"""

import contextlib
import warnings
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping


class RecorderWarning(UserWarning):
    """Something is missing from the record; training itself was not touched."""


class Guard:
    """Counts faults and says what is missing.

    Attributes:
        step: the step that runs, or ran last.
        missing: steps that have no record because of a fault.
        notes: sentences about what is missing, each once.
    """

    def __init__(self) -> None:
        self.step = 0
        self.missing: set[int] = set()
        self.notes: list[str] = []
        self._faults: Counter[str] = Counter()
        self._raised: RecorderWarning | None = None

    @contextlib.contextmanager
    def __call__(self, steps: Iterable[int] | None = None) -> Iterator[None]:
        """Keeps a fault within the block; `steps` (the present one) then have no record."""
        try:
            yield
        except Exception as error:
            self.add({f"{type(error).__name__}: {error}": 1}, steps)

    def add(self, faults: Mapping[str, int], steps: Iterable[int] | None = None) -> None:
        """Counts faults that were kept elsewhere."""
        if faults:
            self._faults.update(faults)
            self.missing.update([self.step] if steps is None else steps)

    def note(self, text: str) -> None:
        """Says something about the record, once."""
        if text not in self.notes:
            self.notes.append(text)
            self.warn(text)

    def warn(self, text: str) -> None:
        """Says it. Where warnings are made errors, the first is raised when the recorder closes, not in a step."""
        try:
            warnings.warn(text, RecorderWarning, stacklevel=3)
        except RecorderWarning as error:
            self._raised = self._raised or error

    def close(self, quiet: bool) -> None:
        """Says what failed; raises what a filter has made an error of, unless it has to be `quiet`."""
        if self._faults:
            what = "; ".join(f"{text} ({times}×)" for text, times in self._faults.items())
            steps = f" {len(self.missing)} steps have no record." if self.missing else ""
            self.warn(f"the recorder failed in itself, and training went on without it: {what}.{steps}")
        if self._raised is not None and not quiet:
            raise self._raised
