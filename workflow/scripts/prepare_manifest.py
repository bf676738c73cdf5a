"""Make the manifest of a data set."""

import logging
from pathlib import Path

from tymbal.smk import path_map, roots, step

if __name__ == "__main__":
    with step(snakemake):
        from tymbal.config.data import Clips
        from tymbal.files import write_json
        from tymbal.ingest.lookup import read_names
        from tymbal.ingest.manifest import write_manifest
        from tymbal.ingest.match import match
        from tymbal.ingest.measure import complete, read_measured
        from tymbal.ingest.prepare import assemble
        from tymbal.ingest.problems import require_none
        from tymbal.roots import locate
        from tymbal.tables import write_csv

        dataset, name = Clips(**snakemake.params.dataset), snakemake.wildcards.dataset
        folders = roots(snakemake)
        matched = match(dataset, name, folders, path_map(snakemake), read_names(Path(snakemake.input.files)))
        measured = complete(
            read_measured([Path(path) for path in snakemake.input.measured]),
            locate(matched.audio, folders),
            list(matched.records),
            dataset.features,
            snakemake.threads,
        )
        prepared = assemble(dataset, matched, measured)
        log = logging.getLogger(__name__)
        for key, value in (prepared.summary | prepared.summary["facts"]).items():
            if key not in ("facts", "warnings"):
                log.info("%s: %s", key, value)
        for warning in prepared.warnings:
            log.warning("%s", warning)
        require_none(f"data set {name}", prepared.problems)
        write_manifest(prepared.manifest, Path(snakemake.output.manifest))
        write_csv(prepared.quarantine, Path(snakemake.output.quarantine))
        write_json(Path(snakemake.output.ingest), prepared.summary)
