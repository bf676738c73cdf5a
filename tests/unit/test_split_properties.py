"""What holds for every split of every data set."""

from itertools import pairwise

import numpy as np
import pandas as pd
from hypothesis import given, settings
from hypothesis import strategies as st

from tymbal.config.data import SUBSETS, Holdout, KFold
from tymbal.folds import clip_ids
from tymbal.groups import group_names
from tymbal.ingest.manifest import LABEL
from tymbal.split import split_folds

CLASSES = ("Cicada", "Bird", "Owl")


@st.composite
def manifests(draw):
    """Recordings of 1 to 6 clips at some sites and days, with soft labels; some recordings are unlabelled."""
    n_sites, n_days = draw(st.integers(4, 6)), draw(st.integers(1, 4))
    sizes = draw(st.lists(st.integers(1, 6), min_size=6, max_size=30))
    unlabelled = draw(st.sets(st.integers(6, 40)))
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    rows = []
    for recording, size in enumerate(sizes):
        site, day = recording % n_sites, recording // n_sites % n_days + 1
        for k in range(size):
            weights = np.where(rng.random(3) < (0.9, 0.5, 0.2), rng.choice([0.6, 1.0], 3), 0.0)
            weights[k % 3] = 1.0 if recording < 3 else weights[k % 3]  # no class is absent
            if recording < 3 and k == 0:
                weights[:] = 1.0
            if recording in unlabelled:
                weights[:] = np.nan
            clip = f"S{site}_{day}_{recording}_{k}"
            rows.append(
                {
                    "clip_id": clip,
                    "recording": clip[:-2],
                    "site": f"S{site}",
                    "recorded_at": f"2024-01-{day:02d}",
                    "fold": "",
                    "sha256": f"content of {clip}",
                    **{LABEL + name: weight for name, weight in zip(CLASSES, weights, strict=True)},
                }
            )
    return pd.DataFrame(rows)


splits = st.one_of(
    st.builds(
        Holdout,
        scheme=st.just("holdout"),
        group=st.sampled_from(["recording", "site-day", "site"]),
        seed=st.integers(0, 5),
    ),
    st.builds(
        KFold,
        scheme=st.just("kfold"),
        n_folds=st.integers(3, 4),
        val=st.sampled_from([0.1, 0.3]),
        group=st.sampled_from(["recording", "site-day", "site"]),
        seed=st.integers(0, 5),
    ),
)


@settings(deadline=None, max_examples=25)
@given(manifest=manifests(), split=splits, order=st.randoms(use_true_random=False))
def test_splits(manifest, split, order):
    folds, balance = split_folds(manifest, split)
    labelled = manifest[manifest[LABEL + "Bird"].notna()]
    groups = group_names(labelled, split.group).set_axis(labelled["clip_id"])
    for fold, rows in folds.groupby("fold"):
        assert rows["clip_id"].tolist() == sorted(manifest["clip_id"])
        part = rows.set_index("clip_id")["part"]
        assert set(part[part == "unlabelled"].index) == set(manifest["clip_id"]) - set(labelled["clip_id"])
        parts_of_groups = part[groups.index].groupby(groups).nunique()
        assert parts_of_groups.max() == 1
        assert set(part[groups.index]) == {"train", "val", "test"}

        subsets = [set(clip_ids(folds, fold, "train", percent)) for percent in SUBSETS]
        assert subsets[-1] == set(part[part == "train"].index)
        for small, large in pairwise(subsets):
            assert small
            assert small <= large
            assert set(groups[list(small)]).isdisjoint(groups[list(large - small)])

    if split.n_folds > 1:
        assert sorted(folds.loc[folds["part"] == "test", "clip_id"]) == sorted(labelled["clip_id"])
    # No part is further from its size than the two largest groups: one may be all a class has.
    sizes = balance[balance["class"] == "(all)"]
    assert (sizes["residual"].abs() * len(labelled) <= 2 * groups.value_counts().max()).all()

    rows = list(range(len(manifest)))
    order.shuffle(rows)
    for one, other in zip((folds, balance), split_folds(manifest.iloc[rows], split), strict=True):
        pd.testing.assert_frame_equal(one, other)
