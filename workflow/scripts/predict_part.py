"""Predict one part of the recordings of a season."""

from pathlib import Path

from tymbal.config import load
from tymbal.smk import device, season, step

if __name__ == "__main__":
    with step(snakemake):
        from tymbal.predict.model import Predictor
        from tymbal.predict.recordings import read_shard
        from tymbal.predict.shard import predict_part

        asked = season(snakemake)
        predict_part(
            read_shard(Path(snakemake.input.files)),
            asked.root,
            Predictor.load(asked.model, device(snakemake)),
            load(snakemake.config).predict,  # whole: params leave out what changes no result
            Path(snakemake.output.part),
        )
