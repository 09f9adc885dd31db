"""How does the app's server begin? With what its first page needs already there, so that nobody waits for it.

    python -m labapp.app.serving --server.port 8501       # `streamlit run`, with its options; `labapp app` becomes this

What pages import takes longer than drawing one. While the browser opens, the archive is looked at and the first screen
is made for whoever comes without a choice of runs. `streamlit run labapp/main.py` serves the same pages without that.
"""

from __future__ import annotations

import contextlib
import inspect
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path

from streamlit import runtime
from streamlit.web import cli

from labapp.app.archive import first_runs
from labapp.app.preloading import preload
from labapp.app.tables import quickly
from labapp.app.views import overview
from labapp.config import LabError

MAIN = Path(__file__).parents[1] / "main.py"


def serve(options: Sequence[str]) -> None:
    """Become Streamlit's server, until it is stopped."""
    inspect.stack()  # Streamlit looks at it when it draws first, and what Python finds out for that stays known
    preload()
    quickly()
    threading.Thread(target=_ahead, name="labapp-ahead", daemon=True).start()
    cli.main(["run", str(MAIN), *options], prog_name="streamlit")


def _ahead() -> None:
    """Look at the archive and make its first screen, once there is a server to keep it for."""
    while not runtime.exists():
        time.sleep(0.05)
    with contextlib.suppress(LabError, OSError):  # whoever opens the page is told
        overview.prepare(first_runs())


if __name__ == "__main__":
    serve(sys.argv[1:])
