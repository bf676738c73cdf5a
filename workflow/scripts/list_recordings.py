"""List the recordings of a season, in parts."""

from pathlib import Path

from tymbal.smk import roots, season, step

if __name__ == "__main__":
    with step(snakemake):
        from tymbal.config.predict import Predict
        from tymbal.predict.recordings import Outputs, find_recordings, list_recordings

        asked = season(snakemake)
        list_recordings(
            find_recordings(asked.recordings, asked.root, roots(snakemake)),
            asked.root,
            Predict(**snakemake.params.settings),
            Outputs(Path(snakemake.output.recordings), Path(snakemake.params.shards)),
            threads=snakemake.threads,
        )
