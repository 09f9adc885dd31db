"""One figure, one claim, one command: `python -m analysis.<figure> --runs DIR --out DIR`, on any folder of runs."""
