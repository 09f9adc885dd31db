"""What does a diagnostic answer about a net, and is that a table as all of them make?"""

from __future__ import annotations

import contextlib
import functools
import re
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import pandas as pd
from torch import nn

from labapp.config import Experiment, LabError, first_line, listed
from labapp.diagnostics.measuring.batch_statistics import calibrated
from labapp.probes.catalogue import ADDED, ProbeSpec
from labapp.probes.contract import nets
from labapp.probes.contract.traces import changed, own_numbers, state
from labapp.probes.given import Given, ProbeImages
from labapp.probes.measure import table_of

Diagnostic = Callable[..., pd.DataFrame]
REASONS = ("reason", "note")  # columns that say why there is no number
SAME = 1e-5  # relative: what the order of float32 sums may change between two calls
TINY = 1e-8  # beside numbers of the size of 1: what is left of a difference that should be 0


@dataclass
class Asking:
    """A diagnostic that is asked about one net after the other, and in what it broke its promises."""

    spec: ProbeSpec
    function: Diagnostic
    faults: list[str] = field(default_factory=list)
    times: int = 0

    def table(
        self, what: str, net: nn.Module, experiment: Experiment, *, may_refuse: bool = False
    ) -> pd.DataFrame | None:
        """The table of a net; None where there is none, which is a fault unless it may be refused in one sentence.

        Args:
            what: Which net it is, in the middle of a sentence.
            net: In evaluation mode, with a gradient that somebody left at its first parameter.
            experiment: Of the net, or of one that sees the same images.
            may_refuse: Whether a LabError is an answer.
        """
        for parameter in [*net.parameters()][:1]:
            parameter.grad = parameter.detach().clone()
        self.times += 1
        batch = nets.images(experiment, self.spec.images)
        found: object = None
        with own_numbers(self.times):
            before = state(net, batch.images)
            try:
                found = self._asked(net, experiment, batch)
            except LabError as error:
                if not may_refuse:
                    self.faults.append(f"of {what} it says that it cannot be measured: {error}")
                if not str(error) or "\n" in str(error):
                    self.faults.append(f"what it says of {what} is not one sentence: {str(error)!r}")
            except Exception as error:
                self.faults.append(
                    f"on {what} it raises {type(error).__name__} ({first_line(error)}); a LabError says in one "
                    "sentence why something cannot be measured"
                )
            left = changed(before, state(net, batch.images))
        if left:
            self.faults.append(f"after it was asked about {what}, {listed(left)} are not as before")
        return self._tidy(found, what) if found is not None else None

    def _asked(self, net: nn.Module, experiment: Experiment, batch: ProbeImages) -> object:
        with calibrated(net, batch.images) if self.spec.images else contextlib.nullcontext("") as batch_norm:
            given = Given(
                net,
                1,
                experiment,
                batch,
                functools.partial(nets.images, experiment, self.spec.images, "train"),
                nets.CLASSES,
                lambda share: None,
                lambda sentence: None,
                batch_norm=batch_norm,
            )
            return table_of(self.function, given)

    def _tidy(self, found: object, what: str) -> pd.DataFrame | None:
        """One row a measurement, one value a cell, the declared columns, a reason where there is no number."""
        if not isinstance(found, pd.DataFrame):
            self.faults.append(f"it returns {type(found).__name__}, not a pandas.DataFrame")
            return None
        there, declared = [name for name in map(str, found.columns) if name not in ADDED], self.spec.columns
        if sorted(there) != sorted(name for name in declared if name not in ADDED):
            more, less = sorted(set(there) - set(declared)), sorted(set(declared) - {*there, *ADDED})
            words = [f"has {listed(more)} besides" if more else "", f"lacks {listed(less)}" if less else ""]
            said = " and ".join(filter(None, words)) or "has a column twice"
            self.faults.append(f"its table of {what} {said}, against the columns that it declares")
            return None
        if found.empty:
            self.faults.append(f"its table of {what} has no row")
        for name in there:
            wide = next((cell for cell in found[name] if not _is_one_value(cell)), None)
            if wide is not None:
                self.faults.append(f"a cell of its column '{name}' holds {type(wide).__name__}; one value a cell")
        if self.spec.value and not _reasoned(found, self.spec.value):
            self.faults.append(
                f"its column '{self.spec.value}' is NaN for {what}, and no column {listed(REASONS, 'or')} says why"
            )
        return found

    def same(self, table: pd.DataFrame | None, again: pd.DataFrame | None) -> None:
        """Whatever the random numbers of the process are, the same net and images give the same table."""
        if table is None or again is None:
            return
        try:
            pd.testing.assert_frame_equal(table, again, rtol=SAME, atol=TINY)
        except AssertionError as error:
            where = re.search(r'\(column name="([^"]+)"\)', str(error))
            column = f" in the column '{where[1]}'" if where else ""
            self.faults.append(
                f"two tables of one net differ{column}; draw from a generator of your own, by the parameter seed"
            )

    def silent(self, table: pd.DataFrame | None, ill: pd.DataFrame | None) -> None:
        """Of weights that are NaN no number is made up: a finite one is one that does not depend on them."""
        if table is None or ill is None:
            return
        for name in [self.spec.value] if self.spec.value else _floats(ill):
            values, usual = (pd.to_numeric(each[name], errors="coerce").to_numpy(float) for each in (ill, table))
            finite = np.isfinite(values)
            alike = len(values) == len(usual) and np.allclose(values[finite], usual[finite], rtol=SAME, atol=TINY)
            if finite.any() and not alike:
                self.faults.append(f"its column '{name}' holds numbers of {nets.ILL}")


def _floats(table: pd.DataFrame) -> list[str]:
    return [str(name) for name in table.columns if pd.api.types.is_float_dtype(table[name])]


def _is_one_value(cell: object) -> bool:
    return cell is None or isinstance(cell, str | bool | int | float | np.generic)


def _reasoned(table: pd.DataFrame, value: str) -> bool:
    """Whether each row without a value says why."""
    lacking = table[value].isna()
    said = [name for name in REASONS if name in table]
    words = table.loc[lacking, said].fillna("").astype(str)
    return not lacking.any() or bool((words != "").any(axis=1).all())
