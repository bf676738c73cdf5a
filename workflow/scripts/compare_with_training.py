"""Compare the sites of a season with what the model was trained and chosen on."""

from pathlib import Path

from tymbal.smk import season, step

if __name__ == "__main__":
    with step(snakemake):
        from tymbal.predict.drift import Outputs, compare_with_training

        files, made = snakemake.input, snakemake.output
        compare_with_training(
            Path(files.scores),
            Path(files.embeddings),
            Path(files.files),
            season(snakemake).thresholds,
            Path(files.reference),
            Outputs(Path(made.drift), Path(made.shares)),
        )
