"""Public data sets and released checkpoints, from where the configuration says they can be had.

Makes folders of `data_root`, resources/checkpoints/released/ and results/<dataset>/download.json.
"""


rule download:
    """Get the planned data sets and checkpoints that are not there, on this machine. Nothing else downloads anything."""

    # Nothing is declared, neither what is read nor what is made: data are not to be removed when a setting changes.
    log:
        "logs/download.log",
    retries: 0
    localrule: True
    # Compute nodes and containers may have neither network nor the folder that is made.
    container:
        lambda wildcards: None
    message:
        "Download what is planned and not there"
    script:
        "../scripts/download.py"
