"""Which modules can be imported here? Names those that cannot, one a line; only a sentence may be the reason."""

import importlib
import pkgutil
import sys

import labapp
from labapp.config.extras import NotInstalledError

names = [found.name for found in pkgutil.walk_packages(labapp.__path__, "labapp.", onerror=lambda name: None)]
for name in names:
    if name in ("labapp.__main__", "labapp.main"):  # they are run, by the command and by Streamlit
        continue
    try:
        importlib.import_module(name)
    except NotInstalledError as error:
        sys.stdout.write(f"{name}: {error}\n")
sys.stdout.write(f"{len(names)}\n")
