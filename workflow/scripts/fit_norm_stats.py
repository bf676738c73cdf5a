"""Fit mean and standard deviation on the training clips of one fold."""

from pathlib import Path

from tymbal.smk import step

if __name__ == "__main__":
    with step(snakemake):
        from tymbal.folds import clip_ids, read_folds
        from tymbal.norm import fit_norm
        from tymbal.store import FeatureStore

        train = clip_ids(read_folds(Path(snakemake.input.folds)), int(snakemake.wildcards.fold), "train")
        fit_norm(FeatureStore(Path(snakemake.input.store).parent), train).write(Path(snakemake.output.norm))
