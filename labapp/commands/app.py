"""How is the app opened, and to whom?

    labapp app                                  # on this machine alone, with the runs in ./runs
    labapp app --root runs /data/runs --read-only --address 0.0.0.0 --port 8600

The process becomes Streamlit's server. What it may do stands in its environment, see `labapp.config.permissions`.
"""

import os
import sys
from pathlib import Path
from typing import Annotated, NoReturn

from tyro.conf import arg

from labapp.commands.progress import console
from labapp.config import LabError, place

SERVER = "labapp.app.serving"  # Streamlit's, begun with what the first page needs
HERE = ("localhost", "127.0.0.1", "::1")
SETTINGS = {  # whatever the settings of the machine or of this folder say
    "server.enableXsrfProtection": "true",
    "server.enableCORS": "true",
    "server.maxUploadSize": "20",  # MB
    "client.showErrorDetails": "none",
    "browser.gatherUsageStats": "false",
}

RootsOption = Annotated[
    tuple[str, ...],
    arg(
        aliases=["--runs"],
        metavar="DIR",
        help_behavior_hint="(default: what LABAPP_RUNS says, else runs)",
        help="folders under which archives may be opened; the first is shown first",
    ),
]
ReadOnlyOption = Annotated[bool, arg(help="start, stop and remove nothing")]
PortOption = Annotated[int, arg(metavar="N", help="where it listens")]
AddressOption = Annotated[str, arg(metavar="HOST", help="to whom it listens; 0.0.0.0 is everybody")]
TrustOption = Annotated[
    tuple[str, ...],
    arg(help_behavior_hint="", metavar="MODULE", help="modules of your own whose nets may be built for the pages"),
]
DataOption = Annotated[
    tuple[str, ...],
    arg(help_behavior_hint="", metavar="DIR", help="folders of images that runs may name, besides the working folder"),
]
StarterOption = Annotated[bool, arg(help="record the starter comparison where there are no runs")]


def app(
    root: RootsOption = (),
    read_only: ReadOnlyOption = False,
    port: PortOption = 8501,
    address: AddressOption = "localhost",
    trust: TrustOption = (),
    data: DataOption = (),
    starter: StarterOption = False,
) -> int:
    """Open the app in the browser, on this machine alone unless --address says otherwise."""
    command, settings = opened(root, read_only, port, address, trust, data, starter)
    if address not in HERE and not read_only:
        console().print(
            f"whoever reaches {address}:{port} can start trainings on this machine; --read-only forbids it",
            style="bold",
        )
    _become(command, os.environ | settings)


def opened(
    root: tuple[str, ...] = (),
    read_only: bool = False,
    port: int = 8501,
    address: str = "localhost",
    trust: tuple[str, ...] = (),
    data: tuple[str, ...] = (),
    starter: bool = False,
) -> tuple[list[str], dict[str, str]]:
    """The command that opens the app, and what is added to its environment.

    Raises:
        LabError: For a port that is none, or a folder whose name cannot stand in a list of folders.
    """
    if not 0 < port < 65536:
        raise LabError(f"--port is a number from 1 to 65535, so it cannot be {port}")
    archives = [place(folder) for folder in root]
    for folder in (*map(str, archives), *data):
        if os.pathsep in folder or not folder:
            raise LabError(f"'{folder}' cannot be a root, because '{os.pathsep}' parts folders; name another")
    settings = {}
    if root:
        first, *others = (str(folder.expanduser().absolute()) for folder in archives)
        settings = {"LABAPP_RUNS": first, "LABAPP_ROOTS": os.pathsep.join(others)}
    settings |= {"LABAPP_READ_ONLY": "1"} if read_only else {}
    settings |= {"LABAPP_TRUST": ",".join(trust)} if trust else {}
    settings |= {"LABAPP_STARTER": "1"} if starter and not read_only else {}
    if data:
        settings["LABAPP_DATA"] = os.pathsep.join(str(Path(folder).expanduser().absolute()) for folder in data)
    options = {"server.address": address, "server.port": str(port), **SETTINGS}
    flags = [word for name, value in options.items() for word in (f"--{name}", value)]
    return [sys.executable, "-m", SERVER, *flags], settings


def _become(command: list[str], environment: dict[str, str]) -> NoReturn:
    sys.stdout.flush()
    os.execve(command[0], command, environment)
