"""By which fields can the table of all runs be filtered, without typing a condition?"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import timedelta
from typing import Any

import streamlit as st

from labapp.store import FIELDS, Condition, Entry, Listing, Question, value_of

VALUES = 40  # of a field, up to which they are listed to choose from; above, numbers have a range
RANGES = ("step", "progress", "seconds")  # fields of which no value comes twice
NO_FIELD = ("id", "name", "note")  # found by words


def conditions(listing: Listing, measured: Sequence[str]) -> Question:
    """Ask for the fields to filter by, and for what they are to be.

    Args:
        listing: The runs.
        measured: Names of numbers that were measured.
    """
    found: list[Condition] = []
    with st.popover("Filter", icon=":material/filter_list:"):
        fields = st.multiselect(
            "Fields",
            [name for name in (*FIELDS, *measured) if name not in NO_FIELD],
            format_func=in_words,
            key="fields",
            bind="query-params",
            placeholder="Choose fields to filter by",
            select_all=False,
        )
        for field in fields:
            values = set() if field in measured or field in RANGES else _values(listing.entries, field)
            if 0 < len(values) <= VALUES:
                found += _one_of(field, _in_order(values))
            elif any(isinstance(value, str) for value in values):
                found += _typed(field)
            else:
                found += _between(field, field == "started")
    return Question((), tuple(found))


def in_words(field: str) -> str:
    """A field's name as a label."""
    return field.replace("_", " ").capitalize()


def _values(entries: Sequence[Entry], field: str) -> set[Any]:
    """The values that runs have in a field; not all of them where there are more than VALUES."""
    found: set[Any] = set()
    for entry in entries:
        value = value_of(entry, field, "")
        found.update(value if isinstance(value, tuple) else [value])
        if len(found) > VALUES:
            break
    return found


def _in_order(values: Iterable[Any]) -> list[str]:
    return list(map(str, sorted(values, key=lambda value: (value is None, isinstance(value, str), value or 0))))


def _one_of(field: str, values: Sequence[str]) -> list[Condition]:
    some = st.multiselect(in_words(field), values, key=f"is-{field}", bind="query-params", placeholder="Any")
    return [Condition(field, "=", tuple(some))] if some else []


def _typed(field: str) -> list[Condition]:
    """Words of which there are too many to list."""
    words = st.text_input(
        in_words(field), key=f"is-{field}", bind="query-params", help="One of these; several with commas between them"
    )
    return [Condition(field, "=", tuple(str(words).split(",")))] if words else []


def _between(field: str, day: bool) -> list[Condition]:
    """From and to, with what is typed there as conditions."""
    with st.container(horizontal=True):
        ends: list[Any] = []
        for word in ("from", "to"):
            label, key = f"{in_words(field)}, {word}", f"{word}-{field}"
            if day:
                ends.append(st.date_input(label, None, key=key, bind="query-params"))
            else:
                ends.append(st.number_input(label, value=None, key=key, bind="query-params", step=None, format="%g"))
    first, last = ends
    found = [] if first is None else [Condition(field, ">=", (str(first),))]
    if last is not None and day:  # to its end
        found.append(Condition(field, "<", (str(last + timedelta(days=1)),)))
    elif last is not None:
        found.append(Condition(field, "<=", (str(last),)))
    return found
