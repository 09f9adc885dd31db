"""What does a caption say of a quantity?"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Caption:
    """How a column is captioned: its name in a sentence, its unit, whether its axis is logarithmic, what it means."""

    name: str
    unit: str = ""
    log: bool = False
    meaning: str = ""

    @property
    def title(self) -> str:
        """The title of an axis: "training loss (nats)"."""
        return f"{self.name} ({self.unit})" if self.unit else self.name
