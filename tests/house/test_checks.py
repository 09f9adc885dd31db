"""Can each check of the house fail, and does it let innocent code pass?"""

import ast
from pathlib import Path

import pytest

from tests.house import checks

BAD = {
    "hooks": [
        "layer.register_forward_hook(f)",
        "torch.optim.Optimizer.register_step_post_hook(self, f)",
        "module._forward_hooks[3] = f",
        "del module._forward_pre_hooks[3]",
        "module._backward_hooks.update({1: f})",
        "module._backward_pre_hooks = OrderedDict()",
        "hooks = module._forward_hooks_with_kwargs",
        "tensor._backward_hooks |= {1: f}",
        "getattr(module, '_forward_hooks')[1] = f",
    ],
    "file_access": [
        "open('a')",
        "path.open('wb')",
        "(folder / 'a').read_text()",
        "path.write_text('a')",
        "path.read_bytes()",
        "path.write_bytes(b'a')",
        "folder.mkdir(parents=True)",
        "path.unlink()",
        "path.rename(other)",
        "path.replace(other)",
        "folder.rmdir()",
        "path.touch()",
        "os.replace(one, other)",
        "os.rename(one, other)",
        "os.remove(path)",
        "os.makedirs(path)",
        "shutil.rmtree(path)",
        "tempfile.mkdtemp()",
        "from shutil import rmtree",
        "from tempfile import TemporaryDirectory",
        "from os import remove",
    ],
    "unescaped": [
        "st.title(name)",
        "st.caption(f'of {name}')",
        "top.error(str(error))",
        "st.markdown('**' + name + '**')",
        "st.progress(0.5, text=f'{name} …')",
        "st.warning('a' if fine else name)",
    ],
    "unsafe_loads": [
        "import pickle",
        "import numpy, joblib",
        "from pickle import loads",
        "from cloudpickle import loads as read",
        "def f():\n    import dill",
        "import shelve",
        "from torch import load",
        "torch.load(path)",
        "torch.load(path, weights_only=False)",
        "torch.load(path, weights_only=safe)",
        "torch.load(path, weights_only='True')",
        "torch.load(path, weights_only=1)",
        "np.load(path, allow_pickle=True)",
        "np.load(path, allow_pickle=maybe)",
        "pd.read_pickle(path)",
    ],
}
GOOD = {
    "hooks": ["hooks.after(module, f)", "self._hooks.remove()", "'_forward_hooks of a module'", "hooks.gradient(x, f)"],
    "file_access": [
        "name.replace('_', '-')",
        "frame.rename(columns=names)",
        "moment.replace(tzinfo=None)",
        "os.environ.get('CC')",
        "os.fspath(path)",
        "'open(path)'",
        "_open(split)",
        "path.with_suffix('.log').is_file()",
    ],
    "unescaped": [
        "st.title('Nothing is recorded here yet.')",
        "st.caption(palette.sentence(error))",
        "st.markdown(f'**{palette.markdown(name)}**')",
        "st.caption(f'step {step:,}')",
        "st.title('a' if fine else 'b')",
        "st.markdown(MEANING)",
        "palette.markdown(name)",
    ],
    "unsafe_loads": [
        "torch.load(path, map_location='cpu', weights_only=True)",
        "np.load(path)",
        "np.load(path, allow_pickle=False)",
        "safetensors.torch.load_file(path)",
        "'import pickle'",
    ],
}


@pytest.mark.parametrize(("check", "snippet"), [(check, each) for check in BAD for each in BAD[check]])
def test_a_check_finds_what_is_forbidden(check, snippet):
    assert len(getattr(checks, check)(ast.parse(snippet))) == 1


@pytest.mark.parametrize(("check", "snippet"), [(check, each) for check in GOOD for each in GOOD[check]])
def test_a_check_lets_innocent_code_pass(check, snippet):
    assert getattr(checks, check)(ast.parse(snippet)) == []


def test_two_public_classes_of_one_name_are_found():
    sources = {"a": "class Net: ...\nclass _Own: ...", "b": "class Net: ...\nclass _Own: ...", "c": "Net = 3"}
    assert checks.shared_names({name: ast.parse(source) for name, source in sources.items()}) == {"Net": ["a", "b"]}


def test_a_file_that_is_too_long_is_found(tmp_path: Path):
    (tmp_path / "long.py").write_text("x = 1\n" * 301)
    (tmp_path / "short.py").write_text("x = 1\n" * 300)
    assert list(checks.too_long(sorted(tmp_path.iterdir()))) == [f"{tmp_path / 'long.py'} has 301 lines"]


def test_names_of_installed_packages_and_of_the_standard_library_are_found():
    names = {"torch", "PIL", "queue", "statistics", "pages", "datasets", "imagesets", "nets", "labapp"}
    assert checks.shadowed(names) == {"torch", "PIL", "queue", "statistics", "pages", "datasets"}
