"""Keep a few test clips with their features for the report."""

from pathlib import Path

from tymbal.smk import step

if __name__ == "__main__":
    with step(snakemake):
        from tymbal.evaluate.examples import pick_examples
        from tymbal.runs import Run
        from tymbal.store import FeatureStore

        store = FeatureStore(Path(snakemake.input.store).parent)
        pick_examples(
            Path(Run(*snakemake.params.run).folder, "predictions.csv"),
            store.frames,
            store.state.frame_shift_ms / 1000,
            Path(snakemake.output.examples),
        )
