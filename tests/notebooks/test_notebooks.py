"""Do the notebooks run, do their numbers say what their words say, and are their outputs of these sources?"""

import math

import pytest

from tests.notebooks.executing import FOLDER, FOUND, digest, executed, read

LARGEST = 400_000  # bytes of a notebook with its outputs: a picture is some 30,000
NAMES = list(FOUND)


@pytest.fixture(scope="module")
def run_small(tmp_path_factory):
    """Runs a notebook in its small size."""

    def run(name):
        folder = str(tmp_path_factory.mktemp(name))
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("LABAPP_NOTEBOOK", "quick")
            for word in ("TMPDIR", "IPYTHONDIR", "JUPYTER_RUNTIME_DIR", "MPLCONFIGDIR"):
                patch.setenv(word, folder)
            return executed(name, folder)[1]

    return run


def require_flow(found, plain, residual, few):
    """What the page about deep plain nets says."""
    growth = found["growth"]
    (factor, low, high), (slow, _, most) = growth[plain], growth[residual]
    assert low < factor < high
    assert 1.1 < factor < 1.3  # theory: 1.21 inside a stage, less where a map is halved
    assert most < low
    assert slow > 1
    ratio = found["ratio"]
    assert ratio["batch norm, He's weights"] > few
    assert ratio["no norm, PyTorch's weights"] < 1 / few
    border, none = ratio["no norm, He's weights"], ratio["no norm, He's weights, no border"]
    assert border < none < 1 / border
    assert not found["left_out"]  # theory has dots for each of the nets


def test_deep_plain_nets_explode_and_shortcuts_keep_the_gradient(run_small):
    require_flow(
        run_small("why_deep_plain_nets_fail"), "plain-32 (mean of 3 seeds)", "residual-32 (mean of 3 seeds)", 50
    )


def test_as_it_is_shown_the_deep_plain_net_learns_less():
    found = read("why_deep_plain_nets_fail").metadata["labapp"]["found"]
    require_flow(found, "plain-56 (mean of 3 seeds)", "residual-56 (mean of 3 seeds)", 1000)
    gap, low, high = found["gap"]
    assert 0 < low < gap < high
    assert found["losses"]["plain-56"] > 2 * found["losses"]["plain-20"]
    assert found["losses"]["residual-56"] < found["losses"]["plain-56"] / 2


def require_record(found):
    """What the page about models of one's own says."""
    for name, value in found["by_hand"].items():
        assert found["recorded"][name] == pytest.approx(value, rel=1e-5)  # float32, another order of sums
    assert {"shared", "shared#2", "frozen", "head"} <= set(found["layers"])
    assert found["findings"]["never called"] == ["forgotten"]
    assert found["findings"]["frozen"] == ["frozen"]
    assert found["findings"]["in place"] == ["relu"]
    assert found["blocks"] == 8
    assert found["status"] == "diverged"
    assert found["began"][1] != "nan"
    assert "nonfinite" in found["told"]


def test_any_model_is_recorded_and_its_numbers_are_those_of_autograd(run_small):
    require_record(run_small("record_your_own_model"))


def test_as_it_is_shown_the_record_is_the_same():
    require_record(read("record_your_own_model").metadata["labapp"]["found"])


def require_reuse(found):
    """What the page about dense nets says."""
    inside = [low <= value <= high for value, low, high in found["before"]]
    assert sum(inside) >= 2  # of three intervals of 95 %
    assert all(math.isfinite(number) for numbers in found["rho"].values() for number in numbers)
    assert all(-1 <= low <= mean <= high for mean, low, high in found["rho"].values())
    assert found["lost"] > 0
    assert len(set(found["cells"])) == 1


def test_an_untrained_dense_net_reuses_as_chance_has_it(run_small):
    require_reuse(run_small("what_densenet_reuses"))


def test_as_it_is_shown_the_nets_have_learnt_and_their_weights_do_not_tell_it():
    found = read("what_densenet_reuses").metadata["labapp"]["found"]
    require_reuse(found)
    assert found["accuracy"] > 0.95
    moved = [after - before for (after, *_), (before, *_) in zip(found["after"], found["before"], strict=True)]
    low, high = found["before"][0][1:]
    assert max(map(abs, moved)) < high - low  # by less than chance alone allows
    mean, low, high = found["rho"]["weights"]
    assert low < 0 < high
    assert abs(mean) < 0.2


@pytest.mark.parametrize("name", NAMES)
def test_outputs_are_of_these_sources_and_small(name):
    book = read(name)
    assert book.metadata["labapp"]["sources"] == digest(book), "python -m tests.notebooks.executing makes them anew"
    assert (FOLDER / f"{name}.ipynb").stat().st_size < LARGEST
    kinds = [output.output_type for cell in book.cells if cell.cell_type == "code" for output in cell.outputs]
    assert kinds.count("error") == 0
    assert kinds.count("display_data") >= 2
    assert not any(output.get("name") == "stderr" for cell in book.cells for output in cell.get("outputs", []))


@pytest.mark.parametrize("name", NAMES)
def test_a_notebook_teaches_and_says_how_to_install(name):
    book = read(name)
    code = [cell.source for cell in book.cells if cell.cell_type == "code"]
    words = "\n".join(cell.source for cell in book.cells if cell.cell_type == "markdown")
    assert "%pip install" in code[0]
    assert "Colab" in code[0]
    for part in ("?", "**what to see.**", "how sure", "## exercises", "interval"):
        assert part in words.casefold()


def test_every_notebook_is_run():
    assert {path.stem for path in FOLDER.glob("*.ipynb")} == set(NAMES)
