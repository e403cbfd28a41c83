"""Parquet and Arrow files as tables of columns: what pyarrow gives, and what `datasets` notes."""

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from datamodules.errors import DataError

ROWS = 256  # images that are held in memory
PARQUET = (".parquet", ".pq")


class ArrowFile:
    """One file; its image bytes are read when they are asked for.

    Attributes:
        path: the file.
        rows: how many it has.
        types: column -> its type in pyarrow.
        features: column -> what `datasets` noted of it, as `{"_type": "ClassLabel", ...}`.

    Raises:
        DataError: pyarrow is not installed, or the file is damaged.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        with _readable(path), self._opened() as file:
            schema = file.schema_arrow if self._is_parquet else file.schema
            self.rows: int = file.metadata.num_rows if self._is_parquet else _count(file)
        self.types = {field.name: field.type for field in schema}
        self.features = _features(schema.metadata or {})

    def batches(self, columns: Sequence[str]) -> Iterator[list[list[Any]]]:
        """The values of these columns as Python's own, at most `ROWS` rows at a time."""
        with _readable(self.path), self._opened() as file:
            for batch in self._record_batches(file, columns):
                if not self._is_parquet:  # its offsets are believed, wherever they lead
                    batch.select(list(columns)).validate(full=True)
                for start in range(0, batch.num_rows, ROWS):
                    part = batch.slice(start, ROWS)
                    yield [part.column(name).to_pylist() for name in columns]

    @property
    def _is_parquet(self) -> bool:
        return self.path.name.lower().endswith(PARQUET)

    @contextmanager
    def _opened(self) -> Iterator[Any]:
        import pyarrow as pa
        import pyarrow.parquet as pq

        if self._is_parquet:
            with pq.ParquetFile(self.path) as file:
                yield file
            return
        with pa.memory_map(str(self.path)) as source:
            try:
                reader = pa.ipc.open_stream(source)
            except pa.ArrowInvalid:  # the form of Arrow's files, not of its streams
                reader = pa.ipc.open_file(source)
            yield reader

    def _record_batches(self, file: Any, columns: Sequence[str]) -> Iterator[Any]:
        if self._is_parquet:
            yield from file.iter_batches(batch_size=ROWS, columns=list(columns))
        else:
            yield from _all(file)


def _all(reader: Any) -> Iterator[Any]:
    if hasattr(reader, "num_record_batches"):
        return (reader.get_batch(n) for n in range(reader.num_record_batches))
    return iter(reader)


def _count(reader: Any) -> int:
    return sum(batch.num_rows for batch in _all(reader))


def _features(metadata: dict[bytes, bytes]) -> dict[str, Any]:
    try:
        features = json.loads(metadata[b"huggingface"])["info"]["features"]
    except (KeyError, ValueError, TypeError, RecursionError):  # files of others have none
        return {}
    if not isinstance(features, dict):
        return {}
    return {name: noted for name, noted in features.items() if isinstance(noted, dict)}


@contextmanager
def _readable(path: Path) -> Iterator[None]:
    try:
        import pyarrow as pa
    except ImportError:
        raise DataError(
            f"{path} needs pyarrow to be read, which is not installed; install it with: "
            "pip install 'model-diet[huggingface]' (here: pip install '.[huggingface]')."
        ) from None
    try:
        yield
    except (OSError, pa.ArrowException, UnicodeDecodeError) as error:
        reason = " ".join(str(error).split())
        raise DataError(
            f"{path} cannot be read ({reason}): it is damaged or was not downloaded to its end; "
            "get it again."
        ) from None
