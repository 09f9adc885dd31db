"""`python -m labapp` is `labapp`."""

import sys

from labapp.commands.cli import main

if __name__ == "__main__":  # processes that a training starts import this file too
    sys.exit(main())
