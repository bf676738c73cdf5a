"""Write down what is predicted and with which settings."""

from pathlib import Path

from tymbal.smk import season, step

if __name__ == "__main__":
    with step(snakemake):
        from tymbal.files import write_json

        write_json(
            Path(snakemake.output.record), {**season(snakemake).told(), "settings": dict(snakemake.params.settings)}
        )
