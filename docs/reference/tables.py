"""Fill in the tables of the pages of reference from what they tell of: settings, targets, commands.

A page is prose with places for tables, `<!-- KIND: NAME -->` to `<!-- end -->`; what is between them is written here:

    keys: classes of settings       a row a key; a block without a table of its own is told within it
    kinds: a choice of settings     a row a kind, from the docstring of its class
    presets: a table of presets     a row a preset, with what it sets
    targets, make, commands         what can be asked of Snakemake, of make, of `python -m tymbal`

The text of a key is the string under it in `tymbal/config/`, read from the source: Snakemake, which loads the settings
in every job, has no use for it.
"""

import argparse
import ast
import importlib
import inspect
import re
import sys
import types
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple, Union, get_args, get_origin, get_type_hints

from annotated_types import Ge, Gt, Le, Lt
from pydantic import BaseModel
from pydantic.fields import FieldInfo

REPO = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(REPO / "workflow" / "scripts"))

from tymbal import config  # noqa: E402
from tymbal.__main__ import parser  # noqa: E402
from tymbal.config import base, data, models, predict, presets, pretrain  # noqa: E402

PAGES = (REPO / "config" / "README.md", REPO / "docs" / "reference" / "commands.md")
PLACE = re.compile(r"(<!-- (\w+)(?:: ([^\n]*?))? -->\n).*?(<!-- end -->)", re.S)
MODULES = (config, data, models, predict, presets, pretrain)
LONGEST = 40  # characters of a default; of a longer one the text tells
NAMED = (
    (base.Name, "name"),
    (base.Positive, "whole number from 1"),
    (config.RootName, "name"),
    (data.DataPath, "path"),
    (data.NamePattern, "regular expression"),
    (data.Column, "column"),
    (models.Init, "text or block"),
)

Table = list[Sequence[str]]  # the first row is the head


# --- settings ---------------------------------------------------------------------------------------------


class Key(NamedTuple):
    """A key: its name, what it does, what may be given, and what holds if nothing is."""

    name: str
    text: str
    value: str
    default: str


def named(name: str) -> Any:
    """What a module of the settings calls so."""
    return next(getattr(module, name) for module in MODULES if hasattr(module, name))


def blocks(hint: Any) -> list[type[BaseModel]]:
    """The blocks of settings that a type may hold."""
    if isinstance(hint, type) and issubclass(hint, BaseModel):
        return [hint]
    return [block for inner in get_args(hint) for block in blocks(inner)]


def kind(block: type[BaseModel]) -> tuple[str, str]:
    """The key that tells the blocks of a choice apart, and its value in this one; empty without a choice."""
    only = ((key, get_args(field.annotation)) for key, field in block.model_fields.items() if is_choice(field))
    return next(((key, values[0]) for key, values in only if len(values) == 1), ("", ""))


def is_choice(field: FieldInfo) -> bool:
    """Whether one of some words must be given."""
    return get_origin(field.annotation) is Literal


@cache
def own_texts(block: type[BaseModel]) -> Mapping[str, str]:
    """The string under each key that a class itself defines."""
    tree = ast.parse(inspect.getsource(importlib.import_module(block.__module__)))
    (body,) = (node.body for node in tree.body if isinstance(node, ast.ClassDef) and node.name == block.__name__)
    return {
        key.target.id: " ".join(text.value.value.split())
        for key, text in pairwise(body)
        if isinstance(key, ast.AnnAssign)
        and isinstance(key.target, ast.Name)
        and isinstance(text, ast.Expr)
        and isinstance(text.value, ast.Constant)
        and isinstance(text.value.value, str)
    }


def text_of(block: type[BaseModel], key: str) -> str:
    """What is told of a key, by the class or the nearest that it is made from; nothing if no one tells."""
    above = [each for each in block.__mro__ if issubclass(each, base.Settings)]
    return next((texts[key] for texts in map(own_texts, above) if key in texts), "")


def keys_of(block: type[BaseModel], tabled: set[type[BaseModel]], prefix: str = "") -> Iterator[Key]:
    """The keys of a block, and of the blocks within it that have no table of their own.

    Raises:
        LookupError: a key without a text, or a choice of blocks without a table.
    """
    hints = get_type_hints(block, include_extras=True)
    for key, field in block.model_fields.items():
        if key == kind(block)[0]:
            continue
        within = blocks(hints[key])
        inner = [each for each in within if not any(issubclass(known, each) for known in tabled)]
        if len(within) > 1 and any(kind(each)[0] for each in inner):
            missing = ", ".join(each.__name__ for each in inner)
            raise LookupError(f"{block.__name__}.{key} is a choice of blocks; {missing} needs a table on a page")
        always = bool(inner) and (field.is_required() or isinstance(field.default, BaseModel))
        text = text_of(block, key)
        if text:
            yield Key(prefix + key, text, value(hints[key]), default(field))
        elif not always:
            raise LookupError(f"{block.__name__}.{key} has no text; write it as a string under the key")
        for each in inner:
            between = {tuple: "[].", dict: ".NAME."}.get(get_origin(bare(hints[key])), ".")
            yield from keys_of(each, tabled, f"{prefix}{key}{between}")


def bare(hint: Any) -> Any:
    """A type without what is said about it."""
    return bare(get_args(hint)[0]) if get_origin(hint) is Annotated else hint


def value(hint: Any, limits: Sequence[Any] = ()) -> str:
    """What may be given, in words."""
    for alias, name in NAMED:
        if hint == alias:
            return name
    origin, inner = get_origin(hint), get_args(hint)
    if origin is Annotated:
        said = [limit for each in inner[1:] for limit in (each.metadata if isinstance(each, FieldInfo) else [each])]
        return value(inner[0], [*limits, *said])
    if origin in (Union, types.UnionType):
        return " or ".join(dict.fromkeys(value(each, limits) for each in inner))
    if origin is Literal:
        return ", ".join(f"`{plain(each)}`" for each in inner)
    if origin is tuple:
        return f"[{', '.join('...' if each is ... else value(each) for each in inner)}]"
    if origin is dict:
        return f"{value(inner[0])} → {value(inner[1])}"
    if hint in (int, float):
        return f"{'whole number' if hint is int else 'number'} {range_of(limits)}".rstrip()
    return {bool: "`true`, `false`", str: "text", types.NoneType: "`null`"}.get(hint, "block")


def range_of(limits: Sequence[Any]) -> str:
    """The limits of a number, in words."""
    low = next((f"[{limit.ge:g}" for limit in limits if isinstance(limit, Ge)), "")
    low = low or next((f"({limit.gt:g}" for limit in limits if isinstance(limit, Gt)), "")
    high = next((f"{limit.le:g}]" for limit in limits if isinstance(limit, Le)), "")
    high = high or next((f"{limit.lt:g})" for limit in limits if isinstance(limit, Lt)), "")
    if low and high:
        return f"in {low}, {high}"
    return ("from " if low.startswith("[") else "above ") + low[1:] if low else ""


def default(field: FieldInfo) -> str:
    """What holds if a key is not given; nothing of a block of keys that have defaults."""
    if field.is_required():
        return "required"
    found = field.get_default(call_default_factory=True)
    if isinstance(found, BaseModel):
        return ""
    if found in ((), {}):
        return "none"
    return f"`{plain(found)}`" if len(plain(found)) <= LONGEST else "as told"


def plain(given: Any) -> str:
    """A value as it is written in YAML."""
    if isinstance(given, tuple):
        return f"[{', '.join(map(plain, given))}]"
    if isinstance(given, Mapping):
        return f"{{{', '.join(f'{key}: {plain(each)}' for key, each in given.items())}}}"
    if isinstance(given, float):
        return f"{given:g}" if given == float(f"{given:g}") else str(given)
    return {"None": "null", "True": "true", "False": "false"}.get(str(given), str(given))


def classes_of(names: str) -> list[type[BaseModel]]:
    """The classes that are named, and those of choices that are."""
    return [block for name in names.split() for block in blocks(named(name))]


def keys(names: str, tabled: set[type[BaseModel]]) -> Table:
    """The keys of one class, or of the kinds of a choice: then each row says of which."""
    classes = classes_of(names)
    if len(classes) == 1:
        return [
            ("key", "meaning", "value", "default"),
            *((f"`{key.name}`", *key[1:]) for key in keys_of(classes[0], tabled)),
        ]
    table: dict[Key, list[str]] = {}
    for block in classes:
        for key in keys_of(block, tabled):
            table.setdefault(key, []).append(f"`{kind(block)[1]}`")
    order = list(dict.fromkeys(key.name for key in table))  # what differs between kinds stands together
    return [
        ("key", f"of `{kind(classes[0])[0]}`", "meaning", "value", "default"),
        *(
            (f"`{key.name}`", "all" if len(of) == len(classes) else ", ".join(of), *key[1:])
            for key, of in sorted(table.items(), key=lambda item: order.index(item[0].name))
        ),
    ]


def kinds(names: str) -> Table:
    """The kinds that there are to choose from."""
    choice = classes_of(names)
    return [
        (f"`{kind(choice[0])[0]}`", "what"),
        *((f"`{kind(block)[1]}`", " ".join(str(block.__doc__).split()).rstrip(".")) for block in choice),
    ]


def of_presets(name: str) -> Table:
    """What presets set: a row for those that set the same."""
    table: dict[str, list[str]] = {}
    for preset, settings in named(name).items():
        told = ", ".join(f"`{key}: {plain(given)}`" for key, given in settings.items())
        table.setdefault(told, []).append(f"`{preset}`")
    return [("preset", "sets"), *((", ".join(names), settings) for settings, names in table.items())]


# --- what can be asked for --------------------------------------------------------------------------------


def targets() -> Table:
    """Rules that are asked for by name: without files of their own, or named for the one that they make."""
    main = (REPO / "Snakefile").read_text(encoding="utf-8")
    included = [(REPO / file).read_text(encoding="utf-8") for file in re.findall(r'^include: "(.+)"$', main, re.M)]
    rule = re.compile(r'^rule (\w+):\n    """(.*?)"""(.*?)(?=^\S|\Z)', re.M | re.S)
    found = [match for text in (main, *included) for match in rule.findall(text)]
    return [
        ("target", "what it makes"),
        *(
            (f"`{name}`", " ".join(text.split()).rstrip("."))
            for name, text, body in found
            if "\n    output:" not in body or ("_" not in name and "{" not in body.split("\n    output:")[1])
        ),
    ]


def make() -> Table:
    """Targets of the Makefile, as `make help` tells them."""
    found = re.findall(r"^([a-z-]+):.*?## (.+)$", (REPO / "Makefile").read_text(encoding="utf-8"), re.M)
    return [("command", "what it does"), *((f"`make {name}`", text) for name, text in found)]


def commands(name: str) -> Table:
    """Arguments and options of one command."""
    whole = next(action for action in parser()._actions if isinstance(action, argparse._SubParsersAction))
    actions = [action for action in whole.choices[name]._actions if not isinstance(action, argparse._HelpAction)]
    return [("argument", "meaning"), *((f"`{written(action)}`", action.help or "") for action in actions)]


def written(action: argparse.Action) -> str:
    """An argument as it is typed."""
    taken = " or ".join(action.choices or []) or action.metavar or action.dest.upper()
    return " ".join([*action.option_strings, str(taken)])


# --- pages ------------------------------------------------------------------------------------------------


def filled(page: str) -> str:
    """A page with its tables as they are to be.

    Args:
        page: its text, in Markdown.

    Raises:
        LookupError: settings without a text or a table, of which the message tells.
    """
    places = PLACE.findall(page)
    tabled = {block for _, what, names, _ in places if what == "keys" for block in classes_of(names)}
    makers: dict[str, Callable[[str], Table]] = {
        "keys": lambda names: keys(names, tabled),
        "kinds": kinds,
        "presets": of_presets,
        "targets": lambda _: targets(),
        "make": lambda _: make(),
        "commands": commands,
    }

    def table(place: re.Match[str]) -> str:
        head, *rest = makers[place[2]](place[3])
        lines = [line(cells) for cells in (head, ["---"] * len(head), *rest)]
        return f"{place[1]}\n{''.join(lines)}\n{place[4]}"

    return PLACE.sub(table, page)


def line(cells: Sequence[str]) -> str:
    """A row of a table in Markdown."""
    escaped = [cell.replace("|", r"\|") for cell in cells]
    return f"| {' | '.join(escaped)} |\n".replace("|  |", "| |")


def main() -> None:
    """Write the tables of all pages anew."""
    for page in PAGES:
        page.write_text(filled(page.read_text(encoding="utf-8")), encoding="utf-8")


if __name__ == "__main__":
    main()
