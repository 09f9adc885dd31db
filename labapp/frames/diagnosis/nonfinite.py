"""Where did values that are not finite begin?"""

from __future__ import annotations

from labapp.frames.diagnosis.findings import STRONGEST, Symptom
from labapp.frames.diagnosis.limits import LIMITS
from labapp.frames.diagnosis.material import Material

_OF_LAYER = {  # a quantity of the layer in which it began, in a sentence
    "output_std": "its output had a standard deviation of",
    "output_grad_norm": "the gradient at its output had a norm of",
    "weight_grad_norm": "the gradient of its weights had a norm of",
    "weight_norm": "its weights had a norm of",
}


def nonfinite(material: Material) -> list[Symptom] | str:
    """NaN and infinity: in which step and layer the first one was, and what was seen before."""
    ill = material.ill
    if not ill or ill["places"] <= LIMITS["finite"].value:
        return [] if len(material.steps) or len(material.written) else "it holds neither layers nor losses"
    first = int(ill["step"])
    layer = str(ill["layer"] or "")
    words = f"{ill['note'][:1].upper()}{ill['note'][1:]}."
    if ill["before"] is None:
        words += " No step was recorded before it."
    else:
        seen = []
        if ill["update_ratio"] is not None:
            seen.append(f"the largest update was {ill['update_ratio']:.2g} times the weights, of {ill['update_layer']}")
        if ill["quantity"] is not None:
            seen.append(f"{_OF_LAYER[ill['quantity']]} {ill['value']:.2g}")
        words += f" At step {ill['before']}, recorded before, {'; '.join(seen)}." if seen else ""
    if ill["loss"] is not None:
        words += f" The last finite loss, of step {ill['loss_step']}, was {ill['loss']:.3g}."
    precise = str(material.run.experiment.precision).startswith(("16", "bf16"))
    return [
        Symptom(
            rule="nonfinite",
            title="Values are not finite",
            words=words,
            quantity="nonfinite",
            value=float(ill["places"]),
            limit="finite",
            first=first,
            last=max([first, *map(int, material.steps[-1:])]),
            share=1.0,
            strength=STRONGEST,
            layers=(layer,) if layer else (),
            expected="Theory says nothing of it.",
            confirm=(
                "a run with a tenth of the rate, or with --clip-norm 1",
                *(["the same run with --precision 32-true"] if precise else []),
                f"labapp runs show {material.run.id}",
            ),
        )
    ]
