"""Which question a score answers: what the split keeps apart, and what the clips themselves share."""

SAME_NIGHTS = "same places, same nights"
NIGHTS_UNKNOWN = "same places, nights not known"
OTHER_NIGHTS = "same places, other nights"
NEW_PLACES = "new places"
PLACES_UNKNOWN = "places not known"

# What the audit found of held-out clips, from what a score says least with to what it says most with.
FOUND = {
    PLACES_UNKNOWN: "The data do not tell of all clips where they were recorded, so nobody can say whether held-out "
    "clips are of new places. Give sites by the table or by `name_patterns` to know.",
    SAME_NIGHTS: "Some held-out clips are of the same site as training clips and of the same day, or less than half a "
    "day apart.",
    NIGHTS_UNKNOWN: "Held-out clips are of sites of which training clips are too; not all dates are known.",
    OTHER_NIGHTS: "Held-out clips are of sites of which training clips are too, but of other days, half a day or more "
    "apart.",
    NEW_PLACES: "No held-out clip is of a site of which a training clip is.",
}

_KEPT_APART = {
    "recording": "How well are new recordings classified, from sites that may be known? All clips of a recording are "
    "in one part, but other recordings of the same site, perhaps of the same night, may be among the training clips. "
    "A new site can be harder.",
    "site-day": "How well are recordings of a new day classified, from sites that may be known? All clips of a site "
    "and a day are in one part, but other days of the same site, also the next one, may be among the training clips. "
    "A new site can be harder.",
    "site-week": "How well are recordings of a new week classified, from sites that may be known? All clips of a site "
    "and a calendar week are in one part, but other weeks of the same site may be among the training clips. A new site "
    "can be harder.",
    "site": "How well are recordings of a new site classified? All clips of a site are in one part, so no test clip "
    "comes from a site that the model was trained on.",
}


def kept_apart(group: str) -> str:
    """What a score answers by what the split keeps together."""
    other = (
        f"How well are clips of a new {group} classified? All clips of a {group} are in one part, so no test clip "
        f"comes from a {group} that the model was trained on."
    )
    return _KEPT_APART.get(group, other)


def least(found: list[str]) -> str:
    """Of what was found in several folds, the one with which a score says least."""
    return min(found, key=list(FOUND).index)
