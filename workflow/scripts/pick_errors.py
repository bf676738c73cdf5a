"""List the most confident disagreements of a model with the labels, and keep a few to look at and to listen to."""

from functools import partial
from pathlib import Path

from tymbal.smk import roots, step

if __name__ == "__main__":
    with step(snakemake):
        from tymbal.evaluate.disagreements import pick_errors
        from tymbal.evaluate.sounds import clip_sound
        from tymbal.runs import Run
        from tymbal.store import FeatureStore

        store = FeatureStore(Path(snakemake.input.store).parent)
        pick_errors(
            [Path(Run(*run).folder) for run in snakemake.params.runs],
            {name: snakemake.wildcards[name] for name in ("dataset", "model")},
            snakemake.params.target_rule,
            Path(snakemake.input.manifest),
            store.frames,
            store.state.frame_shift_ms / 1000,
            partial(clip_sound, roots=roots(snakemake), channel=snakemake.params.channel),
            table=Path(snakemake.output.table),
            arrays=Path(snakemake.output.arrays),
        )
