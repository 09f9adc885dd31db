"""What do processes that train share? What they would all have loaded first, torch above all.

Imported by the one process out of which `workers` begins the others, and by nobody else.
"""

import signal

import labapp.probes.measure
import labapp.training.loop  # noqa: F401

signal.signal(signal.SIGTERM, signal.SIG_IGN)  # who ends a whole group means those that work; this one ends with them
