"""Fit mean and standard deviation on the training clips of a corpus."""

from pathlib import Path

from tymbal.smk import step

if __name__ == "__main__":
    with step(snakemake):
        from tymbal.fit_norm import fit_norm
        from tymbal.pretrain.corpus import joined_ids, read_corpus
        from tymbal.store import FeatureStore

        stores = [Path(index).parent for index in snakemake.input.stores]
        store = FeatureStore.joined(dict(zip(snakemake.params.datasets, stores, strict=True)))
        fit_norm(store, joined_ids(read_corpus(Path(snakemake.input.clips)), "train")).write(
            Path(snakemake.output.norm)
        )
