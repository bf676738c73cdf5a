"""Score the test clips of one fold."""

from pathlib import Path

from tymbal.smk import device, run_of, step

if __name__ == "__main__":
    with step(snakemake):
        from tymbal.config import Evaluation
        from tymbal.evaluate.predicting import Inputs
        from tymbal.evaluate.scoring import Outputs, score_test

        files, made = snakemake.input, snakemake.output
        score_test(
            Inputs(
                model=Path(files.model),
                card=Path(files.card),
                manifest=Path(files.manifest),
                folds=Path(files.folds),
                store=Path(files.store).parent,
            ),
            thresholds=Path(files.thresholds),
            calibration=Path(files.calibration),
            record=Path(files.record),
            outputs=Outputs(Path(made.predictions), Path(made.metrics), Path(made.draws)),
            run=run_of(snakemake.wildcards),
            evaluation=Evaluation(**snakemake.params.evaluation),
            single_label=snakemake.params.single_label,
            label_percent=snakemake.params.label_percent,
            device=device(snakemake),
        )
