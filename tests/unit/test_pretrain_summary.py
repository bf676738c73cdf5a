"""Summary tables from the folders of pre-trainings."""

from fake_runs import corpus_facts, write_pretraining
from tymbal.evaluate.tables import read_table, write_table
from tymbal.pretrain.summary import CORPORA, CURVES, PRETRAINING, collect


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
        for column in ("val_loss", "val_nce", "val_accuracy", "val_mse", "val_spread"):
            assert row[column] == kept[column]
        assert (row["n_masked"], row["n_patches"], row["steps"], row["n_short"]) == (48, 62, 3000, 7)
    assert len(tables["pretext_curves"]) == 60
    assert tables["pretext_curves"].columns.tolist() == CURVES


def test_parts_that_an_objective_lacks_are_empty_cells(tmp_path):
    runs, corpora = write_pretraining(tmp_path, "told-apart", 1, "discriminative")
    for name, table in collect(runs, corpora).items():
        write_table(table, tmp_path / f"{name}.csv")
    assert read_table(tmp_path / "pretraining.csv")["val_mse"].isna().all()
    curves = read_table(tmp_path / "pretext_curves.csv")
    assert curves[["train_mse", "val_mse"]].isna().all(axis=None)
    assert curves[["train_nce", "val_accuracy"]].notna().all(axis=None)


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
        "pretraining": PRETRAINING,
        "pretext_curves": CURVES,
        "corpora": CORPORA,
    }
    assert all(table.empty for table in tables.values())
