"""The pictures of README.md, taken of the app as it is.

    labapp starter && python -m tests.browser.pictures --runs runs --out assets

What is shown are the pages of the starter comparison, in a window of 1500 pixels.
"""

import argparse
import re
from pathlib import Path

from tests.browser.lab import Lab, chromium, opened, served, why_none

SIZE = (1500, 2000)
LOOK, QUIET = 1.0, 4  # seconds between looks at a page whose nets are still being asked, and looks without a question


def shot(lab: Lab, path: Path, height: int) -> None:
    """The upper part of a page, without its sidebar."""
    main = lab.page.locator('[data-testid="stMainBlockContainer"]').bounding_box()
    side = {"x": main["x"], "y": 40, "width": main["width"], "height": height}
    lab.page.mouse.move(0, 0)
    lab.page.wait_for_timeout(500)
    lab.page.screenshot(path=path, clip=side)


def main() -> int:
    """Take them."""
    parser = argparse.ArgumentParser(description="Take the pictures of README.md.")
    parser.add_argument("--runs", type=Path, default=Path("runs"))
    parser.add_argument("--out", type=Path, default=Path("assets"))
    asked = parser.parse_args()
    if reason := why_none():
        print(reason)
        return 2
    with served(asked.runs) as address, chromium() as browser, opened(browser, address, size=SIZE) as lab:
        lab.visit("gradient_flow", step="0")
        shot(lab, asked.out / "gradient-flow.png", 740)
        lab.visit("gradcam")
        busy = re.compile("No net has looked|Asking")
        quiet = 0
        while quiet < QUIET:
            lab.page.wait_for_timeout(1000 * LOOK)
            quiet = 0 if busy.search(lab.text()) else quiet + 1
        shot(lab.settled(), asked.out / "gradcam.png", 1580)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
