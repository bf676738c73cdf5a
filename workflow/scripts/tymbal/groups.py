"""Groups of clips that no split may cut: which group a clip is in, and the checks that none is cut."""

import logging

import numpy as np
import pandas as pd

from tymbal.errors import InputError
from tymbal.folds import UNLABELLED
from tymbal.ingest.manifest import LABEL

log = logging.getLogger(__name__)

DATED = {"site-day": "day", "site-week": "week"}


def group_names(clips: pd.DataFrame, kind: str, setting: str = "split.group") -> pd.Series:
    """The group of each clip.

    Args:
        clips: rows of a manifest.
        kind: `recording`, `site`, `site-day` (`S1 2024-01-05`), `site-week` (`S1 2024-W01`, ISO weeks), or another
            column of the manifest.
        setting: which key of the configuration chose the kind, for the message.

    Returns:
        Names, with the index of `clips`.

    Raises:
        InputError: the clips that lack what names their group.
    """
    if kind == "recording":
        names = recording_names(clips)
        lacking = {kind: names == ""}
    elif kind not in DATED:
        names = text(clips[kind])
        lacking = {kind: names == ""}
    else:
        site, days = text(clips["site"]), day(clips)
        lacking = {"site": site == "", "date": days == ""}
        names = site + " " + (days if kind == "site-day" else _weeks(days))
    table = pd.DataFrame(lacking)
    if table.to_numpy().any():
        problems = [
            f"clip {clip}: no {' and no '.join(table.columns[missing])}"
            for clip, missing in zip(clips["clip_id"], table.to_numpy(), strict=True)
            if missing.any()
        ]
        weaker = "" if kind == "recording" else f", or set `{setting}: recording`"
        raise InputError.listing(
            f"clips without a {kind}, by which {setting} groups them",
            problems,
            f"let the table or `name_patterns` give every clip a {' and a '.join(lacking)}{weaker}",
        )
    return names


def recording_names(clips: pd.DataFrame) -> pd.Series:
    """The recording of each clip; of recordings of one name at several sites, with the site.

    Recorders name files by the time alone, so that those of several sites have the same names. If the site of some is
    not known, they might be one and are taken as one.
    """
    recordings, sites = text(clips["recording"]), text(clips["site"])
    codes, names = pd.factorize(recordings)
    site_codes, known = pd.factorize(sites)
    recording, site = np.divmod(np.unique(codes * len(known) + site_codes), max(len(known), 1))
    apart = np.bincount(recording, minlength=len(names)) > 1
    apart[recording[known[site] == ""]] = False
    if not apart.any():
        return recordings
    return (recordings + " at " + sites).where(apart[codes], recordings)


def check_groups(clips: pd.DataFrame, names: pd.Series, kind: str) -> None:
    """Verify that groups can be divided without parting what belongs together.

    Args:
        clips: rows of a manifest.
        names: the group of each.
        kind: what the groups are.

    Raises:
        InputError: a file's content or a recording in two groups.
    """
    if copies := crossing(clips["sha256"], names):
        ids = clips[clips["sha256"].isin(list(copies))].groupby("sha256")["clip_id"].agg(", ".join)
        raise InputError.listing(
            f"files that are copies of each other, in more than one {kind}",
            [f"{ids[content]}: same content, {kind}s {', '.join(found)}" for content, found in copies.items()],
            "keep one of the copies and remove the others from the data set; else a model could be tested on a clip "
            "it was trained on",
        )
    recordings, sites = text(clips["recording"]), text(clips["site"])
    if cut := crossing(recording_names(clips), names):
        raise InputError.listing(
            f"recordings in more than one {kind}",
            [f"recording {recording}: {kind}s {', '.join(found)}" for recording, found in cut.items()],
            f"give all clips of a recording the same {kind}, or set `split.group: recording`",
        )
    if shared := crossing(recordings, sites):
        first, where = next(iter(shared.items()))
        log.warning(
            "%d names of recordings occur at more than one site, such as %s (%s): taken as different recordings, "
            "unless the site of some clips is not known",
            *(len(shared), first, ", ".join(where)),
        )


def check_split(folds: pd.DataFrame, manifest: pd.DataFrame, kind: str) -> None:
    """Verify what every split must keep, whoever made it.

    Args:
        folds: `fold, clip_id, part`.
        manifest: the clips.
        kind: what must not be cut, as `group_names` takes it.

    Raises:
        InputError: a clip not exactly once in a fold, or a group or a file's content in two parts of a fold.
    """
    plain = manifest.loc[:, ~manifest.columns.str.startswith(LABEL)]
    clips = plain.drop_duplicates("clip_id")
    known = pd.Index(clips["clip_id"])
    problems = []
    for fold, rows in folds.groupby("fold"):
        which = known.get_indexer(pd.Index(rows["clip_id"]))
        times = np.bincount(which[which >= 0], minlength=len(known))
        problems += [
            f"fold {fold}: clip {known[i]} is there {times[i]} times, expected once" for i in np.flatnonzero(times != 1)
        ]
        problems += [f"fold {fold}: clip {clip} is not in the manifest" for clip in rows["clip_id"][which < 0]]
        used = (which >= 0) & (rows["part"] != UNLABELLED)
        mine, parts = clips.iloc[which[used]], rows["part"][used]
        for what, names in ((kind, group_names(mine, kind)), ("sha256", mine["sha256"])):
            problems += [
                f"fold {fold}: {what} {name} is in {' and '.join(several)}"
                for name, several in crossing(names, parts).items()
            ]
    if problems:
        raise InputError.listing("folds that leak", problems, "delete folds.csv and run the split again")


def text(column: pd.Series) -> pd.Series:
    """A column of text without surrounding blanks; empty where nothing is known."""
    return column.fillna("").astype(str).str.strip()


def day(clips: pd.DataFrame) -> pd.Series:
    """The date of each clip's recording, `2024-01-05`; empty where it is not known."""
    return text(clips["recorded_at"]).str[:10]


def crossing(values: pd.Series, units: pd.Series) -> dict[str, list[str]]:
    """The values found in more than one unit, each with its units, all sorted."""
    value_codes, known_values = pd.factorize(values)
    unit_codes, known_units = pd.factorize(units)
    pairs = np.unique(value_codes * len(known_units) + unit_codes)
    value_codes, unit_codes = np.divmod(pairs, max(len(known_units), 1))
    several = np.bincount(value_codes, minlength=1)[value_codes] > 1
    found: dict[str, list[str]] = {}
    for value, unit in zip(value_codes[several], unit_codes[several], strict=True):
        found.setdefault(str(known_values[value]), []).append(str(known_units[unit]))
    return {value: sorted(found[value]) for value in sorted(found)}


def _weeks(days: pd.Series) -> pd.Series:
    """ISO weeks, `2024-W01`, of dates; few dates are each worked out once."""
    calendar = pd.to_datetime(pd.Series(days[days != ""].unique()), format="%Y-%m-%d")
    iso = calendar.dt.isocalendar()
    weeks = iso["year"].astype(str) + "-W" + iso["week"].astype(str).str.zfill(2)
    return days.map(dict(zip(calendar.dt.strftime("%Y-%m-%d"), weeks, strict=True))).fillna("")
