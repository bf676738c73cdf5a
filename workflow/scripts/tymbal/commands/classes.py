"""Rename, merge or add classes of a trained model, keeping what it learnt of the others."""

import argparse
import json
from pathlib import Path

from tymbal.errors import InputError

CLASSES = """{out} has {n} classes. In a data set, in this order:
  classes: {classes}"""
TRAINING = """To train it on, in a model's settings:
  init: {out}/model.safetensors
  keep_head: true"""


def arguments(parser: argparse.ArgumentParser) -> None:
    """Options of the command."""
    parser.add_argument("model", type=Path, help="folder of the trained model: model.safetensors and model.json")
    parser.add_argument("out", type=Path, help="folder to make")
    parser.add_argument("--rename", action="append", default=[], metavar="OLD=NEW", help="may be given several times")
    parser.add_argument("--merge", action="append", default=[], metavar="A+B=NEW", help="may be given several times")
    parser.add_argument("--add", action="append", default=[], metavar="NEW", help="may be given several times")


def run(options: argparse.Namespace) -> None:
    """Write the changed model and tell how to go on.

    Raises:
        InputError: files of the model are missing or damaged, the changes do not suit its classes, or the folder to
            make is there.
    """
    from tymbal.ingest.records import clean
    from tymbal.models.sources import LOADERS
    from tymbal.reclass import Changes, change_classes
    from tymbal.runs import CARD, WEIGHTS
    from tymbal.seasons import require

    merge = [_split(text, "--merge A+B=NEW") for text in options.merge]
    changes = Changes(
        rename=[_split(text, "--rename OLD=NEW") for text in options.rename],
        merge=[(tuple(map(clean, parts.split("+"))), name) for parts, name in merge],
        add=[clean(name) for name in options.add],
    )
    require([options.model / WEIGHTS, options.model / CARD])
    card = change_classes(options.model, options.out, changes)
    names = json.dumps(card.classes, ensure_ascii=False)
    print(CLASSES.format(out=options.out, n=len(card.classes), classes=names))
    if card.net["arch"] in LOADERS:
        print(TRAINING.format(out=options.out))


def _split(text: str, form: str) -> tuple[str, str]:
    """What stands left and right of the sign, in the form in which names of classes are compared."""
    from tymbal.ingest.records import clean

    old, equals, new = map(clean, text.partition("="))
    if not equals:
        raise InputError(f"{text!r}: expected {form}")
    return old, new
