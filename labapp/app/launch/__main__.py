"""How does the starter comparison begin behind the app? `python -m labapp.app.launch ROOT`, before the server."""

import sys

from labapp.app.launch import begin_starter
from labapp.config import LabError

if __name__ == "__main__":
    try:
        job = begin_starter(*sys.argv[1:])
    except LabError as error:
        sys.exit(f"labapp: {error}")
    if job is not None:
        print(f"the starter comparison is being recorded; the page shows how far it is, {job.log} what it prints")  # noqa: T201
