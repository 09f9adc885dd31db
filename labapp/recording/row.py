"""What is one place as it is recorded: what stands in run.json about it, and how its sums are to be read."""

from dataclasses import dataclass

from labapp.recording.graph import Route


@dataclass
class Row:
    """A module's n-th call in a forward pass."""

    path: str
    call: int
    kind: str
    block: str
    axis: int | None  # that of the channels; None where it cannot be told
    shape: tuple[int, ...]
    parameters: int
    depth: int | None = None
    stage: int | None = None
    relative_depth: float = 0.0
    rectified: bool = False  # its values meet a rectifier, or come from one: a value of zero or less is a zero
    route: Route | None = None  # of a block: where its sum is found in the graph
    split: str = ""  # for a block: "branch+shortcut", or "sum" where the two cannot be told apart
    heard: bool = True  # False while the module has not been called: only its weights are known
    branched: bool = False  # of a block: whether a place was found at the end of its branch

    @property
    def layer(self) -> str:
        """The path, with ``#2`` for the second call in a forward pass, and so on."""
        return self.path if self.call == 1 else f"{self.path}#{self.call}"

    def about(self) -> dict[str, object]:
        """What stands in run.json about this place."""
        return {
            "path": self.layer,
            "kind": self.kind,
            "depth": self.depth,
            "relative_depth": self.relative_depth,
            "stage": self.stage,
            "block": self.block,
            "shape": list(self.shape),
            "parameters": self.parameters,
            "rectified": self.rectified,
            "split": self.split,
        }
