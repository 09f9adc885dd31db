"""Runs whose every name means something to somebody: to Markdown, HTML, LaTeX, icons, quotes, terminals."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path
from typing import Any

import pandas as pd
from streamlit.testing.v1 import AppTest

from labapp.store import Run, RunWriter, list_runs

NAME = "*b*_i_ $x$ <img src=x onerror=a()> [l](http:e) :smile: '\"\\`|\u202e😀"
LAYERS = ("layer", "other_layer", "source_layer", "target_layer", "block", "note", "batch_norm", "claim")
CODE = re.compile(r"(?<!`)`[^`]+`(?!`)")
LEFT = re.compile(r"(?<!\\)\*b\\?\*|(?<![\\\w])_i\\?_|(?<!\\)\$x|(?<!\\)<img|(?<!\\)\[l|:smile:|\u202e")


def nastied(root: Path, to: Path) -> Path:
    """The runs of an archive again, under names nobody would choose; two of an experiment are told apart by ids."""
    for number, run in enumerate(list_runs(root)):
        RunWriter.create(to, run.experiment, run_id=f"older{number}").finish("finished")
    for number, run in enumerate(list_runs(root)):
        writer = RunWriter.create(to, run.experiment, run_id=f"r{number}")
        writer.describe([layer | {"path": named(layer["path"])} for layer in run.layers_info], run.recorder)
        for table in ("steps", "evals", "layers"):
            rows = renamed(run.table(table))
            if len(rows):
                writer.write(table, {name: rows[name].tolist() for name in rows})
        writer.finish("finished", f"ended {NAME}")
        made = Run(writer.path)
        for name, steps in run.probes().items():
            for step in steps:
                made.write_probe(name, step, renamed(run.probe(name, step)))
        shutil.copytree(run.path / "checkpoints", made.path / "checkpoints", dirs_exist_ok=True)
        said = json.loads((made.path / "run.json").read_text())
        images = said["environment"]["images"] = dict(run.environment["images"])
        images["classes"] = [f"{name} {NAME}" for name in images["classes"]]
        said["faults"] = [f"a fault {NAME}"]
        (made.path / "run.json").write_text(json.dumps(said))
        made.path.rename(made.path.with_name(f"{number}{NAME}"))
    return to


def named(name: str) -> str:
    return f"{name} {NAME}" if name else name


def renamed(rows: pd.DataFrame) -> pd.DataFrame:
    """The same table, with other names of layers."""
    there = [name for name in LAYERS if name in rows and not pd.api.types.is_numeric_dtype(rows[name])]
    return rows.assign(
        **{name: [named(value) if isinstance(value, str) else value for value in rows[name]] for name in there}
    )


def markdowns(app: AppTest) -> list[str]:
    """Every piece of Markdown that a page shows: text, labels, help, options of buttons."""
    found: list[str] = []
    for element in app:
        found += _strings(getattr(element, "proto", None))
    return found


MARKDOWN = {"body", "label", "help", "text", "caption", "content", "placeholder", "delta", "alt"}
PLAIN = {"html", "vega_lite_chart", "arrow_data_frame", "arrow_table", "multiselect", "selectbox", "imgs", "image"}


def _strings(proto: Any) -> list[str]:
    if proto is None or not hasattr(proto, "DESCRIPTOR"):
        return []
    found = []
    for field, value in proto.ListFields():
        if field.name in PLAIN or proto.DESCRIPTOR.name in ("Html", "VegaLiteChart", "DataFrame"):
            continue
        if field.type == field.TYPE_STRING and field.name in MARKDOWN:
            found += [value] if isinstance(value, str) else list(value)
        elif field.type == field.TYPE_MESSAGE:
            for each in [value] if hasattr(value, "DESCRIPTOR") else list(value):
                found += _strings(each)
    return found


def left(markdown: str) -> list[str]:
    """What of the name still means something."""
    return LEFT.findall(CODE.sub("", markdown))


def expressions(spec: Any) -> list[str]:
    """All expressions in a chart."""
    if isinstance(spec, dict):
        own = [
            value
            for key, value in spec.items()
            if key in ("labelExpr", "expr", "test", "filter", "calculate") and isinstance(value, str)
        ]
        return own + [found for value in spec.values() for found in expressions(value)]
    return [found for value in spec for found in expressions(value)] if isinstance(spec, list) else []
