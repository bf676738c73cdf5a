"""Score the test clips of one fold."""

from pathlib import Path

from tymbal.smk import device, run_of, step

if __name__ == "__main__":
    with step(snakemake):
        from tymbal.config import Evaluation
        from tymbal.evaluate.scoring import Inputs, score_test

        files = snakemake.input
        score_test(
            Inputs(
                model=Path(files.model),
                card=Path(files.card),
                manifest=Path(files.manifest),
                folds=Path(files.folds),
                store=Path(files.store).parent,
            ),
            predictions=Path(snakemake.output.predictions),
            metrics=Path(snakemake.output.metrics),
            run=run_of(snakemake.wildcards),
            evaluation=Evaluation(**snakemake.params.evaluation),
            single_label=snakemake.params.single_label,
            device=device(snakemake),
        )
