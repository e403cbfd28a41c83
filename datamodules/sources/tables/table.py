"""Images that a table lists with their classes, and with their splits where it says them."""

from functools import cached_property
from typing import Annotated, Any, ClassVar, Literal

from pydantic import BeforeValidator

from datamodules.schema import declared
from datamodules.sources.source import Index
from datamodules.sources.tables.table_reading import TableReading

ColumnName = Annotated[str | None, BeforeValidator(lambda v: v if v is None else str(v))]


@declared
class Table:
    """A table (CSV, TSV) of images and classes, one image a row.

    Columns are told by their names (path, file, image, id ...; label, class, target ...; split,
    set, subset ...) or, without a header, by their values. Paths are relative to the table or to
    the root, or absolute; what is not there is looked for below the root by the end of its path.

    Attributes:
        root: folder of the images and of the table, or the table itself.
        table: the table or a list of them, relative to the root; null finds them. Tables that are
            called `train.csv`, `val.csv` and so on are these splits.
        path_column: of the images; null finds it.
        label_column: of the classes; null finds it.
        split_column: of the splits; null finds it, and there may be none.
        missing: what becomes of listed images that are not there: refuse them, or skip them, which
            is counted.
    """

    place: ClassVar[str] = "data.source"
    is_made: ClassVar[bool] = True

    root: str
    table: Any = None
    path_column: ColumnName = None
    label_column: ColumnName = None
    split_column: ColumnName = None
    missing: Literal["refuse", "skip"] = "refuse"

    def check(self) -> tuple[str, ...]:
        """The class names; `DataError` for what tables and paths show."""
        return self._index.class_names

    def prepare(self) -> None:
        """Nothing to make: the images are the user's."""

    def read(self) -> Index:
        """Read the tables and find their images.

        Raises:
            DataError: a table cannot be understood, or an image is absent or listed in two ways.
        """
        return self._index

    @cached_property
    def _index(self) -> Index:
        reading = TableReading(
            root=self.root,
            table=self.table,
            path_column=self.path_column,
            label_column=self.label_column,
            split_column=self.split_column,
            missing=self.missing,
        )
        return reading.index()
