"""Keep a few held-out clips of a corpus, as an encoder completes them, for the report."""

from pathlib import Path

from tymbal.smk import step

if __name__ == "__main__":
    with step(snakemake):
        from tymbal.config.pretrain import Pretraining
        from tymbal.pretrain.examples import pick_reconstructions
        from tymbal.store import FeatureStore

        files, params = snakemake.input, snakemake.params
        stores = {name: Path(index).parent for name, index in zip(params.datasets, files.stores, strict=True)}
        pick_reconstructions(
            Path(files.encoder),
            Path(files.clips),
            FeatureStore.joined(stores),
            Pretraining(**params.settings),
            int(snakemake.wildcards.seed),
            Path(snakemake.output.examples),
        )
