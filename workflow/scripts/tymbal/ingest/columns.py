"""The columns that tag, long and multi-hot tables share: file, site, fold, and those kept for the manifest."""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from tymbal.config.data import LongSource, MultihotSource, TagSource
from tymbal.ingest.records import Row, clean, fold_of

NONE: Mapping[str, str] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Described:
    """What these columns tell of one row, as a `Record` has it."""

    file: str
    site: str
    fold: str
    columns: Mapping[str, str]


class Columns:
    """The names of these columns, cleaned as those of a table are."""

    def __init__(self, source: TagSource | LongSource | MultihotSource) -> None:
        self.file = clean(source.file_column)
        self.site = None if source.site_column is None else clean(source.site_column)
        self.fold = None if source.fold_column is None else clean(source.fold_column)
        self.further = {name: clean(name) for name in source.columns}
        self.rows = tuple(map(clean, source.rows))

    @property
    def required(self) -> dict[str, str]:
        """Column -> the setting that names it."""
        required = {self.file: "setting source.file_column"}
        if self.site is not None:
            required[self.site] = "setting source.site_column; null if the table has no sites"
        if self.fold is not None:
            required[self.fold] = "setting source.fold_column; null if the table has no folds"
        required |= dict.fromkeys(self.rows, "setting source.rows")
        return required | dict.fromkeys(self.further.values(), "setting source.columns")

    def read(self, row: Row, problems: list[str]) -> Described:
        """What the row tells; what is wrong with it is added to `problems`, one line each."""
        cells = row.cells
        if not cells[self.file]:
            problems.append(f"{row.where}, column {self.file}: no file name")
        fold = ""
        if self.fold is not None and cells[self.fold]:
            fold = fold_of(cells[self.fold]) or ""
            if not fold:
                problems.append(
                    f"{row.where}, column {self.fold}: {cells[self.fold]!r}, expected 1, 2, ... or train, val, test"
                )
        return Described(
            file=cells[self.file],
            site=cells[self.site] if self.site is not None else "",
            fold=fold,
            columns={name: cells[column] for name, column in self.further.items()} if self.further else NONE,
        )
