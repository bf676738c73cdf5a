"""How far a season is from the training data: distances by their definitions, verdicts by made-up sites."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.linalg import sqrtm

from small_season import CLASSES
from tymbal.evaluate.thresholds import Threshold, write_thresholds
from tymbal.predict import drift as module
from tymbal.predict.drift import (
    DISTANCE,
    FEWEST,
    LEVEL,
    LIKE,
    SCORE,
    SOMEWHAT,
    UNKNOWN,
    UNLIKE,
    Heard,
    Outputs,
    Yardstick,
    compare_with_training,
    frechet,
    kolmogorov_smirnov,
    read_drift,
    read_shares,
)
from tymbal.predict.kept import About, ScoresWriter
from tymbal.predict.reference import Reference
from tymbal.tables import write_csv

D, PER_FILE = 8, 12


def heard(rng, n, shift=0.0) -> Heard:
    return Heard(rng.normal(shift, 1, (n, D)), rng.beta(1 + shift, 3, (n, 3)))


def reference(rng, n=240, sites=("S1",)) -> Reference:
    clips = heard(rng, n)
    return Reference(
        why=np.array(""),
        embeddings=clips.embeddings.astype(np.float16),
        scores=clips.scores.astype(np.float32),
        log_mel_mean=rng.normal(-7, 0.5, n).astype(np.float32),
        recording=np.array([f"r{i // 6}" for i in range(n)]),
        site=np.array([sites[i // 6 % len(sites)] for i in range(n)]),
        prevalence=np.array([0.1, 0.2, 0.3]),
        n_train=np.array(960),
    )


def compare(folder, sites, known, level=-7.0):
    """Drift and shares of made-up sites: name -> what is heard there, in files of twelve windows, one after another."""
    rows, embeddings = [], []
    parts = [(site, i) for site, windows in sites.items() for i in range(0, len(windows.scores), PER_FILE)]
    parts.sort(key=lambda part: (part[1], part[0]))  # the files of sites alternate
    with ScoresWriter(folder / "scores.parquet", About(CLASSES, "model", 1.0, 1.0)) as writer:
        for site, i in parts:
            mine = sites[site].some(np.arange(i, min(i + PER_FILE, len(sites[site].scores))))
            starts = np.arange(len(mine.scores), dtype=float)
            writer.add(f"{site}-{i}.wav", starts, starts + 1, mine.scores.astype(np.float32))
            embeddings.append(mine.embeddings.astype(np.float16))
            rows.append((f"{site}-{i}.wav", site, "", "", len(starts), float(len(starts)), level))
            rows.append((f"{site}-{i}-lost.wav", site, "", "is empty: 0 bytes", 0, np.nan, np.nan))
    columns = ["file", "site", "recorded_at", "problem", "n_windows", "seconds", "log_mel_mean"]
    write_csv(pd.DataFrame(rows, columns=columns), folder / "files.csv")
    np.save(folder / "embeddings.npy", np.concatenate([np.zeros((0, D), np.float16), *embeddings]))
    write_thresholds(folder / "thresholds.json", {name: Threshold(threshold=0.4) for name in CLASSES})
    known.write(folder / "reference.npz")
    names = ("scores.parquet", "embeddings.npy", "files.csv", "thresholds.json", "reference.npz")
    outputs = Outputs(folder / "drift.csv", folder / "class_shares.csv")
    compare_with_training(*(folder / name for name in names), outputs)
    return read_drift(outputs.drift), read_shares(outputs.shares)


@pytest.fixture
def rng():
    return np.random.default_rng(0)


@given(st.integers(0, 2**32), st.sampled_from([(40, 30, 5), (9, 50, 20), (30, 30, 30)]))
@settings(deadline=None, max_examples=20)
def test_frechet_distance_by_its_definition(seed, shape):
    rng = np.random.default_rng(seed)
    n, m, d = shape
    mixed = rng.normal(size=(d, d))
    a, b = rng.normal(size=(n, d)) @ mixed, rng.normal(1, 2, (m, d))
    root = sqrtm(np.cov(a.T, bias=True) @ np.cov(b.T, bias=True)).real
    spread = np.trace(np.cov(a.T, bias=True) + np.cov(b.T, bias=True) - 2 * root)
    wanted = ((a.mean(axis=0) - b.mean(axis=0)) ** 2).sum() + spread
    assert frechet(a, b) == pytest.approx(wanted, rel=1e-3)
    assert frechet(a, a) == pytest.approx(0, abs=1e-6 * (a**2).sum())


def ecdf(sample, at):
    return (sample[None] <= at[:, None]).mean(axis=1)


@given(st.integers(0, 2**32), st.integers(1, 20), st.integers(1, 20), st.sampled_from([1, 8]))
@settings(deadline=None, max_examples=40)
def test_score_distance_by_its_definition_with_ties(seed, n, m, digits):
    rng = np.random.default_rng(seed)
    a, b = rng.random((n, 2)).round(digits), rng.random((m, 2)).round(digits)
    at = np.concatenate([a, b])
    wanted = [np.abs(ecdf(a[:, c], at[:, c]) - ecdf(b[:, c], at[:, c])).max() for c in range(2)]
    np.testing.assert_allclose(kolmogorov_smirnov(a, b), wanted, atol=1e-12)


def test_verdicts(tmp_path, rng):
    sites = {"same": heard(rng, 600), "near": heard(rng, 600, 0.15), "別": heard(rng, 600, 3), "few": heard(rng, 7)}
    drift, _ = compare(tmp_path, sites, reference(rng))
    distance = drift[drift["measure"] == DISTANCE].set_index("site")
    assert distance["verdict"].to_dict() == {"same": LIKE, "near": SOMEWHAT, "別": UNLIKE, "few": UNKNOWN}
    scores = drift[drift["measure"] == SCORE].groupby("site")["verdict"].agg(set)
    assert LIKE not in scores["別"]
    assert list(distance["n"]) == [len(sites[site].scores) for site in distance.index]


def test_sites_that_differ_in_validation_make_more_usual(rng):
    """Where the model was chosen on sites that differ, a site that differs as much is not unlike."""
    plain, windows = reference(rng, 480, ("S1", "S2")), heard(rng, 600, 1.0)
    apart = np.where(plain.site == "S2", 1.0, 0.0)[:, None]
    varied = Reference(**{**vars(plain), "embeddings": (plain.embeddings + apart).astype(np.float16)})

    def verdict(known):
        return module._drift(known, {"new": windows}, CLASSES)["verdict"].iloc[0]

    assert (verdict(plain), verdict(varied)) == (UNLIKE, SOMEWHAT)


def test_verdict_does_not_depend_on_the_number_of_windows(rng):
    """Distances of small samples are larger, for usual ones as well."""
    yardstick = Yardstick(heard(rng, 400), np.array([f"r{i // 4}" for i in range(400)]))
    for n in (FEWEST, 50, 2000):
        drift = yardstick.drift(heard(rng, n), "new")
        found, usual = (np.mean([each.features for each in side]) for side in drift)
        assert 0.6 < found / usual < 1.6


@pytest.mark.parametrize(("level", "verdict"), [(-7.0, LIKE), (-4.0, SOMEWHAT), (-10.0, SOMEWHAT)])
def test_levels_are_told_in_decibels(tmp_path, rng, level, verdict):
    drift, _ = compare(tmp_path, {"A": heard(rng, 24)}, reference(rng), level)
    row = drift[drift["measure"] == LEVEL].iloc[0]
    assert row["verdict"] == verdict
    assert row["value"] == pytest.approx((level + 7) * 4.343, abs=0.4)
    assert row["usual_low"] < 0 < row["usual_high"]


def test_shares_count_windows_that_reach_the_threshold(tmp_path, rng):
    sites = {"A": heard(rng, 30), "": heard(rng, 20)}
    known = reference(rng)
    _, shares = compare(tmp_path, sites, known)
    for site, windows in sites.items():
        mine = shares[shares["site"] == site]
        assert mine["class"].tolist() == list(CLASSES)
        assert mine["n_detected"].tolist() == (windows.scores.astype(np.float32) >= 0.4).sum(axis=0).tolist()
        assert set(mine["n_windows"]) == {len(windows.scores)}
        np.testing.assert_allclose(mine["validation_share"], (known.scores >= 0.4).mean(axis=0), rtol=1e-5)
        assert mine["training_share"].tolist() == [0.1, 0.2, 0.3]


def test_samples_are_windows_of_their_site(tmp_path, rng, monkeypatch):
    """Scores and embeddings of a sample are of the same windows, and every window can be drawn."""
    marked = {site: heard(rng, 60) for site in "AB"}
    for i, windows in enumerate(marked.values()):
        windows.scores[:, 0] = i / 2 + rng.permutation(60) / 256
        windows.embeddings[:, 0] = windows.scores[:, 0]
    seen = {}
    monkeypatch.setattr(module, "_drift", lambda known, windows, classes: seen.update(windows) or pd.DataFrame())
    compare(tmp_path, marked, reference(rng))
    for i, site in enumerate("AB"):
        mark = seen[site].scores[:, 0]
        np.testing.assert_array_equal(mark, seen[site].embeddings[:, 0])
        assert sorted(mark) == [np.float32(i / 2 + k / 256) for k in range(60)]


def test_without_a_reference_shares_are_told_and_nothing_is_compared(tmp_path, rng):
    drift, shares = compare(tmp_path, {"A": heard(rng, 40)}, Reference.absent("no data", len(CLASSES)))
    assert set(drift["verdict"]) == {UNKNOWN}
    assert drift["value"].isna().all()
    assert shares["share"].notna().all()
    assert shares[["validation_share", "training_share"]].isna().all(axis=None)


def test_the_same_season_gives_the_same_tables(tmp_path, rng):
    sites, known = {"A": heard(rng, 40), "B": heard(rng, 40)}, reference(rng)
    files = []
    for name in "xy":
        (tmp_path / name).mkdir()
        compare(tmp_path / name, sites, known)
        files.append((tmp_path / name / "drift.csv").read_bytes())
    assert files[0] == files[1]


def test_a_season_without_any_window(tmp_path, rng):
    drift, shares = compare(tmp_path, {}, reference(rng))
    assert drift.empty
    assert shares.empty
