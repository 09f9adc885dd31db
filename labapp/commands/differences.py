"""What is there to say about two sides of a comparison, as tables on a terminal or as JSON?"""

from __future__ import annotations

import functools
import json
import math
import sys
from typing import Any

import pandas as pd
from rich import box
from rich.table import Table

from labapp import palette
from labapp.commands.progress import console
from labapp.config import LabError, listed
from labapp.frames import compare, names, near
from labapp.store import Run, find_run, folder_of, list_runs

ONE_SEED = "With one run on a side, chance cannot be told from the difference."


def runs_named(word: str, root: str) -> list[Run]:
    """The runs that a word names: a folder, a net with all its seeds, one run, or several of these with commas.

    Raises:
        LabError: It names none.
    """
    if folder_of(word, root) is not None:
        return [find_run(word, root)]
    there = list_runs(root)
    for called in (names(there, seeds=False), names(there)):
        if found := [run for run, name in zip(there, called, strict=True) if name == word]:
            return found[::-1]
    parts = [part.strip() for part in word.split(",")]
    if len(parts) > 1 and all(parts):
        return [run for part in parts for run in runs_named(part, root)]
    return [find_run(word, root)]


def found(a: compare.Side, b: compare.Side, step: int | None, rules: list[compare.Rule]) -> dict[str, Any]:
    """Everything that is told, in the types of tables."""
    recorded = {run: run.layers(columns=["step"]).drop_duplicates() for run in (*a.runs, *b.runs)}
    taken = compare.compared_steps(*([recorded[run] for run in side.runs] for side in (a, b)))
    steps = [int(step) for step in taken["step"]]
    at = near(steps, step) if step is not None else _middle(steps)
    if step is not None and at is None:
        said = f"they have {listed(steps if len(steps) < 8 else [*steps[:3], '…', *steps[-3:]])}" if steps else "none"
        raise LabError(f"A and B did not both record layers within a tenth of step {step}; of common steps {said}")
    read_of_runs = functools.cache(compare.read_series)
    ends = [compare.ends(a, b, name, read=read_of_runs) for name in compare.OF_RUNS]
    problems = [f"{run.id}: {problem}" for run in dict.fromkeys((*a.runs, *b.runs)) for problem in run.problems]
    read = functools.cache(compare.read_compared)
    verdicts = [compare.judge(rule, a, b, read, read_of_runs)._asdict() for rule in rules]
    if problems and rules:  # what cannot be read may be what would have broken a rule
        verdicts += [{"rule": "runs are whole", "state": "broken", "note": problem} for problem in problems]
    return {
        "a": _about(a),
        "b": _about(b),
        "configuration": compare.configuration(a, b),
        "ends": pd.concat([end for end in ends if len(end)]) if any(map(len, ends)) else ends[0],
        "step": at,
        "layers": _layers(a, b, taken[taken["step"] == at], recorded),
        "rules": verdicts,
        "problems": problems,
    }


def _layers(a: compare.Side, b: compare.Side, taken: pd.DataFrame, steps: dict[Run, pd.DataFrame]) -> pd.DataFrame:
    """Where layers differ most at a row of common steps, whose rows alone are read; empty where there is none."""
    if taken.empty:
        return pd.DataFrame()
    at = taken.iloc[0]
    count = [
        {run: own for run, own in zip(side.runs, at[name], strict=True) if own >= 0}
        for side, name in ((a, "a"), (b, "b"))
    ]
    recorded = functools.cache(
        lambda run, step: compare.read_recorded(run, steps=[int(steps[run]["step"].min()), step])
    )
    one, other = (compare.Side(side.name, tuple(own)) for side, own in zip((a, b), count, strict=True))
    read = compare.read_only(count[0] | count[1], recorded)
    return compare.largest(one, other, 0, read=read).assign(step=int(at["step"]))


def _middle(steps: list[int]) -> int | None:
    return min(steps, key=lambda at: (abs(at - steps[-1] / 2), at)) if steps else None


def _about(side: compare.Side) -> dict[str, Any]:
    runs = [{"id": run.id, "status": run.status, "step": run.progress[0]} for run in side.runs]
    return {"name": side.name, "runs": runs, "left_out": list(side.left_out)}


def print_json(told: dict[str, Any]) -> None:
    """One JSON object; a number that is not finite is null, and its note says why."""

    def plain(value: Any) -> Any:
        if isinstance(value, pd.DataFrame):
            return [plain(row) for row in value.to_dict("records")]
        if isinstance(value, dict):
            return {str(name): plain(each) for name, each in value.items()}
        if isinstance(value, list):
            return [plain(each) for each in value]
        value = value.item() if hasattr(value, "item") else value
        return None if isinstance(value, float) and not math.isfinite(value) else value

    words = json.dumps(plain(told), indent=1, ensure_ascii=True)  # ASCII: no name steers the terminal
    sys.stdout.write(f"{words}\n")  # a console would fold its lines


def print_tables(told: dict[str, Any]) -> None:
    """Tables of settings, ends and layers, then a line for each rule."""
    screen = console()
    for letter in "ab":
        about = told[letter]
        runs = ", ".join(f"{run['id']} ({run['status']}, step {run['step']})" for run in about["runs"])
        screen.print(f"{letter.upper()}: {about['name']} – {runs}")
        for sentence in about["left_out"]:
            screen.print(f"   left out: {sentence}")
    screen.print()
    if len(told["configuration"]):
        settings = _table("setting", "A", "B")
        for row in told["configuration"].itertuples(index=False):
            settings.add_row(*map(str, row))
        screen.print(settings)
    else:
        screen.print("No setting differs.")
    screen.print()
    if len(told["ends"]):
        ends = _table("at the end", "A", "B", "B ÷ A", "95 %", "B − A", "95 % ", "note")
        for row in told["ends"].to_dict("records"):
            cells = (palette.quantity(row["quantity"]).name, row["a"], row["b"], *_numbers(row), row["note"])
            ends.add_row(*map(_cell, cells))
        screen.print(ends)
        screen.print()
    if told["step"] is None:
        screen.print("A and B recorded no layers at a common step.")
    else:
        layers = _table(f"layers, step {told['step']}", "median", "furthest", "95 %", "A", "B", "layer", "note")
        for row in told["layers"].to_dict("records"):
            ratio = f"{palette.number(row['ratio'])}×" if row["ratio"] == row["ratio"] else "–"
            middle = f"{palette.number(row['median'])}×" if row["median"] == row["median"] else "–"
            interval = _interval(row["low"], row["high"])
            cells = (row["quantity"], middle, ratio, interval, row["a"], row["b"], row["layer"], row["note"])
            layers.add_row(*map(_cell, cells))
        screen.print(layers)
    if min(len(told[letter]["runs"]) for letter in "ab") < 2:
        screen.print(ONE_SEED)
    for problem in told["problems"]:
        screen.print(problem)
    if told["rules"]:
        screen.print()
        for rule in told["rules"]:
            screen.print(_said(rule))


def _table(*columns: str) -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0), show_edge=False)
    for column in columns:
        table.add_column(column, overflow="fold")
    return table


def _cell(value: Any) -> str:
    return value if isinstance(value, str) else palette.number(float(value)) if value == value else "–"


def _interval(low: float, high: float) -> str:
    return f"{palette.number(low)} to {palette.number(high)}" if low == low and high == high else "–"


def _numbers(row: dict[Any, Any]) -> tuple[str, str, str, str]:
    ratio = f"{palette.number(row['ratio'])}×" if row["ratio"] == row["ratio"] else "–"
    return ratio, _interval(row["low"], row["high"]), _cell(row["difference"]), _interval(row["least"], row["most"])


def _said(rule: dict[str, Any]) -> str:
    """A verdict in one line: "broken  update_ratio>3x: 3.42 (2.90 to 4.10) at fc, step 300"."""
    words = f"{rule['state']}  {rule['rule']}"
    value = rule.get("value", math.nan)
    if value == value:
        interval = _interval(rule["low"], rule["high"])
        words += f": {palette.number(value)}{f' ({interval})' if interval != '–' else ''}"
        words += f" at {rule['layer']}, step {rule['step']}" if rule["layer"] else f" at step {rule['step']}"
    return words + (f": {rule['note']}" if rule.get("note") else "")
