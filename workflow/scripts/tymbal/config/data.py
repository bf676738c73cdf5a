"""Settings of data sets: where clips and labels come from, how long recordings are cut, how parts are made."""

import re
from pathlib import PurePosixPath, PureWindowsPath
from typing import Annotated, ClassVar, Literal, Self

from pydantic import AfterValidator, Field, model_validator

from tymbal.config.base import Name, Positive, Seconds, Settings, Share
from tymbal.config.layouts import LAYOUTS, Layout
from tymbal.config.remote import Remote

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


def _known_layout(name: str) -> str:
    if name not in LAYOUTS:
        raise ValueError(f"expected one of {', '.join(LAYOUTS)}")
    return name


def _whole_milliseconds(seconds: float) -> float:
    ms = 1000 * seconds
    if not (ms >= 0.5 and abs(ms - round(ms, 0)) < 1e-6):
        raise ValueError("expected a whole number of milliseconds")
    return seconds


DataPath = Annotated[str, AfterValidator(_data_path)]
NamePattern = Annotated[str, AfterValidator(_names_recordings)]
Column = Annotated[str, AfterValidator(_free_column)]
LayoutName = Annotated[str, AfterValidator(_known_layout)]
Weight = Annotated[float, Field(gt=0, le=1)]
WindowSeconds = Annotated[Seconds, AfterValidator(_whole_milliseconds)]  # clips are cut without rounding


# --- where clips and labels come from ---------------------------------------------------------------------


class SynthSource(Settings):
    """The embedded soundscapes, synthesised into `resources/NAME/` as a tag table with FLAC files."""

    format: Literal["synth"]
    sites: Positive = 6
    """how many sites there are"""
    recordings: Positive = 120
    """recordings of all sites together"""
    clips_per_recording: Positive = 5
    """clips that a recording is cut into"""
    clip_s: Annotated[float, Field(ge=0.5)] = 6.0
    """length of a clip, seconds"""
    sample_rate: Positive = 32000
    """Hz; unlike the front end's, so that resampling is exercised"""
    seed: int = 0
    """of all draws"""

    @property
    def n_clips(self) -> int:
        """All clips."""
        return self.recordings * self.clips_per_recording


class MixedPart(Settings):
    """Soundscapes mixed from the clips of one part."""

    clips: Positive
    """how many soundscapes are mixed from the clips of this part"""
    pool: Positive = 5
    """of how many recordings soundscapes share sources, which they share with no others, and become one recording"""


class MixtureSource(Settings):
    """Soundscapes mixed from another data set's clips of one class each, part by part, into `resources/NAME/`.

    `split` is then `{scheme: given}`.
    """

    format: Literal["mixtures"]
    dataset: Name
    """the data set that is mixed, of task `single-label` and with the same `classes`"""
    fold: Positive = 1
    """the fold of that data set whose parts are taken"""
    parts: Annotated[dict[Literal["train", "val", "test"], MixedPart], Field(min_length=1)]
    """for each of `train`, `val` and `test`, all three but for a corpus: how many soundscapes, and of how many
    recordings each"""
    shares: Annotated[tuple[Annotated[float, Field(ge=0)], ...], Field(min_length=1)] = (1, 1, 1, 1, 1)
    """relative shares of soundscapes with 1, 2, ... sources, each of another class"""
    level_range_db: Annotated[float, Field(ge=0)] = 10.0
    """sources are up to so much below the loudest, dB"""
    main_within_db: Annotated[float, Field(ge=0)] = 3.0
    """down to so much below the loudest, dB, a source is a main tag (weight 1.0), further down a background tag
    (0.6)"""
    clip_s: Annotated[float, Field(ge=0.5)] = 5.0
    """length of a soundscape, seconds"""
    sample_rate: Positive = 16000
    """Hz"""
    seed: int = 0
    """of all draws but the pools"""

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

    audio: DataPath
    """folder with the files, searched with its sub-folders: audio, or `.pt` features if the data set has `features`"""
    class_names: dict[str, str] = Field(default_factory=dict)
    """name in the source → class; several names may share a class: the larger weight counts. A name that is not here
    is its class"""


class TableSource(LabSource):
    """A table with one row a clip (or, for `long`, one row a label)."""

    table: DataPath
    """CSV, of which text may be in UTF-8, Big5/cp950, GBK or UTF-16, decoded strictly"""
    site_column: str | None = None
    """column with the site; `null` if there is none"""
    fold_column: str | None = None
    """column with the data set's own folds (1, 2, …) or parts (train, val, test)"""
    columns: tuple[Column, ...] = ()
    """further columns to keep in the manifest, for grouping and slices; not named as the manifest's own or as a
    slice (`hour`, `season`, ...)"""
    rows: dict[str, str] = Field(default_factory=dict)
    """column → cell: only rows that have all of these are read, as `{esc10: "True"}`; how many are not is told"""


class TagSource(TableSource):
    """Wide tag table: one row a clip, columns `MainTag_<name>` and `SubTag_<name>`.

    A cell is on for `1`, `1.0`, `TRUE`, `x`; off for `0`, `0.0`, `FALSE` or blank; anything else is an error. A row
    without any tag is unlabelled, not negative.
    """

    format: Literal["tags"]
    file_column: str = "FileName"
    """column with the file name, with or without folder and extension"""
    site_column: str | None = "Site"
    main_prefix: str = "MainTag_"
    """how columns of main tags begin; the rest of their names is the tag"""
    sub_prefix: str = "SubTag_"
    """how columns of sub (background) tags begin"""
    main_weight: Weight = 1.0
    """label of a main tag; where both are on, the main tag counts"""
    sub_weight: Weight = 0.6
    """label of a sub tag"""

    @model_validator(mode="after")
    def _prefixes_differ(self) -> Self:
        if self.main_prefix.strip() == self.sub_prefix.strip():
            raise ValueError(f"main_prefix and sub_prefix are both {self.main_prefix!r}; they must differ")
        return self


class LongSource(TableSource):
    """Long table: one row a label, with its weight and the stretch of the file it holds for if they are known."""

    format: Literal["long"]
    file_column: str = "file"
    """column with the file name, with or without folder and extension"""
    label_column: str = "label"
    """column with the label"""
    weight_column: str | None = None
    """column with the weight of the label, in (0, 1]; `null`: all weigh 1"""
    start_column: str | None = None
    """column with the start of the stretch of the file that a label holds for, seconds; `windows` are then needed"""
    end_column: str | None = None
    """column with the end of the stretch, seconds; given together with `start_column`"""
    unknown_labels: Literal["error", "drop"] = "error"
    """labels that are no class: `error`, or `drop` them with a count"""

    @model_validator(mode="after")
    def _stretches(self) -> Self:
        if (self.start_column is None) != (self.end_column is None):
            raise ValueError("start_column and end_column are given together or not at all")
        return self


class MultihotSource(TableSource):
    """Multi-hot table: one row a clip, one column a class with its weight in [0, 1]."""

    format: Literal["multihot"]
    file_column: str = "file"
    """column with the file name, with or without folder and extension"""


class EscSource(LabSource):
    """ESC-50's table: `filename, fold, category`, and the source recording of each clip."""

    format: Literal["esc"]
    table: DataPath
    """CSV `filename, fold, category`, and the source recording of each clip"""
    recording_column: str = "src_file"
    """column with the recording a clip was cut from"""


class FolderSource(LabSource):
    """One folder a class, of which it has the name; a comma in the name means several."""

    format: Literal["folders"]
    unknown_labels: Literal["error", "drop"] = "error"
    """labels that are no class: `error`, or `drop` them with a count"""


class JsonSource(LabSource):
    """AudioSet-style JSON manifests, `{"data": [{"wav", "labels", "weights"}]}`.

    There is one, or one for each of train, val and test.
    """

    format: Literal["json"]
    manifests: DataPath | dict[Literal["train", "val", "test"], DataPath]
    """one path, or one for each of `train`, `val`, `test`"""
    unknown_labels: Literal["error", "drop"] = "error"
    """labels that are no class: `error`, or `drop` them with a count"""


class ListSource(LabSource):
    """Files without labels: those in a text file, one path a line, or all files of the folder."""

    format: Literal["list"]
    table: DataPath | None = None
    """text file, one path a line; `null`: all files of the folder"""


class RavenSource(LabSource):
    """Raven selection tables, as BirdNET-Analyzer writes them too.

    There is one for each recording, or one with a column `Begin File`. They need `windows`.
    """

    format: Literal["raven"]
    annotations: DataPath
    """folder with the selection tables, searched with its sub-folders"""
    label_column: str = "Class"
    """column with the label"""
    unknown_labels: Literal["error", "drop"] = "error"
    """labels that are no class: `error`, or `drop` them with a count"""


class AudacitySource(LabSource):
    """Audacity label tracks: one text file for each recording, of the same stem. They need `windows`."""

    format: Literal["audacity"]
    annotations: DataPath
    """folder with the label tracks"""
    unknown_labels: Literal["error", "drop"] = "error"
    """labels that are no class: `error`, or `drop` them with a count"""


class PublishedSource(LabSource):
    """A public data set as its archive unpacks: labels, parts and columns as its own files tell them."""

    format: Literal["published"]
    layout: LayoutName
    """which data set, as [its page](../docs/recipes/index.md) tells"""
    unknown_labels: Literal["error", "drop"] = "error"
    """labels that are no class: `error`, or `drop` them with a count"""

    @property
    def known(self) -> Layout:
        """What the layout tells before any file is read."""
        return LAYOUTS[self.layout]

    @property
    def columns(self) -> tuple[str, ...]:
        """Further columns of the manifest."""
        return self.known.columns


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
    | AudacitySource
    | PublishedSource,
    Field(discriminator="format"),
]


class Windows(Settings):
    """Files are cut into clips of one length. What a label says about a clip is declared, never guessed."""

    length_s: Annotated[WindowSeconds, Field(ge=0.025)]
    """length of a clip, seconds: a frame at least, and whole milliseconds"""
    hop_s: WindowSeconds | None = None
    """from start to start, seconds; `null`: `length_s`"""
    labels: Literal["events", "recording"]
    """`events`: a clip has the labels whose stretch of the file it overlaps (`long` with start and end, `raven`,
    `audacity`); `recording`: every clip has all labels of its file, also of sounds that are not in it"""
    min_overlap_s: WindowSeconds = 0.5
    """of a label's stretch and the clip, seconds; a shorter stretch must lie in the clip whole"""
    last: Literal["drop", "keep"] = "drop"
    """what is left at the end, shorter than the length: `drop` or `keep`"""


class Normalised(Settings):
    """The normalisation that was applied to imported features."""

    mean: float
    """that was subtracted, natural logarithm"""
    std: Annotated[float, Field(gt=0)]
    """that was divided by, natural logarithm"""
    factor: Annotated[float, Field(gt=0)] = 2.0
    """that `std` was multiplied by"""


class Features(Settings):
    """What is known of `.pt` features. Checked against the numbers; undone, so that raw log-mel is stored."""

    sample_rate: Positive = 16000
    """of the audio that they were made from, Hz"""
    n_mels: Positive = 128
    """mel bins"""
    normalised: Normalised | None = None
    """the numbers with which `(x − mean) / (factor · std)` was applied; `null` if they are raw log-mel"""
    padding: float | None = None
    """value of the rows that fill up the end; `null` if there are none"""


# --- how parts are made -----------------------------------------------------------------------------------


class Grouped(Settings):
    """What all splits share."""

    group: str = "recording"
    """what is never cut, and with it the question that scores answer. `recording`: new recordings at the same sites;
    `site-day`, `site-week`: other days or weeks; `site`: new places; or a column of the manifest such as
    `speaker`"""
    seed: int = 0
    """of the split"""


class Holdout(Grouped):
    """One split into three parts of these shares of the clips, grouped and stratified; it is fold 1."""

    scheme: Literal["holdout"]
    train: Share = 0.8
    """share of the clips; the three sum to 1"""
    val: Share = 0.1
    """share of the clips that choose the epoch"""
    test: Share = 0.1
    """share of the clips that are scored"""

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
    """k test folds, grouped and stratified: every clip is tested once; `val` of the other clips choose the epoch."""

    scheme: Literal["kfold"]
    n_folds: Annotated[int, Field(ge=2)] = 5
    """test parts, of which every clip is in one"""
    val: Share = 0.1
    """share of the other clips, by groups, that choose the epoch"""


class OfficialFolds(Grouped):
    """The data set's own folds are the test parts; `val` of the other clips choose the epoch."""

    scheme: Literal["official"]
    n_folds: Annotated[int, Field(ge=2)]
    """how many folds the data set has"""
    val: Share = 0.1
    """share of the other clips, by groups, that choose the epoch"""


class GivenParts(Grouped):
    """The data set says which clips train, validate and test; it is fold 1."""

    scheme: Literal["given"]
    val: Share | None = None
    """of a data set that has parts train and test alone: share of the training part that chooses the epoch, by
    groups"""

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
    """where clips and labels come from; `format` chooses one of [these](#source)"""
    task: Literal["single-label", "multi-label"] | None = None
    """`single-label` (exactly one class a clip: accuracy, confusion matrix) or `multi-label` (several tags a clip,
    soft labels)"""
    classes: Annotated[tuple[str, ...], Field(min_length=2)] | DataPath | None = None
    """the classes, in the order that every model keeps: a list, or the path of a class map (CSV with `display_name`
    or `mid`, and `index`) or of a vocabulary (JSON with `all_classes`)"""
    name_patterns: Annotated[tuple[NamePattern, ...], Field(min_length=1)] = (SOUNDSCAPE_NAME, ANY_NAME)
    """regular expressions; the first that matches a file's whole stem names `recording` (required; tells which clips
    belong together), `site`, `date`, `time`, `segment`; other named groups become columns of the manifest; a
    pattern with a `/` is matched against folders and stem. Unless given: `SITE_YYYYMMDD_HHMMSS_k` with or without
    site and k; else everything before a trailing `_<1 to 3 digits>` is the recording"""
    windows: Windows | None = None
    """cuts files into clips, [below](#windows); `null`: a file is a clip"""
    features: Features | None = None
    """the files are `.pt` features, not audio, [below](#features); `null`: audio"""
    channel: Literal["mix"] | Positive = "mix"
    """`mix` (the mean of all) or the number of one channel, from 1"""
    on_bad_clip: Literal["stop", "quarantine"] = "stop"
    """missing, truncated, unreadable or repeated files: `stop` with a list of all, or `quarantine` them: listed in
    `results/NAME/quarantine.csv` and in the report, never replaced"""
    max_bad_share: Share = 0.01
    """quarantined files, as a share of all, above which the workflow stops in any case"""

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
        stretches = (
            self.source.format in ("raven", "audacity")
            or (isinstance(self.source, LongSource) and self.source.start_column is not None)
            or (isinstance(self.source, PublishedSource) and self.source.known.events)
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
        known = source.known.tables if isinstance(source, PublishedSource) else ()
        tables = [f"{source.audio}/{table}" for table in known]
        classes = [self.classes] if isinstance(self.classes, str) else []
        return (source.audio, *(path for path in single if path is not None), *tables, *several, *classes)

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
    """what the figure is of, as it is to be printed"""
    metric: Literal["mAP_macro", "mAP_micro", "AUC_macro", "lwlrap", "F1_macro", "accuracy", "balanced_accuracy"]
    """named as in `summary/metrics.csv`"""
    value: Annotated[float, Field(ge=0, le=1)]
    """the figure; 72.7 % is 0.727"""
    source: Annotated[str, Field(min_length=1)]
    """where it was published"""


class Archive(Remote):
    """A file that the data set is made of: unpacked if it is an archive (zip, tar and its compressed forms).

    Files `.z01`, `.z02`, ... are parts of the zip of the same name.
    """

    into: DataPath
    """folder that is made of it, and of other archives with the same `into`, unless it is there; what is no archive
    is put into it as it is"""
    strip: Annotated[int, Field(ge=0)] = 0
    """leading folders of its names that are dropped"""


class Dataset(Clips):
    """Clips and how they are divided into training, validation and test parts."""

    split: Split | None = None
    """how clips are divided; `scheme` chooses one of [these](#split)"""
    published: tuple[Published, ...] = ()
    """figures that others have published on the data set. They are told beside ours, apart, and never ranked or
    compared with them"""
    download: tuple[Archive, ...] = ()
    """where the data set can be had: what `snakemake download`, and nothing else, gets"""
    shards: Positive = 1
    """parallel jobs that read the files and compute features: 1 up to some 50,000 clips, 64 for millions"""
    class_hz: dict[str, tuple[Positive, Positive]] = Field(default_factory=dict)
    """class → lowest and highest frequency, Hz, that it needs to be heard; `validate` warns if the front end cuts it
    off"""

    @model_validator(mode="after")
    def _apart(self) -> Self:
        folders = {archive.into for archive in self.download}
        for into in sorted(folders):
            if above := [str(path) for path in PurePosixPath(into).parents if str(path) in folders]:
                raise ValueError(f"download: `into` {into!r} lies in {above[0]!r}, another one's; keep them apart")
        return self

    @model_validator(mode="after")
    def _has_folds(self) -> Self:
        if (self.split is None) != (self.classes is None):
            raise ValueError("`split` belongs to every data set with `classes`, and to no other")
        if self.split is None:
            return self
        of_layout = self.source.known.folds if isinstance(self.source, PublishedSource) else None
        column = getattr(self.source, "fold_column", None) is not None
        given = column or self.source.format == "esc" or of_layout == "official"
        if self.split.scheme == "official" and not given:
            raise ValueError(
                f"split scheme 'official' needs a source with folds (esc, a table's fold_column, or a layout that has "
                f"them), found {self.source.format}"
            )
        manifests = isinstance(self.source, JsonSource) and isinstance(self.source.manifests, dict)
        if self.split.scheme == "given" and not (column or manifests or of_layout == "given"):
            raise ValueError(
                "split scheme 'given' needs a table's fold_column with train, val, test, a JSON manifest for each, or "
                "a layout that has parts"
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
