"""The IDX format of MNIST and its kin (LeCun, Cortes, Burges 1998): one array in a file, or gz."""

import gzip
import math
import struct
import zlib
from pathlib import Path
from typing import TYPE_CHECKING

from datamodules.errors import DataError

if TYPE_CHECKING:
    import numpy as np

UINT8 = 8  # the format's code of the type of the values
MOST_BYTES = 2**32  # of one array: seventy times MNIST's
PART = 2**24  # bytes that are read at a time
GZIP = b"\x1f\x8b"


class IdxFile:
    """An array of bytes in a file, packed by gzip or not.

    Args:
        path: the file.
        dimensions: how many dimensions the array has to have.

    Attributes:
        shape: of the array, as the header says.

    Raises:
        DataError: the header cannot be read, or is that of something else.
    """

    def __init__(self, path: Path, dimensions: int) -> None:
        self.path = path
        header = self._read(4 + 4 * dimensions)
        magic = bytes((0, 0, UINT8, dimensions))
        if header[:4] != magic:
            raise DataError(
                f"{path} begins with the bytes {header[:4].hex(' ')} and not with "
                f"{magic.hex(' ')}, so it is no idx file of {dimensions} dimensions: get it again."
            )
        if len(header) < 4 + 4 * dimensions:
            raise self._too_short(len(header), 4 + 4 * dimensions)
        self.shape: tuple[int, ...] = struct.unpack(f">{dimensions}I", header[4:])
        self._offset = len(header)

    def require_whole(self) -> None:
        """Refuse a file whose length says that it is not whole; unpacks nothing if it is."""
        with self.path.open("rb") as file:
            packed = file.read(2) == GZIP
            length = file.seek(0, 2)
            if packed and length >= 18:
                file.seek(-4, 2)
                length = int.from_bytes(file.read(4), "little")  # RFC 1952: of what is packed
        if length != self._wanted:
            self.array()

    def array(self) -> "np.ndarray":
        """All values, uint8.

        Raises:
            DataError: there are fewer than the header says, or the packing is damaged.
        """
        import numpy as np

        if self._wanted > MOST_BYTES:
            raise DataError(
                f"{self.path} promises {self._wanted:,} bytes in its header, which is more than "
                f"the {MOST_BYTES:,} that are read at once: it is damaged; get it again."
            )
        content = self._read(self._wanted + 1)  # to the end, where the packing has its checksum
        if len(content) < self._wanted:
            raise self._too_short(len(content), self._wanted)
        values = np.frombuffer(content, np.uint8, math.prod(self.shape), self._offset)
        return values.reshape(self.shape)

    @property
    def _wanted(self) -> int:
        return self._offset + math.prod(self.shape)

    def _read(self, size: int) -> bytes:
        try:
            with self.path.open("rb") as file:
                packed = file.read(2) == GZIP
            with gzip.open(self.path) if packed else self.path.open("rb") as file:
                content = bytearray()  # not `read(size)`, which takes so much memory at once
                while len(content) < size and (part := file.read(min(PART, size - len(content)))):
                    content += part
                return bytes(content)
        except (OSError, EOFError, zlib.error) as error:
            reason = getattr(error, "strerror", None) or error
            raise DataError(
                f"{self.path} cannot be read ({reason}): it is damaged or was not downloaded to "
                "its end; get it again."
            ) from None

    def _too_short(self, found: int, wanted: int) -> DataError:
        return DataError(
            f"{self.path} has {found:,} bytes where its header promises {wanted:,}: it was not "
            "downloaded to its end; get it again."
        )
