"""Learning curves: whether each of their points has seeds enough to tell a trend from chance."""

from collections import Counter, defaultdict

from tymbal.plan import Plan
from tymbal.validate.findings import Finding

FEWEST_SEEDS = 3


def seed_findings(plan: Plan) -> list[Finding]:
    """Points of learning curves, models that differ in `label_percent` alone, of which too few seeds are planned.

    Args:
        plan: the configuration and its runs.
    """
    families = plan.families
    curves: defaultdict[tuple[str, str], dict[str, int]] = defaultdict(dict)  # -> model -> percent
    for dataset, model in plan.pairs:
        curves[dataset, families[model]][model] = plan.config.models[model].train.label_percent
    findings = []
    for (dataset, family), percents in curves.items():
        seeds = {model: min(Counter(run.fold for run in plan.runs_of(dataset, model)).values()) for model in percents}
        few = tuple(
            f"model {model} ({percents[model]} %): {n}"
            for model, n in sorted(seeds.items(), key=lambda each: percents[each[0]])
            if n < FEWEST_SEEDS
        )
        if few and len(set(percents.values())) > 1:
            title = f"learning curve of {family}: points with fewer than {FEWEST_SEEDS} seeds"
            remedy = "plan three seeds or more (experiments.seeds): with fewer labels, scores vary more between seeds"
            findings.append(Finding("warning", f"data set {dataset}", title, few, remedy))
    return findings
