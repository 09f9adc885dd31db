"""How is a mistake told in one sentence, with the nearest right word?"""

import difflib
import reprlib
from collections.abc import Iterable

from pydantic import ValidationError


class LabError(ValueError):
    """A mistake the user can mend; `str(error)` is one sentence."""


def nearest(word: object, allowed: Iterable[str]) -> str:
    """What the user may have meant, as " (did you mean 'residual'?)", or "" when nothing is near."""
    names = {name.casefold(): name for name in allowed}
    found = difflib.get_close_matches(str(word).casefold(), names, n=1)
    return f" (did you mean '{names[found[0]]}'?)" if found else ""


def first_line(error: object) -> str:
    """The first line of an error's message; the name of its class when it has none."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0]


def listed(words: Iterable[object], last: str = "and") -> str:
    """Words as a sentence lists them: "plain, residual, dense and vgg"."""
    *head, tail = map(str, words)
    return f"{', '.join(head)} {last} {tail}" if head else tail


def sentence(error: ValidationError, fields: Iterable[str] = ()) -> str:
    """A validation error of pydantic as one sentence; `fields` are the names among which the nearest is proposed."""
    first = error.errors(include_url=False)[0]
    name = ".".join(map(str, first["loc"])) or "the value"
    kind, given, context = first["type"], reprlib.repr(first["input"]), first.get("ctx", {})
    if kind == "value_error":
        return str(context["error"])
    if kind == "extra_forbidden":
        return f"unknown option {name!r}{nearest(name, fields) or '; `labapp train --help` lists them all'}"
    if kind == "missing":
        return f"{name} is missing"
    if kind == "literal_error":
        return f"{name} is {context['expected']}, not {given}"
    if kind.startswith("int_"):
        return f"{name} is a whole number, not {given}"
    if kind.startswith("bool_"):
        return f"{name} is true or false, not {given}"
    if kind.startswith("string_"):
        return f"{name} is a word, not {given}"
    if kind.startswith("float_") or kind == "finite_number":
        return f"{name} is a finite number, not {given}"
    bound = {"greater_than": "above", "greater_than_equal": "at least", "less_than": "below"}.get(kind, "at most")
    limit = next((context[key] for key in ("gt", "ge", "lt", "le") if key in context), None)
    return f"{name}: {first['msg']}" if limit is None else f"{name} must be {bound} {limit:g}, not {given}"
