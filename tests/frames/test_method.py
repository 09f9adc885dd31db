"""Has every quantity its card, with every part, from the docstring of what computes it?"""

import ast
import importlib
import inspect
import re
import shlex
from pathlib import Path

import pytest

import labapp
from labapp.commands.cli import COMMANDS
from labapp.commands.options import parse
from labapp.frames.compare import OF_LAYERS, OF_RUNS
from labapp.frames.method import PARTS, blocks, cards, docstring, find
from labapp.probes.catalogue import CATALOGUE
from labapp.store import QUANTITIES, TABLES

PACKAGE = Path(labapp.__file__).parent
OTHER_TABLES = ("lifetimes", "histograms", "spreads", "divergence", "grad_norm_used", "loss_scale", "skipped")
OF_STEPS = [name for name in (*TABLES["steps"].names, *TABLES["evals"].names) if name not in ("step", "split")]
MADE = ("slope", "ratio", "theory", "healthy_updates", "comparison", "recording_cost")
BY_DEPTH = ("effective_rank", "participation_ratio", "intrinsic_dimension", "linear_probe")
MAPS = ("gradcam", "mask_energy", "pointing_game", "deletion", "infidelity", "sensitivity", "sanity", "map_agreement")
MAPS += ("intersection_over_union",)
ALL = {*QUANTITIES, *OF_LAYERS, *OF_RUNS, *OTHER_TABLES, *OF_STEPS, *CATALOGUE, *MADE, *BY_DEPTH, *MAPS}


@pytest.mark.parametrize("name", sorted(ALL))
def test_every_quantity_has_a_card_with_every_part(name):
    card = find(name)
    assert card is not None, f"no docstring tells of {name}; see labapp.frames.method"
    for part in PARTS:
        words = getattr(card, part)
        assert len(words) > 8, f"{name} has no {part}"
        assert words.endswith((".", ")", "?", '"', "$")), f"{part} of {name} is no sentence: {words}"


def told():
    """Every docstring of the lab that tells of one quantity, by its file and name, and what that quantity means."""
    for file in PACKAGE.rglob("*.py"):
        tree = ast.parse(file.read_text())
        for node in (tree, *ast.walk(tree)):
            if isinstance(node, ast.Module | ast.FunctionDef | ast.ClassDef):
                parts = blocks(inspect.cleandoc(ast.get_docstring(node) or "")).get("Method", {})
                if parts:
                    yield f"{file.relative_to(PACKAGE)} {getattr(node, 'name', '')}", parts["Meaning"]


def test_every_docstring_that_tells_of_a_quantity_is_a_card():
    found, meant = dict(told()), {card.meaning for card in cards().values()}
    assert len(found) > 35
    assert [place for place, meaning in found.items() if meaning not in meant] == []


def test_no_two_cards_tell_of_one_quantity():
    names = [name for card in cards().values() for name in card.names]
    assert len(names) == len(set(names))


@pytest.mark.parametrize("name", list(cards()))
def test_a_card_can_be_read_and_its_command_typed(name):
    card = cards()[name]
    for part in PARTS:
        words = getattr(card, part)
        assert words.count("$") % 2 == 0
        for formula in re.findall(r"\$([^$]+)\$", words):
            bare = formula.replace(r"\{", "").replace(r"\}", "")
            assert bare.count("{") == bare.count("}"), formula
            assert formula.count(r"\left") == formula.count(r"\right")
    program, *words = shlex.split(card.command)
    if program == "python":  # of the checkout, which makes runs of its own
        with pytest.raises(SystemExit, match=r"^0$"):
            importlib.import_module(words[1]).main([*words[2:], "--help"])
        return
    assert program == "labapp"
    command = next(known for known in COMMANDS if words[: len(known.split())] == known.split())
    parse(COMMANDS[command].load(), command, words[len(command.split()) :])


def test_a_source_names_its_year():
    without = {name for name, card in cards().items() if not re.search(r"(19|20)\d\d", card.source)}
    assert without == {"update_ratio", "healthy_updates", "seconds"}  # a rule of thumb, and a clock


def test_a_docstring_is_taken_apart_by_its_labels():
    text = """What?

Words that belong to nothing.

Everywhere:
    Sampling: All.

one, other:
    Meaning: A meaning
        over two lines.
    Formula: a: b.

third:
    Sampling: Few.

Columns: none of these.
    Meaning: lost.
"""
    assert blocks(text) == {
        "one, other": {"Sampling": "All.", "Meaning": "A meaning over two lines.", "Formula": "a: b."},
        "third": {"Sampling": "Few."},
    }


def test_docstrings_are_read_without_importing():
    from labapp.diagnostics import lesions
    from labapp.recording import quantities

    assert docstring("recording.quantities").splitlines()[0] == (quantities.__doc__ or "").splitlines()[0]
    assert (
        docstring("diagnostics.lesions", "lesions").splitlines()[0] == (lesions.lesions.__doc__ or "").splitlines()[0]
    )
    assert docstring("diagnostics.lesions", "nothing") == ""
    assert docstring("diagnostics.nothing") == ""


@pytest.mark.parametrize("name", sorted(card.name for card in cards().values() if card.group.startswith("Recorded")))
def test_what_is_recorded_says_whether_it_is_of_all_processes_or_of_one(name):
    assert re.match(r"(Reduced|Local)\b", cards()[name].processes), name
