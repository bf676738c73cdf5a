"""What there is to know of an exported model: its input for programs, and a model card for people."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

import tymbal
from tymbal.evaluate.starts import corpora_of, known_of_test_clips
from tymbal.evaluate.thresholds import Threshold, read_thresholds
from tymbal.files import read_json, write_json, write_text
from tymbal.models.card import ModelCard
from tymbal.report.numbers import DASH, decimals
from tymbal.report.results import OVERALL
from tymbal.runs import THRESHOLDS

BY_CLASS = (("AP", ""), ("F1", "chosen"))  # metrics of a class, with their thresholds
TEST_CLIPS = {
    "clean": "They were not made from any of these test clips.",
    "transductive": "They were made from test clips, too, without their labels; on new recordings expect less.",
    "unknown": "Whether they were made from test clips, too, is not known.",
}


def front_end(card: ModelCard) -> dict[str, Any]:
    """The input that a model expects and the scores that it gives, for whoever computes features elsewhere."""
    frames = card.net["n_frames"]
    return {
        "classes": list(card.classes),
        "input": {
            "shape": ["batch", frames, card.n_mels],
            "type": "float32",
            "content": "log-mel energies (natural logarithm), [clip, frame, mel bin], not normalised",
            "longer_clips": f"cut after {frames} frames",
            "shorter_clips_filled_up_with": card.mean if card.padding == "mean" else 0.0,
        },
        "normalisation": {"mean": card.mean, "std": card.std, "formula": "(x - mean) / (2 std)"},
        "scores": "sigmoid of each logit" if card.loss == "bce" else "softmax of all logits",
        "frontend": {
            **card.frontend,
            "waveform": "mono, full scale 1, mean of the clip removed",
            "steps": [
                "frames without padding at the edges, mean of each frame removed",
                "pre-emphasis 0.97, symmetric Hann window",
                "power spectrum of the frame, zero-padded to a power of two",
                "triangles spaced and weighted on the scale 1127 ln(1 + f / 700), from low_hz to high_hz",
                "natural logarithm, not below log_floor",
            ],
        },
    }


def write_card(model: Path, card: ModelCard, kind: str, licence: str | None, out: Path) -> None:
    """Write `README.md`, the model card, and `thresholds.json`, class -> threshold.

    What is not in the model's folder, as after a change of its classes, is not told.

    Args:
        model: folder of the model.
        card: of the model.
        kind: `hugging-face` or `onnx`, which tells how to use it.
        licence: its short name as Hugging Face has them, such as `cc-by-4.0`; None: not decided.
        out: folder to write in.

    Raises:
        InputError: a file of the model's folder is damaged.
    """
    thresholds = model / THRESHOLDS
    chosen = read_thresholds(thresholds, card.classes) if thresholds.exists() else {}
    if chosen:
        write_json(out / thresholds.name, {name: each.threshold for name, each in chosen.items()})
    record, scored = (
        read_json(path) if path.exists() else None for path in (model / "run.json", model / "metrics.json")
    )
    rows = [row for row in scored["rows"] if (row["unit"], row["slice"]) == ("clip", "")] if scored else []
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent / "templates"),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    text = environment.get_template("README.md.j2").render(
        card=card,
        kind=kind,
        licence=licence,
        front_end=front_end(card),
        origin=card.provenance,
        record=record,
        heard=list(_heard(card.corpus)),
        test_clips=TEST_CLIPS[known_of_test_clips(record["init"], record["run"]["dataset"], record["run"]["fold"])]
        if record
        else "",
        scored=scored,
        headlines=list(_headlines(rows)),
        classes=[_class(name, chosen, rows) for name in card.classes],
        version=tymbal.__version__,
    )
    write_text(out / "README.md", text)


def _heard(corpus: Mapping[str, Any]) -> Iterator[str]:
    """What the starting weights were trained on, the last training first."""
    corpora = list(corpora_of(corpus))
    for each in corpora[1:]:
        datasets = ", ".join(part["dataset"] for part in each["parts"])
        yield f"{datasets} ({'with' if each.get('labelled') else 'without'} labels)"
    if "before" in corpora[-1]:
        yield "what else is not known"


def _headlines(rows: list[dict[str, Any]]) -> Iterator[tuple[str, str]]:
    """Titles and figures over all classes."""
    for metric in OVERALL:
        if found := [row for row in rows if (row["metric"], row["thresholds"], row["class"]) == (*metric.key, "")]:
            yield metric.title, _figure(found[0], metric.digits)


def _class(name: str, chosen: Mapping[str, Threshold], rows: list[dict[str, Any]]) -> list[str]:
    """A row of the table of classes: name, threshold, and figures."""
    threshold = f"{chosen[name].threshold:.4g}" if name in chosen else DASH
    figures = []
    for metric in BY_CLASS:
        found = [row for row in rows if (row["metric"], row["thresholds"], row["class"]) == (*metric, name)]
        figures.append(_figure(found[0]) if found else DASH)
    return [name.replace("|", "\\|"), threshold, *figures]


def _figure(row: dict[str, Any], digits: int = 3) -> str:
    """A value with its interval, such as `0.812 (0.774–0.845)`."""
    value, low, high = (decimals(row[key], digits) for key in ("value", "low", "high"))
    return value if row["low"] is None or row["high"] is None else f"{value} ({low}–{high})"
