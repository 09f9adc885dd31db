"""Which options does `labapp train` have?

The fields of `Experiment`, each defined there and nowhere else. They reach it as words: `Experiment` makes numbers of
them and checks them, so a wrong value is told in the same sentence as from Python.
"""

from typing import Annotated, Any, TypedDict

from tyro.conf import arg

from labapp.config import RECIPES, Experiment

GROUPS = {  # in the help of `train`, and the field that each begins with
    "net": "family",
    "images": "imageset",
    "training": "recipe",
    "recording": "record",
    "machine": "device",
}


def _options() -> Any:
    """The fields of `Experiment`, in groups, none of them required."""
    firsts = {first: title for title, first in GROUPS.items()}
    groups: dict[str, dict[str, Any]] = {}
    title = ""
    for name, field in Experiment.model_fields.items():
        title = firsts.get(name, title)
        kind = str(field.annotation)
        about: dict[str, Any] = {"help": field.description, "help_behavior_hint": default_in_words(name)}
        if "bool" not in kind:
            about["metavar"] = "INT" if "int" in kind else "FLOAT" if "float" in kind else "WORD"
        groups.setdefault(title, {})[name] = Annotated[bool if "bool" in kind else str, arg(**about)]
    # made at run time, which is more than mypy wants to know about
    return TypedDict("Options", {title: TypedDict(title, fields, total=False) for title, fields in groups.items()})  # type: ignore[operator]


def default_in_words(name: str) -> str:
    """What a field is where it is left out: "(default: 300; recipe he: 64000; recipe densenet: 234375)"."""
    if Experiment.model_fields[name].default is None:
        return ""
    usual, *others = {recipe: getattr(Experiment(recipe=recipe), name) for recipe in RECIPES}.items()
    differing = [f"recipe {recipe}: {value}" for recipe, value in others if value != usual[1] and name != "recipe"]
    return f"(default: {'; '.join([str(usual[1]), *differing])})"


Options: Any = Annotated[_options(), arg(name="")]


def experiment(options: Any) -> Experiment:
    """The experiment that the options of the command line describe."""
    return Experiment(**{name: value for group in options.values() for name, value in group.items()})
