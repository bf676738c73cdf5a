"""The page of a season of recordings: what was recorded, what was heard, and how far to believe it."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from tymbal.evaluate.tables import rows_of
from tymbal.predict.drift import DISTANCE, read_drift, read_shares
from tymbal.predict.kept import About, Scores, read_files
from tymbal.predict.reference import Reference
from tymbal.predict.sounds import Kept, read_top_clips
from tymbal.report import season_figures as draw
from tymbal.report.disagreements import picture
from tymbal.report.document import Page
from tymbal.report.season_drift import class_rows, site_rows, told_apart
from tymbal.tables import read_csv

SITES_SHOWN = 12  # with a map of their own
CLASSES_SHOWN = 60  # with sounds: beyond, a page would be full anyway
LISTED = 200  # files with problems; the others are counted
NO_SITE = "(site not known)"

TOLD = {  # figure -> title, caption
    "effort": ("Effort", "Hours of sound that were listened to; grey: none."),
    "hours": (
        "Hours of the day",
        "Detections per hour of sound, by the hour in which they begin. Above: how much was recorded.",
    ),
    "dates": ("The season", "Detections per hour of sound over the season. Above: how much was recorded."),
    "strip": (
        "Spectrogram and scores",
        "Below the spectrogram, the score of each class, from 0 to 1. Dashed: its threshold. Filled: where it counts "
        "as detected.",
    ),
    "sites": (
        "How unlike sites are",
        "How far the sound of each site, as the model hears it, is from validation clips. 1×: as far as two halves of "
        "these are from each other; the grey band holds 95 % of such halves.",
    ),
    "shares": (
        "How frequent classes are",
        "Where the filled and the open dot are far apart, the season has more or less of the class than the clips that "
        "the model was chosen on, or the model hears it otherwise here. The tick is how frequent it was in training: "
        "the rarer, the less the model knows of it.",
    ),
}


class Drawn(NamedTuple):
    """A figure of the page."""

    key: str
    title: str
    caption: str
    svg: bytes


@dataclass(frozen=True)
class Season:
    """Tables of a season's folder; sites that are not known have a name."""

    name: str
    about: About
    files: pd.DataFrame
    detections: pd.DataFrame
    activity: pd.DataFrame
    drift: pd.DataFrame
    shares: pd.DataFrame
    top_clips: pd.DataFrame
    kept: Kept
    why: str  # there is nothing to compare with; empty if there is

    @classmethod
    def read(cls, folder: Path) -> "Season":
        """Read what the rules before the page have written.

        Args:
            folder: `results/predictions/<season>/<model>`.
        """
        return cls(
            name=folder.parent.name,
            about=Scores(folder / "scores.parquet").about,
            files=_sited(read_files(folder / "files.csv")),
            detections=_sited(read_csv(folder / "detections.csv", ("file", "class", "site", "recorded_at"))),
            activity=_sited(read_csv(folder / "activity.csv", ("site", "date", "class"))),
            drift=_sited(read_drift(folder / "drift.csv")),
            shares=_sited(read_shares(folder / "class_shares.csv")),
            top_clips=_sited(read_top_clips(folder / "top_clips.csv")),
            kept=Kept.read(folder / "sounds.npz"),
            why=str(Reference.read(folder / "reference.npz").why),
        )

    @property
    def classes(self) -> list[str]:
        """All, the most detected first, those never detected in the model's order at the end."""
        n = self.detections["class"].value_counts()
        return sorted(self.about.classes, key=lambda name: -n.get(name, 0))

    @property
    def names(self) -> list[str]:
        """What figures may have to label."""
        return [*self.about.classes, *sorted(self.files["site"].unique())]


def write_season_page(folder: Path, out: Path) -> None:
    """Write the page as one self-contained HTML file; the same inputs give the same bytes.

    Args:
        folder: of the season's results.
        out: the page.
    """
    season = Season.read(folder)
    page = Page(out)
    figures = {
        figure.key: {**figure._asdict(), "address": page.address(figure.svg, "image/svg+xml")}
        for figure in draw_season(season)
    }
    clips = _clips(page, season)
    files = season.files
    problems = files[files["problem"] != ""]
    listed = problems.head(LISTED)
    shown = [*season.top_clips["file"], str(season.kept.strip_file), *listed["file"], *listed["problem"]]
    page.write(
        "season.html.j2",
        [*season.names, season.name, season.why, *shown],
        season=season,
        figures=figures,
        cards=_cards(season),
        effort=_effort(season),
        classes=_classes(season),
        clips=clips,
        strip=_strip(season.kept),
        sites=site_rows(season.drift),
        apart=told_apart(season.drift),
        shares=class_rows(season.shares).to_dict("records"),
        problems=listed.to_dict("records"),
        n_problems=len(problems),
        n_untimed=int((~files["recorded_at"].str.contains("T") & (files["n_windows"] > 0)).sum()),
    )


def draw_season(season: Season) -> list[Drawn]:
    """All figures of the page that its tables have anything for."""
    figures = []

    def add(key: str, plot: Callable[[Figure, Mapping[str, str]], None], of_site: str = "") -> None:
        title, caption = TOLD[key]
        svg = draw.svg(plot, season.names)
        figures.append(
            Drawn(f"{key}:{of_site}" if of_site else key, f"{title}{of_site and ', '}{of_site}", caption, svg)
        )

    activity = season.activity
    dated, timed = activity[activity["date"] != ""], activity[activity["hour"].notna()]
    detected = set(season.detections["class"])
    heard = [name for name in season.classes if name in detected][: draw.MOST_ROWS]
    if len(dated):
        add("effort", partial(draw.effort_by_site, dated))
    if heard and len(timed):
        add("hours", partial(draw.by_hour, timed, heard))
        sites = sorted(timed["site"].unique())
        for site in sites[:SITES_SHOWN] if len(sites) > 1 else ():
            add("hours", partial(draw.by_hour, timed[timed["site"] == site], heard), site)
    if heard and len(dated):
        add("dates", partial(draw.by_date, dated, heard))
    if len(season.kept.strip_fbank):
        add("strip", partial(draw.strip, season.kept))
    distances = rows_of(season.drift, {"measure": DISTANCE}).dropna(subset=["value", "usual"])
    if len(distances):
        rows = distances.sort_values("value", ascending=False).head(draw.MOST_ROWS)
        add("sites", partial(draw.site_distances, rows))
    if len(season.shares):
        add("shares", partial(draw.class_shares, class_rows(season.shares).head(draw.MOST_ROWS)))
    return figures


def _sited(table: pd.DataFrame) -> pd.DataFrame:
    return table.assign(site=table["site"].replace("", NO_SITE))


def _cards(season: Season) -> list[tuple[str, Any]]:
    """What stands at the top: titles and numbers."""
    files = season.files[season.files["n_windows"] > 0]
    dates = sorted(set(files["recorded_at"].str[:10]) - {""})
    span = "not known" if not dates else dates[0] if len(dates) == 1 else f"{dates[0]} to {dates[-1]}"
    found = season.detections["class"].nunique()
    return [
        ("Recordings", f"{len(files):,}"),
        ("Hours of sound", f"{files['seconds'].sum() / 3600:,.1f}"),
        ("Sites", f"{len(set(files['site']) - {NO_SITE}):,}" if set(files["site"]) != {NO_SITE} else "not known"),
        ("Detections", f"{len(season.detections):,}"),
        ("Classes detected", f"{found} of {len(season.about.classes)}"),
        ("Dates", span),
    ]


def _effort(season: Season) -> list[dict[str, Any]]:
    """A row a site: recordings, time, first and last date, detections."""
    n_detections = season.detections["site"].value_counts()
    rows = []
    for site, files in season.files.groupby("site"):
        heard = files[files["n_windows"] > 0]
        dates = sorted(set(heard["recorded_at"].str[:10]) - {""})
        rows.append(
            {
                "site": site,
                "n_files": len(heard),
                "minutes": heard["seconds"].sum() / 60,
                "first": dates[0] if dates else "",
                "last": dates[-1] if dates else "",
                "n_detections": int(n_detections.get(site, 0)),
                "n_problems": int((files["problem"] != "").sum()),
            }
        )
    return rows


def _classes(season: Season) -> list[dict[Any, Any]]:
    """A row a class: what was detected of it."""
    found = season.detections.assign(seconds=season.detections["end_s"] - season.detections["start_s"])
    by_class = found.groupby("class").agg(
        n=("file", "size"), seconds=("seconds", "sum"), n_files=("file", "nunique"), n_sites=("site", "nunique")
    )
    threshold = season.shares.drop_duplicates("class").set_index("class")["threshold"]
    best = season.top_clips.groupby("class")["score"].max()
    told = by_class.reindex(season.classes).fillna(0).assign(threshold=threshold, best=best)
    return told.rename_axis("name").reset_index().to_dict("records")


def _clips(page: Page, season: Season) -> list[dict[str, Any]]:
    """The best windows class by class, with pictures and sounds as long as there is room: the first of each first."""
    shown = season.classes[:CLASSES_SHOWN]
    pictures = [frames for frames, _, _ in map(season.kept.clip, range(len(season.top_clips))) if len(frames)]
    floor, top = np.percentile(np.concatenate(pictures), [1, 99.7]) if pictures else (0, 1)
    by_class: dict[str, list[dict[Any, Any]]] = {name: [] for name in shown}
    for k, row in enumerate(season.top_clips.to_dict("records")):
        if row["class"] not in by_class:
            continue
        frames, mp3, note = season.kept.clip(k)
        image = page.address(picture(frames, floor, top), "image/png") if len(frames) else None
        audio = page.address(mp3, "audio/mpeg") if mp3 else None
        if mp3 and audio is None:
            note = "no sound: this page is full"
        by_class[row["class"]].append({**row, "picture": image, "audio": audio, "note": note})
    return [{"name": name, "clips": clips} for name, clips in by_class.items() if clips]


def _strip(kept: Kept) -> dict[str, Any]:
    """Which stretch is shown."""
    return {"file": str(kept.strip_file), "start_s": float(kept.strip_span[0]), "end_s": float(kept.strip_span[1])}
