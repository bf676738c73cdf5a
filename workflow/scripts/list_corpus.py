"""List the clips to pre-train on."""

from pathlib import Path

from tymbal.smk import step

if __name__ == "__main__":
    with step(snakemake):
        from tymbal.config.pretrain import Corpus
        from tymbal.files import write_json
        from tymbal.pretrain.corpus import HeldOut, list_corpus
        from tymbal.tables import write_csv

        files, settings = snakemake.input, Corpus(**snakemake.params.corpus)
        sources = snakemake.params.sources
        names, manifests = (*settings.datasets, *sources.values()), (*files.manifests, *files.source_manifests)
        clips, facts = list_corpus(
            settings,
            dict(zip(names, map(Path, manifests), strict=True)),
            [
                HeldOut(dataset, fold, Path(manifest), Path(folds))
                for (dataset, fold), manifest, folds in zip(
                    snakemake.params.held_out, files.test_manifests, files.test_folds, strict=True
                )
            ],
            sources,
        )
        write_csv(clips, Path(snakemake.output.clips))
        write_json(Path(snakemake.output.facts), facts)
