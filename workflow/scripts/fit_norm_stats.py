"""Fit mean and standard deviation on the training clips of one fold."""

from pathlib import Path

from tymbal.smk import step

if __name__ == "__main__":
    with step(snakemake):
        from tymbal.config.models import Statistics
        from tymbal.fit_norm import fit_norm
        from tymbal.folds import clip_ids, read_folds
        from tymbal.store import FeatureStore

        train = clip_ids(read_folds(Path(snakemake.input.folds)), int(snakemake.wildcards.fold), "train")
        fitted = fit_norm(FeatureStore(Path(snakemake.input.store).parent), train)
        # Here, before a training waits for a GPU.
        fitted.check_published({model: Statistics(**given) for model, given in snakemake.params.published.items()})
        fitted.write(Path(snakemake.output.norm))
