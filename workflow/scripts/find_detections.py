"""Find what is detected in a season."""

from pathlib import Path

from tymbal.smk import season, step

if __name__ == "__main__":
    with step(snakemake):
        from tymbal.predict.detections import Outputs, find_detections
        from tymbal.runs import CALIBRATION, CARD

        asked, files, made = season(snakemake), snakemake.input, snakemake.output
        find_detections(
            Path(files.scores),
            Path(files.files),
            asked.thresholds,
            asked.model / CALIBRATION,
            asked.model / CARD,
            snakemake.params.channel,
            Outputs(Path(made.detections), Path(made.raven), Path(made.audacity), Path(made.activity)),
        )
