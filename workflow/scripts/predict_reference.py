"""Predict the validation clips of the model that is put to work."""

from pathlib import Path

from tymbal.smk import device, season, step

if __name__ == "__main__":
    with step(snakemake):
        from tymbal.predict.make_reference import make_reference

        make_reference(season(snakemake).model, device(snakemake), Path(snakemake.output.reference))
