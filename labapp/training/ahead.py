"""What do processes that train share? What they would all have loaded: the loop, and what the first optimizer asks for.

Imported by the one process out of which `processes` has the others begin, and by nobody else.
"""

import signal

import torch._dynamo  # noqa: F401

import labapp.training.loop  # noqa: F401

signal.signal(signal.SIGTERM, signal.SIG_IGN)  # who ends a whole group means those that work; this one ends with them
