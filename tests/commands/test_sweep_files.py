"""What a sweep's file says, and what is said of one that is wrong: the line, and what would be right."""

from pathlib import Path

import pytest

from labapp.commands.sweep.measuring import require_known
from labapp.config import Experiment, LabError
from labapp.config.sweeps import ProbeWish, parse, read
from labapp.config.sweeps.marks import marked

SWEEPS = Path(__file__).parent.parent.parent / "analysis" / "sweeps"

WHOLE = """
name: all-of-it
about: What can be said
base: {width: 8, steps: 30}
seeds: [0, 1]
probes: [lesions]
blocks:
  - grid:
      family: [plain, residual]
      depth: [20, 56]
  - base: {family: plain, steps: 60, learning_rate: 1e-2}
    runs:
      - {norm: none}
      - {norm: group, width:}
    grid: {init: [he, default]}
    seeds: [7]
    probes:
      similarity: {checkpoints: [0, 60], images: 16, against: seeds}
"""


def test_grids_multiply_lists_are_lists_and_later_values_win():
    sweep = parse(WHOLE)
    assert (sweep.name, sweep.tag, sweep.about, sweep.repeated) == (
        "all-of-it", "sweep:all-of-it", "What can be said", 0,
    )  # fmt: skip
    first, second = [{"width": 8, "steps": 30}, {"family": "plain", "steps": 60, "learning_rate": 0.01}]
    wanted = [
        Experiment(family=family, depth=depth, seed=seed, **first)
        for family in ("plain", "residual")
        for depth in (20, 56)
        for seed in (0, 1)
    ]
    for norm, width in (("none", 8), ("group", 16)):  # an empty value is as if it had been left out
        wanted += [Experiment(norm=norm, width=width, init=init, seed=7, **second) for init in ("he", "default")]
    assert [each.experiment for each in sweep.planned] == wanted
    assert sweep.planned[0].label == "plain-20 width=8 steps=30 seed 0"
    assert sweep.planned[-1].label == "plain-20 width=16 steps=60 learning_rate=0.01 norm=group init=default seed 7"
    assert [wish.quantity for wish in sweep.planned[0].probes] == ["lesions"]
    wish = ProbeWish("similarity", (0, 60), 16, "seeds", "sweep.yaml, line 18")
    assert sweep.planned[-1].probes == (*sweep.planned[0].probes, wish)


def test_an_experiment_that_stands_there_twice_is_one_and_measured_for_both():
    sweep = parse(
        "blocks:\n"
        "  - {base: {depth: 20}, probes: [lesions]}\n"
        "  - {grid: {width: [16, 8]}, probes: [shattering]}\n"  # 16 is what it would have been anyway
    )
    assert [each.experiment.width for each in sweep.planned] == [16, 8]
    assert sweep.repeated == 1
    assert [wish.quantity for wish in sweep.planned[0].probes] == ["lesions", "shattering"]


@pytest.mark.parametrize(
    ("text", "line", "sentence"),
    [
        ("base:\n  widht: 8", 2, "experiments have no option 'widht' (did you mean 'width'?)"),
        ("sedes: [1]", 1, "a sweep has no key 'sedes' (did you mean 'seeds'?)"),
        ("blocks:\n - bas: {}", 2, "a block has no key 'bas' (did you mean 'base'?)"),
        ("probes:\n lesions:\n  image: 3", 3, "the probe lesions has no key 'image' (did you mean 'images'?)"),
        ("base:\n\n  momentum: 1.5", 3, "momentum must be below 1, not '1.5' (allowed: from 0 to below 1)"),
        ("grid:\n  width: [8,\n    0]", 3, "width must be above 0, not '0' (allowed: a whole number, 1 or more)"),
        ("base: {learning_rate: .inf}", 1, "learning_rate is a finite number, not '.inf' (allowed: above 0)"),
        (
            "base: {family: rezidual}",
            1,
            "unknown family 'rezidual'; the lab builds plain, residual, dense and vgg (did",
        ),
        ("seeds: [0,\n -1]", 2, "seed must be at least 0, not '-1' (allowed: a whole number, from 0 to 4,294,967,295)"),
        ("base:\n  seed: 3", 2, "seeds stand in their own list"),
        ("seeds: 3", 1, "seeds is a list, such as [a, b], not '3'"),
        ("grid: {depth: 20}", 1, "depth in a grid is a list, such as [a, b], not '20'"),
        ("base: {width: [8]}", 1, "width is one value, not a list"),
        ("base: 3", 1, "base is a mapping of keys to values, not '3'"),
        ("grid:\n  depth: []", 2, "depth is an empty list, so there is nothing to train"),
        ("runs: []", 1, "runs is an empty list, so there is nothing to train"),
        ("seeds: []", 1, "seeds is an empty list, so there is nothing to train"),
        ("blocks: []", 1, "blocks is an empty list, so there is nothing to train"),
        ("grid: {depth: [20]}\nblocks: [{}]", 1, "where there are blocks, grid stands in one of them"),
        ("grid:\n  family: [plain]\n  depth:\n  - 20\n  - 21", 5, "21 is not; take 20 or 26 (with family plain, depth"),
        ("base: {family: plain}\nruns:\n - {depth: 8}\n - {growth_rate: 3}", 4, "growth_rate belongs to dense nets"),
        ("base: {steps: 9}\ngrid:\n  warmup_steps: [1, 20]", 3, "warmup_steps 20 is longer than the training of 9"),
        ("base: {width: 8,\n  width: 4}", 2, "'width' stands there twice, first on line 1"),
        ("base: {\n", 2, "this is no YAML"),
        ("- 1", 1, "a sweep is a mapping of keys to values, not a list"),
        ("name: &a [*a]", 1, "this is nested more than 20 deep"),
        ("? [a]\n: 1", 1, "a key is a word"),
        ("name: two words", 1, "'two words' cannot name a sweep; at most 33 letters"),
        ("probes:\n  lesions: {checkpoints: some}", 2, "checkpoints are all, few, ends or last, or a list of steps"),
        ("probes:\n  lesions: {checkpoints: [one]}", 2, "a step is a whole number, not 'one'"),
        ("probes:\n  lesions: {images: 0}", 2, "images is a whole number, 1 or more, not '0'"),
        ("probes:\n  similarity: {against: other}", 2, "against is `seeds`"),
        (f"seeds: {list(range(200))}\ngrid: {{steps: {list(range(1, 60))}}}", 1, "more than 10,000 experiments"),
    ],
)
def test_a_mistake_has_its_line(text, line, sentence):
    with pytest.raises(LabError) as caught:
        parse(text)
    assert str(caught.value).startswith(f"sweep.yaml, line {line}: ")
    assert sentence in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("probes", "sentence"),
    [
        ("[lesion]", "line 1: unknown quantity 'lesion'; there are architecture"),
        ("{lesions: {against: seeds}}", "line 1: only similarity compares two runs"),
    ],
)
def test_a_quantity_that_does_not_exist_has_its_line(probes, sentence):
    with pytest.raises(LabError, match=sentence):
        require_known(parse(f"probes: {probes}").planned)


@pytest.mark.parametrize(
    ("contents", "sentence"),
    [
        (None, r"the sweep .*sweep.yaml cannot be read: No such file"),
        (b"", "sweep.yaml is empty; `labapp sweep --help` says"),
        (b"\xff\xfe", "is no text in UTF-8"),
        (b"a\0b: 1", "sweep.yaml: this is no YAML"),
        (b"[" * 5000, "sweep.yaml: this is no YAML"),
        (b"#" * 2**21, "has more than 1,048,576 signs"),
    ],
)
def test_a_file_that_is_none_is_told(tmp_path, contents, sentence):
    if contents is not None:
        (tmp_path / "sweep.yaml").write_bytes(contents)
    with pytest.raises(LabError, match=sentence):
        read(tmp_path / "sweep.yaml")


def test_aliases_of_aliases_take_no_time():
    """Else twenty lines are a million nodes."""
    lines = ["a0: &a0 [1, 1]", *(f"a{n}: &a{n} [*a{n - 1}, *a{n - 1}]" for n in range(1, 15))]
    assert len(marked("\n".join(lines), "x").values) == 15


def test_nothing_in_a_file_is_executed(tmp_path):
    text = f"name: !!python/object/apply:os.mkdir ['{tmp_path / 'made'}']"
    with pytest.raises(LabError, match="name is one value, not a list"):
        parse(text)
    assert not (tmp_path / "made").exists()


@pytest.mark.parametrize("path", sorted(SWEEPS.rglob("*.yaml")), ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_the_labs_own_sweeps_can_be_read_and_have_three_seeds(path):
    sweep = read(path)
    require_known(sweep.planned)
    assert sweep.name == path.stem
    assert sweep.about
    assert sweep.repeated == 0
    seeds = {}
    for each in sweep.planned:
        if each.experiment.steps > 2:  # else its architecture alone is asked
            seeds.setdefault(each.experiment.but(seed=0), set()).add(each.experiment.seed)
    assert min(map(len, seeds.values())) >= 3
    if path.parent.name == "quick":
        assert {each.experiment.imageset for each in sweep.planned} == {"cluttered-digits"}  # nothing is downloaded
