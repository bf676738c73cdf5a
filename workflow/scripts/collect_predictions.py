"""Bring the parts of a season together."""

from pathlib import Path

from tymbal.smk import step

if __name__ == "__main__":
    with step(snakemake):
        from tymbal.predict.collect import Outputs, collect

        collect(
            [Path(part) for part in snakemake.input.parts],
            Path(snakemake.input.recordings),
            Outputs(**{name: Path(path) for name, path in snakemake.output.items()}),
        )
