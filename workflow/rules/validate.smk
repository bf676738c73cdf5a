"""Everything that can be known before anything runs; `preflight` in the Snakefile asks for it before jobs are
submitted.

Makes results/validate/{report.html,report.json}.
"""


rule validate:
    """Check configuration, data, models and limits; tell all problems at once. Fails if something must be fixed."""

    # Nothing is declared, neither what is read nor what is made, so that it runs whenever it is asked for.
    log:
        "logs/validate.log",
    retries: 0
    localrule: True
    threads: CORES
    params:
        limits=lambda wildcards: {
            rule: training_limits(workflow, rule) for rule in TRAINING
        },
        log_is_shown=bool(workflow.output_settings.show_failed_logs),
    message:
        "Check configuration, data, models and limits"
    script:
        "../scripts/validate.py"
