"""Choose thresholds and fit a calibration on the validation clips of one fold."""

from pathlib import Path

from tymbal.smk import device, run_of, step

if __name__ == "__main__":
    with step(snakemake):
        from tymbal.config import Evaluation
        from tymbal.evaluate.predicting import Inputs
        from tymbal.evaluate.validation import Outputs, calibrate

        files, made = snakemake.input, snakemake.output
        calibrate(
            Inputs(
                model=Path(files.model),
                card=Path(files.card),
                manifest=Path(files.manifest),
                folds=Path(files.folds),
                store=Path(files.store).parent,
            ),
            Outputs(
                predictions=Path(made.predictions),
                thresholds=Path(made.thresholds),
                calibration=Path(made.calibration),
            ),
            run_of(snakemake.wildcards),
            Evaluation(**snakemake.params.evaluation),
            device=device(snakemake),
        )
