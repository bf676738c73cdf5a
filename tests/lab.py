"""Makes the collection of a lab as it comes: foreign paths, a Big5 table, features of another tool; lists its faults.

Two data sets: `field`, audio with a tag table from a Windows machine, and `specs`, `.pt` features with JSON manifests
from a cluster. Each fault that is planted is returned with the words by which it must be told.
"""

import json
import shutil
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile
import torch

from tymbal.fbank import fbank

RATE = 16000  # Hz
CLASSES = {"蟬": "Cicada", "鳥": "Bird", "蛙": "Frog", "風": "Wind"}
SITES, DAYS, SEGMENTS = 4, 6, 3


@dataclass(frozen=True)
class Fault:
    """Something planted: how serious it is, and what a message about it must hold: its kind and its case."""

    level: str
    kind: str
    case: str


class Lab:
    """A lab's folder, written by the methods below; `faults` lists what was planted."""

    def __init__(self, folder: Path, seed: int = 0) -> None:
        self.folder = folder
        self.rng = np.random.default_rng(seed)
        self.faults: list[Fault] = []
        self.mean = self.std = 0.0  # of the raw features of `specs`

    def plant(self, level: str, kind: str, *cases: str) -> None:
        """Note one fault a case."""
        self.faults += [Fault(level, kind, case) for case in cases]

    def sound(self, seconds: float = 1.0) -> np.ndarray:
        """A tone that comes and goes in noise, no two alike."""
        t = np.arange(int(seconds * RATE)) / RATE
        hertz, beat, gain = self.rng.uniform(300, 6000), self.rng.uniform(1, 9), self.rng.uniform(0.002, 0.02)
        tone = np.sin(2 * np.pi * hertz * t) * (1 + np.sin(2 * np.pi * beat * t))
        return (gain * tone + 0.002 * self.rng.standard_normal(len(t))).astype(np.float32)


def recordings() -> list[str]:
    """Names as recorders give them: site, date, time."""
    return [
        f"SITE{site:02d}_202401{day:02d}_{hour:02d}0000"
        for site in range(1, SITES + 1)
        for day in range(1, DAYS + 1)
        for hour in (5, 19)
    ]


def make_field(lab: Lab) -> None:
    """Audio of several kinds and a wide tag table in Big5, whose paths are of a Windows machine."""
    audio = lab.folder / "field" / "audio"
    rows: dict[str, list[str]] = {}  # name -> tag columns that are on
    names = list(CLASSES)
    for i, recording in enumerate(recordings()):
        for k in range(1, SEGMENTS + 1):
            site = recording.split("_")[0]
            suffix = ("wav", "flac", "WAV")[(i + k) % 3]
            path = audio / site / f"{recording}_{k}.{suffix}"
            path.parent.mkdir(parents=True, exist_ok=True)
            sound = lab.sound()
            stereo = np.stack([sound, 0.5 * sound], axis=1) if i % 5 == 0 else sound
            soundfile.write(path, stereo, RATE, format=suffix.upper())
            # Frogs are rare: they are in one recording alone, so that some part must go without them.
            main, sub = names[(i + k) % 2], names[3] if (i * k) % 3 == 0 else None
            rows[f"{site}\\{path.name}"] = [f"MainTag_{main}"] + ([f"SubTag_{sub}"] if sub else [])
            if i == 7:
                rows[f"{site}\\{path.name}"].append("MainTag_蛙")

    def file(row: str) -> Path:
        return audio / row.replace("\\", "/")

    listed = list(rows)
    lab.plant("warning", "not evaluable", "Frog")
    # What happens to files on the way.
    missing, empty, cut_wav, cut_flac, sliver, text, nan, copy, twin = listed[4:85:9]
    file(missing).unlink()
    lab.plant("error", "missing", missing.split("\\")[1])
    file(empty).write_bytes(b"")
    lab.plant("error", "unreadable", file(empty).name)
    for row, suffix in ((cut_wav, "wav"), (cut_flac, "flac")):
        path = file(row)
        whole = path.with_suffix(f".{suffix}")
        path.unlink()
        soundfile.write(whole, lab.sound(), RATE)
        whole.write_bytes(whole.read_bytes()[: whole.stat().st_size // 2])
        lab.plant("error", "truncated", whole.stem)
    soundfile.write(file(sliver).with_suffix(".wav"), lab.sound()[:1], RATE)
    if file(sliver).suffix != ".wav":
        file(sliver).unlink()
    lab.plant("error", "shorter than one frame", file(sliver).stem)
    file(text).write_text("<html>404 not found</html>")
    lab.plant("error", "unreadable", file(text).name)
    broken = lab.sound()
    broken[100:110] = np.nan
    if file(nan).suffix != ".wav":
        file(nan).unlink()
    soundfile.write(file(nan).with_suffix(".wav"), broken, RATE, subtype="FLOAT")
    lab.plant("error", "not finite", file(nan).stem)
    # A copy under another name, with the same tags; the first by name is kept.
    file(copy).unlink()
    shutil.copy(file(twin), file(copy).with_suffix(file(twin).suffix))
    rows[copy] = rows[twin]
    lab.plant("error", "copies", file(twin).stem)
    # One name in two folders; the table's folder is on another disk.
    double = "extra_20240203_070000.wav"
    for place in ("old", "new"):
        (audio / place).mkdir()
        soundfile.write(audio / place / double, lab.sound(), RATE)
    lab.plant("error", "ambiguous", double)
    # A row without a tag, and a tag that no setting mentions.
    unlabelled = listed[60]
    rows[unlabelled] = []
    lab.plant("warning", "unlabelled", listed[60].split("\\")[1].split(".")[0])
    rows[listed[61]].append("MainTag_蝙蝠")
    lab.plant("warning", "tag columns", "MainTag_蝙蝠")

    paths = {row: f"D:\\rec\\{row}" for row in rows} | {double: f"E:\\backup\\{double}"}
    rows[double] = ["MainTag_鳥"]
    columns = [f"MainTag_{name}" for name in (*names, "蝙蝠")] + [f"SubTag_{name}" for name in names]
    lines = [",".join(["FileName", *columns])]
    lines += [",".join([paths[row], *("1" if column in on else "" for column in columns)]) for row, on in rows.items()]
    (lab.folder / "field" / "標記.csv").write_bytes("\r\n".join(lines).encode("cp950"))


def make_specs(lab: Lab) -> None:
    """Features normalised with the wrong sign of the mean, zero-padded, in JSON manifests with a cluster's paths."""
    folder = lab.folder / "specs" / "pt"
    folder.mkdir(parents=True)
    parts: dict[str, list[dict]] = {"train": [], "val": [], "test": []}
    raw = {
        f"{recording}_{k}": fbank(torch.from_numpy(lab.sound()), RATE, 128)
        for recording in recordings()
        for k in (1, 2)
    }
    frames = torch.cat(list(raw.values()))
    lab.mean, lab.std = round(frames.mean().item(), 4), round(frames.std().item(), 4)
    for i, recording in enumerate(recordings()):
        part = ("train", "train", "train", "val", "test", "test")[i // 2 % 6]
        for k in (1, 2):
            stem = f"{recording}_{k}"
            x = torch.zeros(128, 128)
            x[: len(raw[stem])] = (raw[stem] + lab.mean) / (2 * lab.std)  # should be minus
            name = f"{stem}.pt"
            torch.save({"x": x.half(), "y": torch.zeros(4)}, folder / name)
            labels = {"labels": ["蟬", "風"], "weights": [1.0, 0.6]} if (i + k) % 2 else {"labels": "鳥"}
            parts[part].append({"wav": f"/remote/gpfs/specs/{name}"} | labels)
    torch.save(
        {"audio_conf": {"mean": lab.mean, "std": lab.std, "target_length": 128}, "total_samples": 96},
        folder / "dataset_config.pt",
    )
    lab.plant("error", "wrong sign", "mean")
    parts["train"][3]["labels"] = ["蟬", "Unicorn"]
    parts["train"][3]["weights"] = [1.0, 0.6]
    lab.plant("error", "no class", "Unicorn")
    gone, cut = (parts["train"][i]["wav"].split("/")[-1] for i in (8, 11))
    (folder / gone).unlink()
    lab.plant("error", "missing", gone)
    (folder / cut).write_bytes((folder / cut).read_bytes()[:2000])
    lab.plant("error", "unreadable", cut)
    for part, entries in parts.items():
        text = json.dumps({"data": entries}, ensure_ascii=False)
        (lab.folder / "specs" / f"{part}.json").write_text(text, encoding="utf-8-sig" if part == "val" else "utf-8")


def settings(lab: Lab) -> dict:
    """What someone in a hurry writes."""
    classes = list(CLASSES.values())
    return {
        "datasets": {
            "field": {
                "source": {
                    "format": "tags",
                    "table": "field/標記.csv",
                    "audio": "field/audio",
                    "site_column": None,
                    "class_names": CLASSES,
                },
                "task": "multi-label",
                "classes": classes,
                "split": {"scheme": "holdout", "train": 0.6, "val": 0.2, "test": 0.2, "group": "site-day"},
            },
            "specs": {
                "source": {
                    "format": "json",
                    "manifests": {part: f"specs/{part}.json" for part in ("train", "val", "test")},
                    "audio": "specs/pt",
                    "class_names": {name: label for name, label in CLASSES.items() if name != "蛙"},
                },
                "task": "multi-label",
                "classes": ["Cicada", "Bird", "Wind"],
                "features": {"normalised": {"mean": lab.mean, "std": lab.std}, "padding": 0.0},
                "split": {"scheme": "given"},
            },
        },
        "models": {
            "lab-test": {
                "frontend": "fbank128",
                "net": {"arch": "ssast", "size": "tiny", "patch": [128, 16], "stride": [128, 16], "n_frames": 96},
                "train": {
                    "loss": "bce",
                    "epochs": 1,
                    "batch_size": 16,
                    "optimizer": {"name": "adam", "lr": 0.0003},
                    "schedule": {"name": "step", "start": 1, "every": 1},
                },
            }
        },
        "experiments": [{"dataset": "field", "model": "lab-test"}, {"dataset": "specs", "model": "lab-test"}],
    }


def corrected(raw: dict) -> dict:
    """The same after reading what `validate` says; no file is touched."""
    raw = json.loads(json.dumps(raw))
    raw["path_map"] = {"E:\\backup": "field/audio/old"}
    for dataset in raw["datasets"].values():
        dataset |= {"on_bad_clip": "quarantine", "max_bad_share": 0.2}
    raw["datasets"]["specs"]["source"]["unknown_labels"] = "drop"
    raw["datasets"]["specs"]["features"]["normalised"]["mean"] *= -1
    return raw
