"""Pick what a page of a season lets one see and hear."""

from pathlib import Path

from tymbal.smk import season, step

if __name__ == "__main__":
    with step(snakemake):
        from tymbal.predict.make_sounds import Inputs, Outputs, pick_sounds
        from tymbal.runs import CALIBRATION, CARD

        asked, files, made = season(snakemake), snakemake.input, snakemake.output
        pick_sounds(
            asked.root,
            snakemake.params.channel,
            Inputs(
                Path(files.scores), Path(files.files), asked.thresholds, asked.model / CALIBRATION, asked.model / CARD
            ),
            Outputs(Path(made.table), Path(made.arrays)),
        )
