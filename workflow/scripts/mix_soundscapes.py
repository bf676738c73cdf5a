"""Mix soundscapes from another data set's clips."""

from pathlib import Path

from tymbal.smk import roots, step

if __name__ == "__main__":
    with step(snakemake):
        from tymbal.config.data import MixtureSource
        from tymbal.folds import read_folds
        from tymbal.ingest.manifest import read_manifest
        from tymbal.mix import mix_soundscapes

        mix_soundscapes(
            MixtureSource(**snakemake.params.source),
            read_manifest(Path(snakemake.input.manifest)),
            read_folds(Path(snakemake.input.folds)),
            roots(snakemake),
            snakemake.params.channel,
            table=Path(snakemake.output.table),
            audio=Path(snakemake.output.audio),
        )
