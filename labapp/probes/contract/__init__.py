"""Does a diagnostic keep what every diagnostic of the lab promises?

    from labapp.probes.contract import check

    def test_density_keeps_the_contract():
        check("density")                  # of the lab, or of a package that is installed

It is asked about small real nets of every family, the first of them twice, and about some that it cannot know: one
that answers with a dictionary, one without layers, one whose weights are NaN. Everything that is amiss comes back at
once, a clause each.
"""

from __future__ import annotations

import inspect
import re

from labapp.config import LabError, listed
from labapp.probes.catalogue import ASKED, ProbeSpec, spec_of, unfit, wrong
from labapp.probes.contract import nets
from labapp.probes.contract.asking import Asking, Diagnostic
from labapp.probes.measure import function_of

__all__ = ["PARTS", "check", "faults"]

PARTS = ("Meaning", "Formula", "Source", "Batch norm", "Sampling", "Fails")  # of a block Method


def check(name: str) -> None:
    """Ask a diagnostic that is registered, and refuse it where it breaks a promise; for a test.

    Raises:
        LabError: With everything that is amiss; or where there is no diagnostic of this name.
    """
    spec = spec_of(name)
    if found := faults(spec, function_of(name), spec.docstring or None):
        raise LabError(f"'{name}' does not keep the contract of diagnostics: {'; '.join(found)}")


def faults(spec: ProbeSpec, function: Diagnostic, docstring: str | None = None) -> list[str]:
    """Everything in which a diagnostic breaks the contract, a clause each; empty where it keeps it.

    Args:
        spec: What it says of itself.
        function: That makes its table.
        docstring: With the block Method; the function's own when left out.
    """
    said = [*wrong(spec), *_parameters(function), *_method(docstring or inspect.getdoc(function) or "")]
    fit = [experiment for experiment in nets.SMALL if not unfit(spec, experiment)]
    if said or not fit:  # it cannot be called, or what it says of itself cannot be believed
        return said or ["it applies to no family of nets"]
    ask, first = Asking(spec, function), fit[0]
    table = ask.table("a net", nets.trained(first), first)
    ask.same(table, ask.table("a net", nets.trained(first), first))
    for experiment in fit[1:]:
        ask.table(f"a net of the family {experiment.family}", nets.trained(experiment), experiment)
    ask.table("a net before its training", nets.untrained(first), first)
    for experiment in nets.SMALL:
        if unfit(spec, experiment):
            what = f"a net of the family {experiment.family}, to which it does not apply,"
            ask.table(what, nets.trained(experiment), experiment, may_refuse=True)
    for what, net in nets.odd(first).items():
        ask.table(what, net, first, may_refuse=True)
    ask.silent(table, ask.table(nets.ILL, nets.ill(first), first, may_refuse=True))
    return list(dict.fromkeys(ask.faults))


def _parameters(function: Diagnostic) -> list[str]:
    """What a function asks for that nobody gives it."""
    found = []
    for each in inspect.signature(function).parameters.values():
        if each.kind in (each.VAR_POSITIONAL, each.VAR_KEYWORD) or each.default is not each.empty:
            continue
        if each.kind is each.POSITIONAL_ONLY:
            found.append(f"it takes '{each.name}' by its place alone; parameters are given by their names")
        elif each.name not in ASKED:
            found.append(f"it asks for '{each.name}'; it may ask for {listed(ASKED, 'or')}")
    return found


def _method(docstring: str) -> list[str]:
    """What is missing in the block Method of a docstring."""
    _, heading, block = docstring.partition("\nMethod:\n")
    if not heading:
        return ["its docstring has no block 'Method:'"]
    missing = [part for part in PARTS if not re.search(rf"^    {part}: \S.{{8}}", block, re.MULTILINE)]
    return [f"its block Method does not say {listed(missing)}"] if missing else []
