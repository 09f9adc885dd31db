"""How do the tables in `analysis/data/` come about, from which all figures can be drawn without runs?

python -m analysis.freeze --runs runs
python -m analysis.freeze --runs runs --only degradation lesions
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

from analysis.figures import DATA, all_plates
from analysis.publish import measured, options_of, pick, spoken
from labapp.config import LabError


def main(argv: Sequence[str] | None = None) -> int:
    """Write the table of each figure; 0, 1 where runs of some are missing, or 2 after a sentence of what is wrong."""
    parser = options_of(__doc__, out=DATA)
    parser.add_argument("--only", nargs="+", default=[], metavar="NAME", help="figures by name; all when left out")
    options = parser.parse_args(argv)
    missing = 0
    with spoken(options.out) as failed:
        plates, runs = all_plates(options.only), pick(options.runs)
        options.out.mkdir(parents=True, exist_ok=True)
        for plate in plates:
            try:
                (text,) = measured([plate], runs).values()
            except LabError as error:
                print(f"left out: {plate.name}: {error}", file=sys.stderr)  # noqa: T201
                missing += 1
                continue
            path = options.out / f"{plate.name}.csv"
            path.write_text(text, encoding="utf-8")
            print(f"{path} ({len(text.encode()) / 1e3:,.0f} kB)", flush=True)  # noqa: T201
    return 2 if failed else min(missing, 1)


if __name__ == "__main__":
    sys.exit(main())
