"""Whether results were made with the settings of now."""

from collections.abc import Iterator, Mapping
from typing import Any

from pydantic import ValidationError

from tymbal.config.base import Settings
from tymbal.config.pretrain import WITHOUT_EFFECT

IGNORED = {f"train.{name}" for name in WITHOUT_EFFECT}


def changed(recorded: Mapping[str, Any], wanted: Settings) -> str:
    """What differs between the settings that something was made with and those of now.

    Args:
        recorded: as `run.json` holds them. A key that is not in it counts as its default.
        wanted: of now.

    Returns:
        Such as `train.epochs 1, not 50`; empty where nothing differs.
    """
    try:
        found = type(wanted).model_validate(dict(recorded))
    except ValidationError:
        return "settings of another version"
    return "; ".join(_differences("", found.model_dump(mode="json"), wanted.model_dump(mode="json")))


def _differences(key: str, found: Any, wanted: Any) -> Iterator[str]:
    if isinstance(found, dict) and isinstance(wanted, dict) and found.keys() == wanted.keys():
        for name in found:
            yield from _differences(f"{key}.{name}" if key else name, found[name], wanted[name])
    elif found != wanted and key not in IGNORED:
        yield f"{key} {found}, not {wanted}"
