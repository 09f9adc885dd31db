"""What can be installed besides the recorder, and how is it said that something is missing?

A recorder among somebody's own trainings, the archive and the commands that read it need little, which `pip install
labapp` brings. The rest is in extras, `pip install 'labapp[lab]'`; here they stand by the names of their modules. A
test holds that `pyproject.toml` says the same.

    require("`labapp train`", TRAINING)              # LabError: `labapp train` needs torchvision, which is not …
    timm = imported("timm", "timm:resnet18")
    with needed(__name__):                           # at the top of a file, in place of an ImportError
        import altair
"""

import importlib
import importlib.metadata
import importlib.util
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

from labapp.config.errors import LabError, listed

EXTRAS: dict[str, dict[str, str]] = {  # name in Python -> package; development (`dev`) has what tests need besides
    "lab": {
        "PIL": "pillow",
        "altair": "altair",
        "captum": "captum",
        "jinja2": "jinja2",
        "lightning_fabric": "lightning-fabric",
        "matplotlib": "matplotlib",
        "seaborn": "seaborn",
        "sklearn": "scikit-learn",
        "streamlit": "streamlit",
        "torchvision": "torchvision",
        "vl_convert": "vl-convert-python",
    },
    "cluster": {"ray": "ray"},
    "s3": {"fsspec": "fsspec", "s3fs": "s3fs"},
    "timm": {"timm": "timm"},
    "lightning": {"pytorch_lightning": "pytorch-lightning"},
    "transformers": {"accelerate": "accelerate", "transformers": "transformers"},
    "export": {
        "alembic": "alembic",
        "mlflow": "mlflow-skinny",
        "sqlalchemy": "sqlalchemy",
        "tensorboard": "tensorboard",
        "wandb": "wandb",
    },
    "notebooks": {"ipykernel": "ipykernel", "nbclient": "nbclient", "nbformat": "nbformat"},
    "docs": {"furo": "furo", "latex2mathml": "latex2mathml", "myst_parser": "myst-parser", "sphinx": "sphinx"},
    "peers": {
        "delve": "delve",
        "tensorboard": "tensorboard",
        "torchinstruments": "torchinstruments",
        "torchlens": "torchlens",
        "tracetorch": "tracetorch-ml",
        "wandb": "wandb",
    },
}
# what some of it is for, by the names in Python
SCREEN = tuple(EXTRAS["lab"])  # a page may show, ask and draw anything
TRAINING = ("lightning_fabric", "torchvision", "sklearn")  # devices, images
MEASURING = ("torchvision", "sklearn", "PIL", "captum")
DRAWING = ("matplotlib", "seaborn", "jinja2")


class NotInstalledError(ModuleNotFoundError, LabError):
    """A package of an extra is missing: one sentence with the command that installs it, and an ImportError."""


def absent(names: Iterable[str]) -> list[str]:
    """Which of these modules are not installed; nothing is imported to find out."""
    return [name for name in names if not _is_there(name)]


def require(what: str, names: Iterable[str]) -> None:
    """Refuse to begin what would fail later.

    Args:
        what: It begins the sentence: "`labapp train`".
        names: Of the modules that it needs, all of one extra.

    Raises:
        NotInstalledError: One of them is missing.
    """
    if missing := absent(names):
        raise NotInstalledError(_sentence(what, missing), name=missing[0])


def imported(name: str, what: str) -> Any:
    """A module of an extra.

    Args:
        name: The module.
        what: What needs it; begins the sentence.

    Raises:
        NotInstalledError: Its package is missing.
    """
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        raise NotInstalledError(explained(what, error) or str(error), name=error.name) from None


@contextmanager
def needed(module: str) -> Iterator[None]:
    """Around the imports of a file: what an extra would bring is named with the command that installs it.

    Args:
        module: The file's `__name__`.

    Raises:
        NotInstalledError: A package of an extra is missing.
        ModuleNotFoundError: Something else is.
    """
    try:
        yield
    except ModuleNotFoundError as error:
        if said := explained(f"`{module}`", error):
            raise NotInstalledError(said, name=error.name) from None
        raise


def explained(what: str, error: ImportError) -> str:
    """The sentence about a module that was not found, with the command that installs it; "" where no extra has it.

    Args:
        what: What needed it; begins the sentence.
        error: As `import` raised it.
    """
    name = (error.name or "").partition(".")[0]
    return _sentence(what, [name]) if extra_of(name) and not _is_there(name) else ""


def extra_of(name: str) -> str:
    """The first extra that has a module; "" where none has."""
    return next((extra for extra, modules in EXTRAS.items() if name in modules), "")


def command(extra: str) -> str:
    """The words that install an extra."""
    return f"pip install 'labapp[{extra}]'"


def version(package: str) -> str | None:
    """The version of a package; None where it is not installed. Nothing is imported."""
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def _sentence(what: str, names: list[str]) -> str:
    extra = extra_of(names[0])
    packages = listed(EXTRAS[extra][name] for name in names)
    are, them = ("is", "it") if len(names) == 1 else ("are", "them")
    return f"{what} needs {packages}, which {are} not installed; `{command(extra)}` installs {them}"


def _is_there(name: str) -> bool:
    try:
        return importlib.util.find_spec(name) is not None
    except (ImportError, ValueError):  # ValueError: put into sys.modules by hand
        return False
