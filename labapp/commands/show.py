"""What does an archive say of one run? What was run, where, how it ended, and its layers."""

from rich.table import Table
from tyro.conf import Positional

from labapp import palette
from labapp.commands.options import Root, RunName
from labapp.commands.progress import console
from labapp.config import LabError
from labapp.store import find_run, resume_points, why_not_resumed


def runs_show(run: Positional[RunName] = "", root: Root = "runs") -> int:
    """Show what a run was, where it ran, how it ended, and its layers."""
    if not run:
        raise LabError("which run? `labapp runs list` shows them, `labapp runs show RUN` tells about one")
    shown, screen = find_run(run, root), console()
    done, steps = shown.progress
    screen.print(f"{shown.id}: {shown.status}, step {done} of {steps}, {shown.seconds:.0f} s", style="bold")
    if shown.message:
        screen.print(shown.message)
    if not why_not_resumed(shown):
        kept = next((point.step for point in resume_points(shown.path) if not point.problem), 0)
        screen.print(f"`labapp resume {shown.id}` goes on at step {kept}")
    if "divergence" in shown.tables():
        rows = shown.table("divergence").sort_values("step", kind="stable")
        ill = Table("step", "what", "layer", "kind", "layers", title="first not finite", title_justify="left")
        for row in rows.itertuples():
            ill.add_row(*map(str, (row.step, row.what, row.layer, row.kind, row.places)))
        screen.print(ill)

    facts = Table("what", "value", show_header=False)
    for section in (shown.experiment.model_dump(exclude_none=True), shown.environment, shown.recorder):
        for name, value in section.items():
            facts.add_row(name, str(value))
        facts.add_section()
    facts.add_row("attempts", str(len(shown.attempts)))
    facts.add_row("checkpoints", ", ".join(map(str, shown.checkpoints())) or "none")
    screen.print(facts)

    names = ("depth", "path", "kind", "stage", "shape", "parameters")
    layers = Table(*names, title=f"{len(shown.layers_info)} recorded layers", title_justify="left")
    for layer in shown.layers_info:
        words = layer | {
            "shape": "×".join(map(str, layer.get("shape") or ())),
            "kind": palette.kind(layer.get("kind", "")),
        }
        layers.add_row(*(str(words.get(name, "")) for name in names))
    screen.print(layers)
    for problem in shown.problems:
        screen.print(problem)
    return 0
