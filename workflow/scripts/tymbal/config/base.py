"""What every block of settings shares: unknown keys refused, nothing changes after checking."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

Name = Annotated[str, Field(pattern=r"^[a-z0-9]+(-[a-z0-9]+)*$")]  # safe in paths, labels and job names
Positive = Annotated[int, Field(gt=0)]
Share = Annotated[float, Field(gt=0, lt=1)]
Seconds = Annotated[float, Field(gt=0)]


class Settings(BaseModel):
    """Base of every block of settings."""

    model_config = ConfigDict(extra="forbid", frozen=True)
