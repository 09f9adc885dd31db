"""How are many experiments made of a list? `labapp sweep` trains what an archive lacks, measures it, and goes on later.

    labapp sweep analysis/sweeps/quick/degradation.yaml --dry-run      # what would run, and about how long
    labapp sweep analysis/sweeps/quick/degradation.yaml --jobs 2
    labapp runs list --tag sweep:degradation

What stands in such a file says `labapp.config.sweeps`. An experiment is known by its content: whatever trained it, it
is not trained again. What was interrupted goes on; what failed or diverged is kept and counted, and tried again only
with --retry-failed. The same command goes on with a sweep that was stopped or killed.

Results do not depend on --jobs, because each training computes with as many threads whatever runs beside it.
"""

from labapp.commands.sweep.command import sweep

__all__ = ["sweep"]
