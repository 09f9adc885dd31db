"""Diagnostics of other packages: one that is built and installed, and what is broken in others."""

import subprocess
import sys
import zipfile

import pandas as pd
import pytest

from labapp.commands.cli import main
from labapp.config import LabError
from labapp.frames.method import PARTS, cards
from labapp.probes import explanations, measure, others
from labapp.probes.catalogue import CATALOGUE, chosen, every, shown, spec_of
from labapp.probes.contract import check
from labapp.probes.given import probe_images
from labapp.store import Run
from tests.probes.packages import DENSITY, PROJECT, TEMPLATE, put
from tests.probes.probing import METHOD, typed

TITLE = 'SPEC = ProbeSpec(name="thing", title="Thing", question="What?", '
SPEC = f"from labapp.probes.catalogue import ProbeSpec\n\n{TITLE}"
GOOD = f"{SPEC}columns=('value',))\n\n\ndef thing(net):\n    raise NotImplementedError\n"


@pytest.fixture(scope="session")
def installed(tmp_path_factory):
    """The template of docs/, built into a wheel and put where an installer would put it."""
    folder = tmp_path_factory.mktemp("installed")
    copy = tmp_path_factory.mktemp("source")
    for name in ("labapp_density.py", "pyproject.toml"):
        (copy / name).write_text((TEMPLATE / name).read_text())
    build = "import sys; from setuptools import build_meta; print(build_meta.build_wheel(sys.argv[1]))"
    done = subprocess.run([sys.executable, "-c", build, folder], cwd=copy, capture_output=True, text=True, check=True)
    with zipfile.ZipFile(folder / done.stdout.splitlines()[-1]) as wheel:
        wheel.extractall(folder / "site")
    return folder / "site"


@pytest.fixture
def path(monkeypatch):
    """Puts a folder on the path; what was imported from there is forgotten afterwards."""
    known = set(sys.modules)
    yield monkeypatch.syspath_prepend
    for name in set(sys.modules) - known:
        if name.startswith(("labapp_density", "made_", "deep")):
            del sys.modules[name]


@pytest.fixture
def density(installed, path):
    path(installed)


# one that is built and installed


@pytest.mark.usefixtures("density")
def test_an_installed_diagnostic_is_listed_measured_and_explained(digit_nets, capsys):
    spec = spec_of("density")
    assert (spec.package, spec.module, spec.page) == ("labapp-density 0.1.0", "labapp_density", others.PAGE)
    code, out, err = typed(["probe", "--list"], capsys)
    assert (code, err) == (0, "")
    assert any(line.startswith("│ density ") for line in out.splitlines())
    assert "labapp-density 0.1.0" in out
    assert all(name in out for name in CATALOGUE)
    assert "labapp_density" not in sys.modules  # nothing of it was executed until here

    code, out, err = typed(["probe", "plain", "density", "--root", digit_nets, "--images", 20], capsys)
    assert (code, err) == (0, "")
    run = Run(digit_nets / "plain")
    assert run.probes() == {"density": [0, 12]}
    table = run.probe("density", 12)
    images = probe_images(run.experiment, "test", 20).images
    own = sys.modules["labapp_density"].density(explanations.of_run(run, 12).net, images)
    pd.testing.assert_frame_equal(table.drop(columns="batch_norm"), own)
    assert set(table["batch_norm"]) == {"running"}
    assert table["value"].between(1 / 16, 1).all()

    card = cards()["density"]
    assert (card.title, card.package, card.group) == (spec.title, spec.package, "Of other packages")
    assert all(len(getattr(card, part)) > 8 for part in PARTS)
    assert card.formula.startswith("$a = ")


@pytest.mark.usefixtures("density")
def test_the_template_keeps_the_contract_and_its_own_test_passes(path):
    assert len(DENSITY.splitlines()) < 40
    page = (PROJECT / "docs/diagnostics.md").read_text()
    assert f"```python\n# labapp_density.py\n{DENSITY}```" in page
    assert f"```toml\n{(TEMPLATE / 'pyproject.toml').read_text()}```" in page
    names: dict = {}
    exec((TEMPLATE / "test_density.py").read_text(), names)
    for name, test in names.items():
        if name.startswith("test_"):
            test()


def test_the_reading_room_explains_it_without_torch(installed):
    code = "import sys; sys.path.insert(0, sys.argv[1]); from labapp.frames.method import cards; "
    code += "print(cards()['density'].title, 'torch' in sys.modules, 'labapp_density' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code, installed], capture_output=True, text=True, check=True)
    assert done.stdout == "Density of responses False False\n"


def test_who_asks_for_no_other_package_looks_for_none(digit_nets, monkeypatch, capsys):
    def looked(**_):
        raise AssertionError("packages were looked for")

    monkeypatch.setattr(others, "entry_points", looked)
    monkeypatch.setattr(sys, "path", [*sys.path, "somewhere else"])  # nothing is known from before
    for words in (["--help"], ["runs", "list", "--root", digit_nets], ["probe", "--help"]):
        assert main([*map(str, words)]) == 0
    assert typed(["probe", "plain", "--quantities", "architecture", "--root", digit_nets], capsys)[0] == 0
    assert set(shown()) <= set(CATALOGUE)
    with pytest.raises(AssertionError, match="looked for"):
        every()


# what is broken in others


BROKEN = {
    "no module": ({}, {"thing": "made_nothing:SPEC"}, "there is no module 'made_nothing'"),
    "no name": ({"made_a.py": GOOD}, {"thing": "made_a"}, "write MODULE:NAME of a ProbeSpec"),
    "no spec": ({"made_a.py": "SPEC = 3\n"}, {"thing": "made_a:SPEC"}, "made_a has no line 'SPEC = ProbeSpec(…)'"),
    "no Python": ({"made_a.py": "SPEC = ("}, {"thing": "made_a:SPEC"}, "cannot be read (SyntaxError: '(' was never"),
    "no function": ({"made_a.py": f"{SPEC}columns=('value',))"}, {"thing": "made_a:SPEC"}, "no function 'thing'"),
    "a strange option": ({"made_a.py": f"{SPEC}colour=3)"}, {"thing": "made_a:SPEC"}, "unexpected keyword argument"),
    "too little": ({"made_a.py": "SPEC = ProbeSpec(name='thing')"}, {"thing": "made_a:SPEC"}, "'title' and 'question'"),
    "computed": ({"made_a.py": f"{SPEC}images=2 * N)"}, {"thing": "made_a:SPEC"}, "SPEC is computed (2 * N)"),
    "no columns": ({"made_a.py": f"{SPEC})"}, {"thing": "made_a:SPEC"}, "it declares no columns"),
    "a wrong type": ({"made_a.py": f"{SPEC}images='many')"}, {"thing": "made_a:SPEC"}, "its images is 'many'"),
    "a wrong when": ({"made_a.py": f"{SPEC}when='often', columns=('a',))"}, {"thing": "made_a:SPEC"}, "is 'often'"),
    "a taken column": ({"made_a.py": GOOD.replace("'value'", "'seed'")}, {"thing": "made_a:SPEC"}, "its column 'seed'"),
    "another name": ({"made_a.py": GOOD}, {"stuff": "made_a:SPEC"}, "its spec has the name 'thing'"),
    "a taken name": (
        {"made_a.py": GOOD.replace("thing", "lesions")}, {"lesions": "made_a:SPEC"}, "is the lab's own already"
    ),
}  # fmt: skip


@pytest.mark.parametrize(("files", "offers", "sentence"), BROKEN.values(), ids=BROKEN)
def test_a_broken_package_is_one_sentence_and_the_others_work(files, offers, sentence, path, tmp_path, capsys):
    put(tmp_path, "broken-thing", files, **offers)
    path(put(tmp_path, "labapp-density", {"labapp_density.py": DENSITY}, density="labapp_density:SPEC"))
    found = others.others()
    assert set(found.specs) == {"density"}
    (problem,) = found.problems
    (name,) = offers
    assert problem.startswith(f"broken-thing 1.0 offers '{name}', which cannot be used: ")
    assert sentence in problem
    assert "\n" not in problem
    assert chosen([]) == [*CATALOGUE, "density"]
    code, out, _ = typed(["probe", "--list"], capsys)
    assert code == 0
    assert " ".join(out.split()).endswith(problem)
    if name not in CATALOGUE:
        with pytest.raises(LabError, match=f"unknown quantity '{name}'; there are .*broken-thing 1.0 offers"):
            spec_of(name)


def test_of_two_packages_with_one_name_the_first_counts(path, tmp_path):
    for package, module in (("b-thing", "made_b"), ("a-thing", "made_a")):
        put(tmp_path, package, {f"{module}.py": GOOD}, thing=f"{module}:SPEC")
    path(tmp_path)
    assert others.others().specs["thing"].package == "a-thing 1.0"
    assert "a diagnostic of this name is that of a-thing 1.0 already" in others.others().problems[0]


def test_a_spec_in_a_package_of_packages_is_read_without_importing_any(path, tmp_path):
    files = {
        "deep/__init__.py": "raise SystemExit",
        "deep/er/made.py": GOOD.replace("columns", "module='deep.f', columns"),
    }
    files["deep/f.py"] = 'def thing(net):\n    """Measures.\n\n    Method:\n        Meaning: Meant.\n    """\n'
    path(put(tmp_path, "deep", files, thing="deep.er.made:SPEC"))
    spec = spec_of("thing")
    assert (spec.module, spec.docstring.split()[-1]) == ("deep.f", "Meant.")
    assert cards()["thing"].meaning == "Meant."
    assert cards()["thing"].source == "Its package does not say."


ILL = {
    "an import": (
        "import nothing_of_this_name\n\n",
        "pass",
        "cannot be imported (ModuleNotFoundError: ",
    ),
    "a crash": ("", "return net.no_such_layer", "by broken-thing 1.0 (AttributeError: "),
    "no table": ("", "return 3", "'thing' of broken-thing 1.0 returns int, not a pandas.DataFrame"),
    "a cell": ("", "import pandas; return pandas.DataFrame({'value': [net]})", "by broken-thing 1.0 (Arrow"),
}


@pytest.mark.parametrize(("before", "does", "sentence"), ILL.values(), ids=ILL)
def test_what_fails_when_it_is_measured_costs_its_own_table(before, does, sentence, path, tmp_path, digit_nets, capsys):
    source = before + GOOD.replace("raise NotImplementedError", does)
    path(put(tmp_path / "site", "broken-thing", {"made_a.py": source}, thing="made_a:SPEC"))
    words = ["probe", "plain", "stacks", "thing", "--checkpoints", "last", "--root", digit_nets, "--images", 4]
    code, out, err = typed(words, capsys)
    assert (code, err) == (0, "")
    (line,) = (line for line in out.splitlines() if "thing at step 12" in line)
    assert sentence in line
    assert Run(digit_nets / "plain").probes() == {"stacks": [0]}


def test_what_a_package_changes_is_its_own(path, tmp_path, digit_nets):
    does = (
        "[p.data.zero_() for p in net.parameters()]; net.train(); images.zero_(); import torch; torch.manual_seed(1); "
    )
    does += "import pandas; return pandas.DataFrame({'value': [1.0]})"
    source = GOOD.replace("raise NotImplementedError", f'r"""{METHOD}"""\n    {does}').replace("(net)", "(net, images)")
    path(
        put(
            tmp_path / "site",
            "rude",
            {"made_a.py": source.replace("columns", "images=4, columns")},
            thing="made_a:SPEC",
        )
    )
    run = Run(digit_nets / "plain")
    net = explanations.of_run(run, 12).net
    before = {name: value.clone() for name, value in net.state_dict().items()}
    todo, _ = measure.tasks(run, ["thing", "spatial_order"], "last")
    outcomes = {outcome.task.name: outcome for outcome in measure.measure(run, todo, images=16)}
    assert not any(outcome.reason for outcome in outcomes.values())
    assert all(before[name].equal(value) for name, value in net.state_dict().items())
    assert not any(module.training for module in net.modules())
    with pytest.raises(LabError, match="weights and statistics, modes of modules, images and random"):
        check("thing")
