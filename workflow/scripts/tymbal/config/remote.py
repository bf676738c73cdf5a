"""Files that others offer on the network: where they are, and what tells that they arrived whole."""

from pathlib import PurePosixPath
from typing import Annotated, Self
from urllib.parse import unquote, urlsplit

from pydantic import Field, model_validator

from tymbal.config.base import Positive, Settings


class Remote(Settings):
    """One file. With neither checksum what arrives cannot be verified, which every download tells."""

    url: Annotated[str, Field(pattern=r"^https?://[^/\s]+/\S+$")]
    """address"""
    file: Annotated[str, Field(pattern=r"^[^/\\.][^/\\]*$")] | None = None
    """name, also in a `mirror`; `null`: the last part of the address"""
    bytes: Positive | None = None
    """size, as published"""
    sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")] | None = None
    """checksum, as published, in hexadecimal; or give `md5`"""
    md5: Annotated[str, Field(pattern=r"^[0-9a-f]{32}$")] | None = None
    """the same, where only this one was published"""

    @property
    def name(self) -> str:
        """What the file is called."""
        return self.file or PurePosixPath(unquote(urlsplit(self.url).path)).name

    @model_validator(mode="after")
    def _one_checksum(self) -> Self:
        if self.sha256 and self.md5:
            raise ValueError("sha256 and md5 are given; keep sha256")
        if not self.name:
            raise ValueError(f"url {self.url!r} names no file; give `file`")
        return self
