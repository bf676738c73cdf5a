"""Where the results of a prediction are: a folder for each collection of recordings and each model.

Read when the Snakefile is parsed; no heavy imports.
"""

import os
import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from tymbal.config import Config
from tymbal.errors import InputError
from tymbal.files import read_json, sha256
from tymbal.runs import CALIBRATION, CARD, THRESHOLDS, WEIGHTS

LISTS = (".txt", ".csv")  # what names recordings: one path a line, or a table
EXPECTED = "expected a folder, a list (.txt) or a manifest (.csv)"


@dataclass(frozen=True)
class Season:
    """Recordings, the model that is put to work on them, and where the results are.

    Attributes:
        name: of the folder of the recordings' results.
        predictor: of the folder in it of the model's.
        recordings: a folder, a list or a manifest.
        model: folder of the run.
        thresholds: file with the threshold of each class.
    """

    name: str
    predictor: str
    recordings: Path
    model: Path
    thresholds: Path

    @classmethod
    def of(cls, config: Config) -> "Season | None":
        """What a configuration asks to predict; None if nothing.

        Raises:
            InputError: recordings or model are not there, or the folder of results is that of others.
        """
        if config.recordings is None or config.model is None:
            return None
        recordings, model = Path(config.recordings), Path(config.model)
        named = Path(os.path.abspath(recordings))  # noqa: PTH100 - a symbolic link's own name is the one that was given
        season = cls(
            name=config.predict.name or _slug(named.stem if is_list(named) else named.name) or "recordings",
            predictor=predictor_name(model),
            recordings=recordings,
            model=model,
            thresholds=Path(config.predict.thresholds or model / THRESHOLDS),
        )
        season._check()
        return season

    @property
    def folder(self) -> Path:
        """Where all results are, relative to the working directory."""
        return Path("results/predictions", self.name, self.predictor)

    @property
    def root(self) -> Path:
        """The folder that names of recordings are relative to."""
        return self.recordings.parent if is_list(self.recordings) else self.recordings

    @property
    def sources(self) -> list[str]:
        """What tells which recordings there are: the list, or all folders, whose times tell of new files in them."""
        if is_list(self.recordings):
            return [str(self.recordings)]
        found: dict[tuple[int, int], str] = {}  # each once: a link may lead back
        for place, folders, _ in os.walk(self.recordings, followlinks=True):
            status = Path(place).stat()
            known = found.setdefault((status.st_dev, status.st_ino), place) != place
            folders[:] = [] if known else sorted(name for name in folders if not name.startswith("."))
        return [*found.values()] or [str(self.recordings)]

    @property
    def shards(self) -> list[str]:
        """The parts that `list_recordings` has made of the recordings."""
        return sorted(path.stem for path in (self.folder / "shards").glob("*.csv"))

    @property
    def model_files(self) -> list[Path]:
        """The model: its weights and its card."""
        return [self.model / WEIGHTS, self.model / CARD]

    @property
    def decisions(self) -> list[Path]:
        """What makes detections and probabilities of scores."""
        return [self.thresholds, self.model / CALIBRATION]

    def contents(self, paths: Sequence[Path]) -> list[str]:
        """Digests of files. What is in them is a parameter of rules, where they are is not."""
        return [_digest(str(path)) for path in paths]

    def told(self) -> dict[str, str]:
        """Recordings and model as `season.json` tells of them, to know them again."""
        return {"recordings": _place(self.recordings), "model": _place(self.model)}

    def _check(self) -> None:
        # Recordings on a disk that is put away by now are in no way of what was made of them.
        if not self.recordings.exists() and not (self.folder / "recordings.csv").exists():
            raise InputError(f"recordings: {self.recordings} is not there; {EXPECTED}.")
        if self.recordings.is_file() and not is_list(self.recordings):
            raise InputError(
                f"recordings: {self.recordings} is none of these; {EXPECTED}. A few files by name: "
                f"python -m tymbal predict {self.recordings} --model {self.model}"
            )
        require([*self.model_files, *self.decisions])
        record = self.folder / "season.json"
        if not record.exists():
            return
        before, now = read_json(record), self.told()
        for what in now:
            if before.get(what) != now[what]:
                raise InputError(
                    f"{self.folder} holds the results of other {what}: {before.get(what)}, not {now[what]}. Name "
                    f"another folder for these: --config 'predict={{name: NAME}}'. If they are the same and were only "
                    f"moved, delete {record}."
                )


def require(model_files: Sequence[Path]) -> None:
    """Stop if files of a model are missing.

    Raises:
        InputError: which, and what is expected.
    """
    if missing := [str(path) for path in model_files if not path.is_file()]:
        raise InputError(
            f"model: {', '.join(missing)} is not there; expected the folder of a run that is trained and evaluated, "
            "such as results/soundscapes/ssast-tiny/fold1/seed0."
        )


def is_list(recordings: Path) -> bool:
    """Whether recordings are named in a file, a list or a table; else they are in a folder."""
    return recordings.suffix.lower() in LISTS and not recordings.is_dir()


def data_beside(model: Path) -> Path | None:
    """The data set's folder in which a run's is, `<data set>/<model>/fold<k>/seed<s>`; None of any other folder."""
    whole = Path(os.path.abspath(model))  # noqa: PTH100
    run = len(whole.parts) > 4 and re.fullmatch(r"fold\d+/seed\d+", "/".join(whole.parts[-2:]))
    return whole.parents[2] if run else None


def predictor_name(model: Path) -> str:
    """`<data set>-<model>-fold<k>-seed<s>` of a run's folder; of another, its name."""
    parts = Path(os.path.abspath(model)).parts  # noqa: PTH100
    return "-".join(map(_slug, parts[-4:])) if data_beside(model) else _slug(parts[-1]) or "model"


def _slug(name: str) -> str:
    """Letters and digits of any script, in lower case, joined by hyphens: safe in paths and wildcards."""
    return re.sub(r"[\W_]+", "-", unicodedata.normalize("NFC", name).lower()).strip("-")


def _place(path: Path) -> str:
    """Relative to the working directory if it is in it, so that both can be moved together."""
    whole, here = path.resolve(), Path.cwd().resolve()
    return str(whole.relative_to(here) if whole.is_relative_to(here) else whole)


def _digest(path: str) -> str:
    stamp = Path(path).stat()
    return _digest_once(path, stamp.st_mtime_ns, stamp.st_size)


@cache
def _digest_once(path: str, *stamp: int) -> str:
    return sha256(Path(path))
