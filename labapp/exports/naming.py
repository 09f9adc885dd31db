"""What is a curve called in somebody's dashboard?

    train/loss    test/accuracy    gradients/output_grad_norm/003.stage1.block1.conv1

Dashboards put what stands in front of the first "/" into one group and sort by name, so a layer's place in the order of
execution stands in front of its path, with zeros in front. All tools get the same names: letters, digits and "_.-/:".
"""

import re

GROUPS = {  # of a dashboard, and the quantities in it
    "gradients": (
        "output_grad_norm",
        "weight_grad_norm",
        "branch_grad_norm",
        "shortcut_grad_norm",
        "branch_shortcut_grad_cosine",
        "gradient_signal_to_noise",
    ),
    "weights": ("weight_norm", "update_ratio"),
}
GROUP_OF = {quantity: group for group, quantities in GROUPS.items() for quantity in quantities}
OTHERS = "activations"
TITLE_OF = {"steps": "train", "train": "train_eval"}  # batches as they are trained on, and all images of that split
DIGITS = 3  # of a depth; more where a net has a thousand layers
LONGEST = 200  # signs of a layer's path in a name: MLflow takes names of 250
_FOREIGN = re.compile(r"[^A-Za-z0-9_.\-/:]")


def clean(word: str) -> str:
    """A word in the signs that every tool takes; the second call of a layer, `path#2`, becomes `path:2`."""
    plain = _FOREIGN.sub("_", word.replace("#", ":"))
    return plain if len(plain) <= LONGEST else f"{plain[: LONGEST // 2 - 1]}..{plain[1 - LONGEST // 2 :]}"


def digits(depths: list[int]) -> int:
    """How many digits the depths of a net are written with."""
    return max([DIGITS, *(len(str(depth)) for depth in depths)])


class LayerNames:
    """Names of layers as they sort by depth: "003.stage1.block1.conv1". No two layers share one.

    Args:
        width: Digits of a depth.
    """

    def __init__(self, width: int = DIGITS) -> None:
        self.width = width
        self._names: dict[str, str] = {}
        self._taken: set[str] = set()

    def __call__(self, layer: str, depth: int) -> str:
        """The name of a layer."""
        if layer not in self._names:
            name = first = f"{depth:0{self.width}d}.{clean(layer)}"
            count = 2
            while name in self._taken:  # two paths that differ only in signs that no tool takes
                name, count = f"{first}.{count}", count + 1
            self._taken.add(name)
            self._names[layer] = name
        return self._names[layer]


def of_layer(quantity: str, place: str) -> str:
    """The curve of a quantity at a layer."""
    return f"{GROUP_OF.get(quantity, OTHERS)}/{quantity}/{place}"


def of_table(table: str, column: str) -> str:
    """The curve of a column of a table that has one row a step, or of an evaluation of a split."""
    return f"{TITLE_OF.get(table) or clean(table)}/{clean(column)}"
