"""Choose clips of a season to label next."""

from pathlib import Path

from tymbal.smk import season, step

if __name__ == "__main__":
    with step(snakemake):
        from tymbal.config.predict import Predict
        from tymbal.predict.label_next import Inputs, Outputs, pick_label_next
        from tymbal.runs import CALIBRATION

        asked, files = season(snakemake), snakemake.input
        pick_label_next(
            Inputs(
                Path(files.scores),
                Path(files.embeddings),
                Path(files.files),
                asked.thresholds,
                asked.model / CALIBRATION,
            ),
            asked.root,
            Predict(**snakemake.params.settings),
            Outputs(Path(snakemake.output.table), Path(snakemake.params.folder)),
        )
