"""Settings of data sets: where clips and labels come from, how long recordings are cut, how parts are made."""

import re
from pathlib import PurePosixPath, PureWindowsPath
from typing import Annotated, ClassVar, Literal, Self

from pydantic import AfterValidator, Field, model_validator

from tymbal.config.base import Name, Positive, Seconds, Settings, Share

# What a name pattern or a table may tell of a clip beside its labels, and what the manifest keeps for itself.
NAMED = ("recording", "site", "date", "time", "segment")
MANIFEST = (
    "clip_id",
    "root",
    "path",
    "start_s",
    "duration_s",
    "recorded_at",
    "fold",
    "sample_rate",
    "channels",
    "sha256",
)
SLICES = ("polyphony", "hour", "season", "signal_level", "known_site")  # of evaluation, worked out from other columns
RESERVED = ("file", "problem", "n_samples", *MANIFEST, *SLICES)
GROUPS = ("recording", "site-day", "site-week", "site")
SIDE_FILE = "dataset_config.pt"  # beside `.pt` features; describes them, and is none itself
SUBSETS = (1, 5, 10, 25, 50, 100)  # percent of the training part, nested, by group


def _data_path(path: str) -> str:
    name, colon, inner = path.rpartition(":")
    if PureWindowsPath(path).drive or PurePosixPath(inner).is_absolute() or PureWindowsPath(inner).is_absolute():
        raise ValueError(
            "expected a path relative to data_root, or ROOT:path with ROOT from `roots`, so that the manifest holds "
            "on other machines"
        )
    if colon and not re.fullmatch(r"[a-z0-9][a-z0-9-]+", name):
        raise ValueError(f"{name!r} before the colon is not the name of a root (two or more of a-z, 0-9, hyphen)")
    return path


def _names_recordings(pattern: str) -> str:
    try:
        groups = re.compile(pattern).groupindex
    except re.error as error:
        raise ValueError(f"not a regular expression: {error}") from None
    if "recording" not in groups:
        raise ValueError("expected a group (?P<recording>...) in it: clips of one recording stay together")
    if kept := sorted(set(groups) & set(RESERVED)):
        raise ValueError(f"groups {kept} have names that Tymbal uses itself; name them otherwise")
    return pattern


def _free_column(name: str) -> str:
    if name in NAMED or name in RESERVED or name.startswith("label:"):
        raise ValueError("is a name that Tymbal uses itself; rename the column in the table")
    return name


def _whole_milliseconds(seconds: float) -> float:
    ms = 1000 * seconds
    if not (ms >= 0.5 and abs(ms - round(ms, 0)) < 1e-6):
        raise ValueError("expected a whole number of milliseconds")
    return seconds


DataPath = Annotated[str, AfterValidator(_data_path)]
NamePattern = Annotated[str, AfterValidator(_names_recordings)]
Column = Annotated[str, AfterValidator(_free_column)]
Weight = Annotated[float, Field(gt=0, le=1)]
WindowSeconds = Annotated[Seconds, AfterValidator(_whole_milliseconds)]  # clips are cut without rounding


# --- where clips and labels come from ---------------------------------------------------------------------


class SynthSource(Settings):
    """Embedded soundscapes, synthesised into `resources/<dataset>/` as a tag table with audio."""

    format: Literal["synth"]
    sites: Positive = 6
    recordings: Positive = 120
    clips_per_recording: Positive = 5
    clip_s: Annotated[float, Field(ge=0.5)] = 6.0
    sample_rate: Positive = 32000  # Hz; unlike the front end's, so that resampling is exercised
    seed: int = 0

    @property
    def n_clips(self) -> int:
        """All clips."""
        return self.recordings * self.clips_per_recording


class MixedPart(Settings):
    """Soundscapes mixed from the clips of one part."""

    clips: Positive  # soundscapes
    pool: Positive = 5  # recordings of which soundscapes share sources, and which they share with no others


class MixtureSource(Settings):
    """Soundscapes mixed from another data set's clips of one class each, part by part, into `resources/<dataset>/`."""

    format: Literal["mixtures"]
    dataset: Name
    fold: Positive = 1
    parts: Annotated[dict[Literal["train", "val", "test"], MixedPart], Field(min_length=1)]
    # Relative shares of soundscapes with 1, 2, ... sources, each of another class.
    shares: Annotated[tuple[Annotated[float, Field(ge=0)], ...], Field(min_length=1)] = (1, 1, 1, 1, 1)
    level_range_db: Annotated[float, Field(ge=0)] = 10.0  # sources are up to so much below the loudest
    main_within_db: Annotated[float, Field(ge=0)] = 3.0  # of the loudest: a main tag; further below: a background tag
    clip_s: Annotated[float, Field(ge=0.5)] = 5.0
    sample_rate: Positive = 16000  # Hz
    seed: int = 0

    fold_column: ClassVar[str] = "part"
    columns: ClassVar[tuple[str, ...]] = ("n_sources", "levels_db", "source_clips")

    @model_validator(mode="after")
    def _most_sources(self) -> Self:
        if not self.shares[-1]:
            raise ValueError("shares: the last is 0; leave it out, or give soundscapes with so many sources a share")
        return self

    @property
    def n_clips(self) -> int:
        """All clips."""
        return sum(part.clips for part in self.parts.values())


MadeSource = SynthSource | MixtureSource  # what the workflow itself makes


class LabSource(Settings):
    """What all formats of a lab's own data share."""

    audio: DataPath  # a folder: audio files, or .pt features if the data set has `features`
    class_names: dict[str, str] = Field(
        default_factory=dict
    )  # name in the source -> class; two names may share a class


class TableSource(LabSource):
    """A table with one row a clip (or, for `long`, one row a label)."""

    table: DataPath
    site_column: str | None = None
    fold_column: str | None = None  # holds 1, 2, ... or train, val, test
    columns: tuple[Column, ...] = ()  # kept in the manifest, for grouping and slices


class TagSource(TableSource):
    """Wide tag table: one row a clip, `MainTag_<name>` and `SubTag_<name>` columns."""

    format: Literal["tags"]
    file_column: str = "FileName"
    site_column: str | None = "Site"
    main_prefix: str = "MainTag_"
    sub_prefix: str = "SubTag_"
    main_weight: Weight = 1.0
    sub_weight: Weight = 0.6

    @model_validator(mode="after")
    def _prefixes_differ(self) -> Self:
        if self.main_prefix.strip() == self.sub_prefix.strip():
            raise ValueError(f"main_prefix and sub_prefix are both {self.main_prefix!r}; they must differ")
        return self


class LongSource(TableSource):
    """Long table: one row a label, with its weight and the stretch of the file it holds for if they are known."""

    format: Literal["long"]
    file_column: str = "file"
    label_column: str = "label"
    weight_column: str | None = None  # in (0, 1]; 1 without
    start_column: str | None = None  # seconds from the start of the file
    end_column: str | None = None
    unknown_labels: Literal["error", "drop"] = "error"

    @model_validator(mode="after")
    def _stretches(self) -> Self:
        if (self.start_column is None) != (self.end_column is None):
            raise ValueError("start_column and end_column are given together or not at all")
        return self


class MultihotSource(TableSource):
    """Multi-hot table: one row a clip, one column a class with its weight in [0, 1]."""

    format: Literal["multihot"]
    file_column: str = "file"


class EscSource(LabSource):
    """ESC's table: filename, fold, category, and the source recording of each clip."""

    format: Literal["esc"]
    table: DataPath
    recording_column: str = "src_file"


class FolderSource(LabSource):
    """One folder a class; the folder's name is the class, commas separate several."""

    format: Literal["folders"]
    unknown_labels: Literal["error", "drop"] = "error"


class JsonSource(LabSource):
    """AudioSet-style JSON manifests: one, or one for each of train, val and test."""

    format: Literal["json"]
    manifests: DataPath | dict[Literal["train", "val", "test"], DataPath]
    unknown_labels: Literal["error", "drop"] = "error"


class ListSource(LabSource):
    """Files without labels: those in a text file, one path a line, or all files of the folder."""

    format: Literal["list"]
    table: DataPath | None = None


class RavenSource(LabSource):
    """Raven selection tables: one for each recording, or with a `Begin File` column."""

    format: Literal["raven"]
    annotations: DataPath  # a folder, searched with its sub-folders
    label_column: str = "Class"
    unknown_labels: Literal["error", "drop"] = "error"


class AudacitySource(LabSource):
    """Audacity label tracks: one text file for each recording, of the same stem."""

    format: Literal["audacity"]
    annotations: DataPath
    unknown_labels: Literal["error", "drop"] = "error"


Source = Annotated[
    SynthSource
    | MixtureSource
    | TagSource
    | LongSource
    | MultihotSource
    | EscSource
    | FolderSource
    | JsonSource
    | ListSource
    | RavenSource
    | AudacitySource,
    Field(discriminator="format"),
]


class Windows(Settings):
    """Files are cut into clips of one length. What a label says about a clip is declared, never guessed."""

    length_s: Annotated[WindowSeconds, Field(ge=0.025)]  # a frame at least
    hop_s: WindowSeconds | None = None  # from start to start; the length if not given
    # `events`: a clip has the labels whose stretch of the file it overlaps. `recording`: every clip has all labels
    # of its file, also of sounds that are not in it.
    labels: Literal["events", "recording"]
    min_overlap_s: WindowSeconds = 0.5  # of a label's stretch and the clip; shorter stretches must lie in it whole
    last: Literal["drop", "keep"] = "drop"  # what is left over at the end, shorter than the length


class Normalised(Settings):
    """The normalisation that was applied to imported features."""

    mean: float
    std: Annotated[float, Field(gt=0)]
    factor: Annotated[float, Field(gt=0)] = 2.0


class Features(Settings):
    """What is known of `.pt` features. Checked against the numbers; undone, so that raw log-mel is stored."""

    sample_rate: Positive = 16000  # Hz, of the audio they were computed from
    n_mels: Positive = 128
    # (x - mean) / (factor * std) was applied, with these very numbers; null if they are raw log-mel.
    normalised: Normalised | None = None
    padding: float | None = None  # value of the rows that fill up the end; null if there is no padding


# --- how parts are made -----------------------------------------------------------------------------------


class Grouped(Settings):
    """What all splits share."""

    # Never cut: recording, site-day, site-week, site, or a column of the manifest such as `speaker`.
    group: str = "recording"
    seed: int = 0


class Holdout(Grouped):
    """One split into three parts, grouped and stratified; it is fold 1."""

    scheme: Literal["holdout"]
    train: Share = 0.8
    val: Share = 0.1
    test: Share = 0.1

    @property
    def n_folds(self) -> int:
        return 1

    @model_validator(mode="after")
    def _sums_to_one(self) -> Self:
        total = self.train + self.val + self.test
        if abs(total - 1) > 1e-6:
            raise ValueError(f"train + val + test must be 1, found {total:g}")
        return self


class KFold(Grouped):
    """k test folds, grouped and stratified; `val` of the remaining groups choose the epoch."""

    scheme: Literal["kfold"]
    n_folds: Annotated[int, Field(ge=2)] = 5
    val: Share = 0.1


class OfficialFolds(Grouped):
    """The data set's own folds are the test folds; `val` of the remaining groups choose the epoch."""

    scheme: Literal["official"]
    n_folds: Annotated[int, Field(ge=2)]
    val: Share = 0.1


class GivenParts(Grouped):
    """The data set says of each clip whether it trains, validates or tests; it is fold 1."""

    scheme: Literal["given"]

    @property
    def n_folds(self) -> int:
        return 1


Split = Annotated[Holdout | KFold | OfficialFolds | GivenParts, Field(discriminator="scheme")]


# --- data sets --------------------------------------------------------------------------------------------

# Site, date and time with the number of the segment; else all before a trailing number is the recording.
SOUNDSCAPE_NAME = r"(?P<recording>(?:(?P<site>.+?)_)?(?P<date>\d{8})_(?P<time>\d{6}))(?:_(?P<segment>\d{1,3}))?"
ANY_NAME = r"(?P<recording>.+?)(?:_(?P<segment>\d{1,3}))?"


class Clips(Settings):
    """Where clips and labels come from: all that ingest reads."""

    source: Source
    task: Literal["single-label", "multi-label"] | None = None
    # The names, whose order is part of every model; or the path of a class map (.csv) or vocabulary (.json).
    classes: Annotated[tuple[str, ...], Field(min_length=2)] | DataPath | None = None
    # The first that matches a file's whole stem names recording (required), site, date, time, segment, other columns.
    name_patterns: Annotated[tuple[NamePattern, ...], Field(min_length=1)] = (SOUNDSCAPE_NAME, ANY_NAME)
    windows: Windows | None = None  # null: a file is a clip
    features: Features | None = None  # the files are .pt features, not audio
    channel: Literal["mix"] | Positive = "mix"  # the mean of the channels, or one of them, counted from 1
    on_bad_clip: Literal["stop", "quarantine"] = "stop"
    max_bad_share: Share = 0.01  # of the files; more than these stop the workflow in any case

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if isinstance(self.classes, tuple):
            twice = sorted({name for name in self.classes if self.classes.count(name) > 1})
            if twice:
                raise ValueError(f"classes are named twice: {twice}")
        formats = {"list": [True], "json": [True, False]}.get(self.source.format, [False])  # without labels or with
        if (self.classes is None) not in formats or (self.classes is None) != (self.task is None):
            raise ValueError(
                "`classes` and `task` belong to every data set but those of source.format `list`; of `json`, only "
                "without `classes` and `task` the labels are not read"
            )
        if self.classes is None and isinstance(self.source, LabSource) and self.source.class_names:
            raise ValueError("`source.class_names` is without use, as there are no `classes`")
        if self.features is not None and (self.windows is not None or self.channel != "mix"):
            raise ValueError(
                "`windows` and `channel` are for audio; files of `features` are whole clips of one channel"
            )
        stretches = self.source.format in ("raven", "audacity") or (
            isinstance(self.source, LongSource) and self.source.start_column is not None
        )
        if stretches and (self.windows is None or self.windows.labels != "events"):
            raise ValueError(
                f"labels of source.format {self.source.format!r} hold for stretches of a file; "
                "give `windows` with `labels: events`"
            )
        if self.windows is not None and self.windows.labels == "events" and not stretches:
            raise ValueError(
                f"labels of source.format {self.source.format!r} hold for whole files, so `windows.labels: events` "
                "cannot be; with `labels: recording` every clip has all labels of its file"
            )
        return self

    @property
    def data_paths(self) -> tuple[str, ...]:
        """Every path in the settings, as written there."""
        if isinstance(self.source, MadeSource):
            return ()
        source = self.source
        manifests = getattr(source, "manifests", ())
        several = manifests.values() if isinstance(manifests, dict) else [manifests] if manifests else []
        single = (getattr(source, key, None) for key in ("table", "annotations"))
        classes = [self.classes] if isinstance(self.classes, str) else []
        return (source.audio, *(path for path in single if path is not None), *several, *classes)

    @property
    def extra_columns(self) -> tuple[str, ...]:
        """Columns of the manifest beyond the standard ones, sorted: from the table and from names."""
        named = {group for pattern in self.name_patterns for group in re.compile(pattern).groupindex}
        return tuple(sorted((named - set(NAMED)) | set(getattr(self.source, "columns", ()))))

    def may_tell(self, name: str) -> bool:
        """Whether results can be told apart by this: worked out, or a column of the manifest."""
        if name.startswith("label:"):
            return not isinstance(self.classes, tuple) or name.removeprefix("label:") in self.classes
        return name in (*SLICES, *MANIFEST, "recording", "site", "segment", *self.extra_columns)


class Published(Settings):
    """A figure that others have published on the data set."""

    model: Annotated[str, Field(min_length=1)]
    metric: Literal["mAP_macro", "mAP_micro", "AUC_macro", "lwlrap", "F1_macro", "accuracy", "balanced_accuracy"]
    value: Annotated[float, Field(ge=0, le=1)]
    source: Annotated[str, Field(min_length=1)]


class Dataset(Clips):
    """Clips and how they are divided into training, validation and test parts."""

    split: Split | None = None  # null only without labels
    published: tuple[Published, ...] = ()  # told beside our own figures, never ranked or compared with them
    # Parallel jobs that read the files and compute the features: 1 up to some 50,000 clips, 64 for millions.
    shards: Positive = 1
    # The lowest and highest frequency, Hz, that a class needs to be heard: checked against the front end's.
    class_hz: dict[str, tuple[Positive, Positive]] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _has_folds(self) -> Self:
        if (self.split is None) != (self.classes is None):
            raise ValueError("`split` belongs to every data set with `classes`, and to no other")
        if self.split is None:
            return self
        given = self.source.format == "esc" or getattr(self.source, "fold_column", None) is not None
        if self.split.scheme == "official" and not given:
            raise ValueError(
                f"split scheme 'official' needs a source with folds (esc, or a table's fold_column), found "
                f"{self.source.format}"
            )
        parts = getattr(self.source, "fold_column", None) is not None or (
            isinstance(self.source, JsonSource) and isinstance(self.source.manifests, dict)
        )
        if self.split.scheme == "given" and not parts:
            raise ValueError(
                "split scheme 'given' needs a table's fold_column with train, val, test, or a JSON manifest for each"
            )
        if isinstance(self.source, MixtureSource) and self.split.scheme != "given":
            raise ValueError(
                "source.format 'mixtures' keeps the parts of the data set that it mixes: expected split scheme "
                f"'given', found {self.split.scheme!r}"
            )
        known = (*GROUPS, *self.extra_columns)
        if self.split.group not in known:
            raise ValueError(f"split.group {self.split.group!r} is not one of {', '.join(known)}")
        return self
