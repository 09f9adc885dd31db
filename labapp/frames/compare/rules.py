"""What may a user call too much of a difference?

    update_ratio>3x                     the update ratio of any layer, at any recorded step, above 3 times A's
    median(output_std)<0.5x             of the median layer
    first(output_grad_norm)@0<0.1x      of the first layer, at step 0
    output_grad_norm[stage1.*]@last>2x  of layers by a pattern of their names, at the last recorded step
    weight_norm[norm]>1.5x              of layers by their kind; [*] is every layer
    loss>+0.1   accuracy<-0.02          B more than 0.1 above A, more than two points below
    loss>0.1    dead_share>0.5          B itself, whatever A is

    rule     = [over "("] quantity ["[" layers "]"] [")"] ["@" step] sign number
    over     = any (of the layers, which is what is meant without it) | median | first | last
    step     = a step | last | any
    sign     = > | >= | < | <=
    number   = 3x (B ÷ A) | +0.1 or -0.1 (B − A) | 0.1 (B)

Without a step a quantity of layers is looked at wherever both sides recorded it, and one of the whole net (loss,
accuracy, …) at the end. A rule says what fails.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass

from labapp.config import LabError, listed, nearest
from labapp.frames.compare.quantities import OF_LAYERS, OF_RUNS

OVER = ("any", "median", "first", "last")
STEPS = ("last", "any")
SIGNS = (">=", "<=", ">", "<")
KINDS = ("factor", "difference", "value")  # of a limit: 3x, +0.1, 0.1
_RULE = re.compile(
    r"\s*(?:(?P<over>\w+)\s*\(\s*)?(?P<quantity>\w+)\s*(?:\[(?P<where>.*)\])?\s*(?P<close>\))?\s*"
    r"(?:@\s*(?P<step>\w+))?\s*(?P<sign>>=|<=|>|<)\s*(?P<number>[^\s@<>]+?)(?P<factor>\s*[x×])?\s*",
)
_FORM = "a rule is QUANTITY, then maybe [LAYERS] and @STEP, then > or < and a number, as in 'update_ratio>3x'"


@dataclass(frozen=True)
class Rule:
    """One rule, read.

    Attributes:
        text: As it was written.
        quantity: Of `OF_LAYERS` or `OF_RUNS`.
        sign: Of `SIGNS`.
        number: The limit.
        of: What the limit is of, of `KINDS`.
        over: Of `OVER`.
        where: A kind of layers or a pattern of their names; where the quantity is usually read when empty.
        step: A step, or of `STEPS`.
    """

    text: str
    quantity: str
    sign: str
    number: float
    of: str
    over: str = "any"
    where: str = ""
    step: int | str = "any"

    def breaks(self, value: float) -> bool:
        """Whether a value is beyond the limit."""
        above, equal = value > self.number, value == self.number
        return (above if self.sign[0] == ">" else not above and not equal) or (equal and len(self.sign) > 1)


def parse_rule(text: str) -> Rule:
    """Read a rule.

    Raises:
        LabError: It is none; the sentence says what is allowed.
    """
    found = _RULE.fullmatch(text)
    if not found or bool(found["over"]) != bool(found["close"]):
        raise LabError(f"'{text}' is no rule; {_FORM}")
    over, quantity, where = found["over"] or "any", found["quantity"], (found["where"] or "").strip()
    known = (*OF_LAYERS, *OF_RUNS)
    if quantity not in known:
        raise LabError(f"'{text}' asks for '{quantity}'; recorded are {listed(known)}{nearest(quantity, known)}")
    if over not in OVER:
        raise LabError(
            f"'{text}' asks for the '{over}' layer; a rule looks at {listed(OVER, 'or')}{nearest(over, OVER)}"
        )
    if quantity in OF_RUNS and (found["over"] or found["where"] is not None):
        raise LabError(f"'{text}' asks for layers, but {quantity} is of the whole net; leave them out")
    if found["where"] is not None and not where:
        raise LabError(f"'{text}' names no layers between [ and ]; a kind as [conv], a pattern as [stage1.*], or [*]")
    return Rule(
        text.strip(), quantity, found["sign"], *_limit(text, found["number"], bool(found["factor"])), over, where,
        _step(text, found["step"], quantity),
    )  # fmt: skip


def _limit(text: str, word: str, factor: bool) -> tuple[float, str]:
    try:
        number = float(word)
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        raise LabError(f"'{text}' ends in '{word}', which is no number; 3x, +0.1, -0.1 and 0.1 are")
    if factor and (word[0] in "+-" or number < 0):
        raise LabError(f"'{text}' has a factor with a sign; 3x is three times A's, 0.5x is half of it")
    return number, "factor" if factor else "difference" if word[0] in "+-" else "value"


def _step(text: str, word: str | None, quantity: str) -> int | str:
    if word is None:
        return "any" if quantity in OF_LAYERS else "last"
    if word in STEPS:
        return word
    if not re.fullmatch(r"[0-9]{1,15}", word):
        raise LabError(f"'{text}' asks for step '{word}'; a step is a whole number, last or any")
    return int(word)
