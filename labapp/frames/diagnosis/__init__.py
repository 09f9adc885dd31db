"""What is wrong with this run, by its records alone?

    told = diagnose(Run("runs/plain-56-…"))
    told.findings[0].title, told.findings[0].threshold.source
    print(as_markdown(told))

A rule is a function of a run's `Material`: it returns its findings, or a sentence about what it lacks. Each compares a
number with one of `LIMITS`, which say where they come from. Findings are ranked by how far they are beyond their limit;
one that follows from another stands behind it.
"""

from __future__ import annotations

from labapp.frames.diagnosis.diagnosing import RULES, Inquiry, diagnose
from labapp.frames.diagnosis.findings import Diagnosis, Examined, Symptom, ranked
from labapp.frames.diagnosis.limits import LIMITS, Limit
from labapp.frames.diagnosis.material import Material
from labapp.frames.diagnosis.telling import as_json, as_markdown, as_text, facts, verdict

__all__ = [
    "LIMITS",
    "RULES",
    "Diagnosis",
    "Examined",
    "Inquiry",
    "Limit",
    "Material",
    "Symptom",
    "as_json",
    "as_markdown",
    "as_text",
    "diagnose",
    "facts",
    "ranked",
    "verdict",
]
