"""Write a trained model in a form that other programs read: for Hugging Face's transformers, or as ONNX."""

import argparse
from pathlib import Path

FORMS = ("hugging-face", "onnx")


def arguments(parser: argparse.ArgumentParser) -> None:
    """Options of the command."""
    parser.add_argument(
        "model", type=Path, help="folder of the trained model, such as results/DATASET/MODEL/fold1/seed0"
    )
    parser.add_argument("out", type=Path, help="folder to make")
    parser.add_argument("--to", choices=FORMS, required=True, help="the form")
    parser.add_argument("--licence", metavar="NAME", help="of the model, for its card; such as cc-by-4.0")


def run(options: argparse.Namespace) -> None:
    """Export the model.

    Raises:
        InputError: files of the model are missing or damaged, it cannot be exported so, or the folder to make is there.
    """
    from tymbal.runs import CARD, WEIGHTS
    from tymbal.seasons import require

    require([options.model / WEIGHTS, options.model / CARD])
    if options.to == "onnx":
        from tymbal.export.onnx import export_onnx as export
    else:
        from tymbal.export.hugging_face import export_hugging_face as export
    export(options.model, options.out, options.licence)
    print(f"{options.out}: README.md tells how to use it")
