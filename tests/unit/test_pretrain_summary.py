"""Summary tables from the folders of pre-trainings."""

from fake_runs import corpus_facts, write_pretraining
from tymbal.evaluate.tables import read_table, write_table
from tymbal.pretrain.summary import CORPORA, CURVES, CURVES_END, PRETRAINING, PRETRAINING_END, collect


def test_a_row_a_pre_training_with_the_losses_of_the_kept_check(tmp_path):
    runs, corpora = write_pretraining(tmp_path, "tiny", 2, n_short=7)
    tables = collect(runs, corpora)
    table = tables["pretraining"].set_index("corpus")
    assert len(table) == 2
    for run, folder in runs:
        history = read_table(folder / "history.csv")
        kept = history[history["best"] == 1].iloc[0]
        row = table.loc[run.corpus]
        assert (row["ssl"], row["seed"], row["objective"], row["init"], row["start"]) == (
            "tiny",
            0,
            "joint",
            "scratch",
            "",
        )
        assert row["best_check"] == kept["check"]
        assert row["checks"] == len(history) == 30
        assert row["kept_by"] == "val_loss"
        for column in ("val_loss", "val_nce", "val_accuracy", "val_mse", "val_spread", "val_spread_patches"):
            assert row[column] == kept[column]
        assert (row["n_masked"], row["n_patches"], row["steps"], row["n_short"]) == (48, 62, 3000, 7)
    assert len(tables["pretext_curves"]) == 60
    losses = ["loss", "nce", "accuracy", "mse"]
    columns = [
        *CURVES,
        *(f"train_{name}" for name in losses),
        *(f"val_{name}" for name in [*losses, "spread", "spread_patches"]),
    ]
    assert tables["pretext_curves"].columns.tolist() == [*columns, *CURVES_END]


def test_losses_that_a_task_lacks_are_empty_cells(tmp_path):
    """SSAST's and SSLAM's in one table."""
    runs, corpora = [], {}
    for objective in ("joint", "discriminative", "stage1", "stage2"):
        made = write_pretraining(tmp_path / objective, objective, 1, objective)
        runs, corpora = runs + made[0], corpora | made[1]
    for name, table in collect(runs, corpora).items():
        write_table(table, tmp_path / f"{name}.csv")
    table = read_table(tmp_path / "pretraining.csv").set_index("ssl")
    assert table["objective"].to_dict() == {ssl: ssl for ssl in ("joint", "discriminative", "stage1", "stage2")}
    assert table["kept_by"].tolist() == ["val_loss", "val_loss", "round", "round"]
    assert table["best_check"].tolist()[2:] == [30, 30]
    curves = read_table(tmp_path / "pretext_curves.csv")
    for has in (table.notna(), curves.groupby("ssl").count() > 0):
        assert has["val_loss"].all()
        assert has.index[has["val_mse"]].tolist() == ["joint"]
        assert sorted(has.index[has["val_nce"]]) == ["discriminative", "joint"]
        assert has.index[has["val_local"]].tolist() == ["stage1"]
        assert has.index[has["val_local_retention"]].tolist() == ["stage2"]
        assert sorted(has.index[has["val_prediction_std"]]) == ["stage1", "stage2"]


def test_corpora_have_a_row_a_data_set_with_what_was_left_out(tmp_path):
    tables = collect(*write_pretraining(tmp_path, "tiny", 2))
    columns = ["corpus", "held_out", "dataset", "n_clips", "n_train", "excluded_test_part", "excluded_same_recording"]
    assert tables["corpora"][columns].to_numpy().tolist() == [
        ["mixed-without-esc-fold1", "esc:1", "esc", 200, 146, 41, 3],
        ["mixed-without-esc-fold1", "esc:1", "field", 30_000, 28_500, 0, 0],
        ["mixed-without-esc-fold2", "esc:2", "esc", 200, 145, 42, 3],
        ["mixed-without-esc-fold2", "esc:2", "field", 30_000, 28_500, 0, 0],
    ]


def test_transductive_goes_from_one_pre_training_to_the_next(tmp_path):
    first, corpora = write_pretraining(tmp_path, "first", 1, transductive=True)
    facts = corpus_facts(1, transductive=True)
    second, of_second = write_pretraining(tmp_path, "second", 1, init={"ssl": "first", "seed": 0}, before=facts)
    third, _ = write_pretraining(tmp_path, "third", 1)
    tables = collect([*first, *second, *third], corpora | of_second)
    table = tables["pretraining"].set_index("ssl")
    assert table["transductive"].to_dict() == {"first": 1, "second": 1, "third": 0}
    assert table.loc["second", ["init", "start"]].tolist() == ["ssl", "first"]
    own = tables["corpora"].groupby("corpus")["transductive"].max()
    assert own.to_dict() == {"everything": 1, "mixed-without-esc-fold1": 0}


def test_without_pre_training_there_are_the_columns_alone():
    tables = collect([], {})
    assert {name: table.columns.tolist() for name, table in tables.items()} == {
        "pretraining": [*PRETRAINING, *PRETRAINING_END],
        "pretext_curves": [*CURVES, *CURVES_END],
        "corpora": CORPORA,
    }
    assert all(table.empty for table in tables.values())
