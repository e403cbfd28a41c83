"""Whether a JPEG is whole: all its scan data must be there, only its end marker may lack.

libjpeg takes an end marker for the end, wherever it stands, and leaves grey what lacks. So it is
given the scan data with a little padding in the place of the marker: of a whole file the decoder
gets through the last block, of a cut one it asks for more. The padding is as long as the decoder
looks ahead, and all ones, which is no code (ITU-T T.81, annex C): each block that lacks takes 34
bits of it. So a cut file is found as soon as two blocks of 8 x 8 lack.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from math import ceil
from typing import BinaryIO

from PIL import Image, ImageFile
from PIL.JpegImagePlugin import JpegImageFile

PADDING = b"\xff\x00" * 8  # 64 bits of 1
FILLING = bytes(8)  # no scan ends so, since its last byte is filled up with ones
# In scan data a 255 is followed by a 0 or by one of the eight markers between restart intervals.
MARKER = re.compile(rb"\xff+[^\x00\xd0-\xd7\xff]")
RESTART = re.compile(rb"\xff[\xd0-\xd7]")
SOI, EOI, SOS, DRI = 0xD8, 0xD9, 0xDA, 0xDD
BASELINE = 0xC0
BARE = (0x01, SOI, EOI)  # markers without content
FRAMES = {kind for kind in range(0xC0, 0xD0) if kind not in (0xC4, 0xC8, 0xCC)}
PROGRESSIVE = {0xC2, 0xC6, 0xCA, 0xCE}
ARITHMETIC = range(0xC9, 0xD0)  # their decoder cannot wait for more data
ARITHMETIC_FRAMES = (b"\xff\xc9", b"\xff\xca")  # of those that libjpeg knows
END = b"\xff\xd9"
BLOCK = 8  # pixels of its side
COEFFICIENTS = BLOCK * BLOCK

TRUNCATED = "image file is truncated: a part of its picture is not there"


@dataclass
class Scans:
    """The scans of a file.

    Attributes:
        kind: the marker of its frame.
        frame: what the frame says of its size and components.
        headers: what each scan says of its components, coefficients and bits.
        start: where the data of the last scan starts.
        stop: where it ends.
        ended: whether the end marker follows.
        interval: blocks, or groups of them, between two restart markers; 0: there are none.
    """

    kind: int = 0
    frame: bytes = b""
    headers: list[bytes] = field(default_factory=list)
    start: int = 0
    stop: int = 0
    ended: bool = False
    interval: int = 0

    @property
    def single(self) -> bool:
        """Whether the decoder makes the picture while it reads, so that it finds what lacks."""
        return len(self.headers) == 1 and self.kind not in PROGRESSIVE

    @property
    def components(self) -> dict[int, tuple[int, int]]:
        """Number of each component -> its horizontal and vertical sampling factor."""
        factors = zip(self.frame[6::3], self.frame[7::3], strict=False)
        return {number: (both >> 4, both & 15) for number, both in factors}

    def is_complete(self, data: bytes) -> bool:
        """Whether all coefficients of all components come, to the last bit, and all intervals."""
        lacking = dict.fromkeys(self.components, (1 << COEFFICIENTS) - 1)  # a bit for each
        for header in self.headers:
            if len(header) != 4 + 2 * sum(header[:1]):  # cut
                return False
            first, last, bits = header[-3:]
            if bits & 15 == 0:
                brought = (2 << last) - (1 << first)
                lacking.update({n: lacking.get(n, 0) & ~brought for n in _numbers(header)})
        restarts = len(RESTART.findall(data, self.start, self.stop)) if self.interval else 0
        return not any(lacking.values()) and restarts >= self._intervals() - 1

    def _intervals(self) -> int:
        """Of the last scan."""
        if not self.interval:
            return 1
        height, width = (int.from_bytes(self.frame[at : at + 2], "big") for at in (1, 3))
        across, down = (max(both) for both in zip(*self.components.values(), strict=True))
        numbers = _numbers(self.headers[-1])
        if len(numbers) == 1:  # its blocks, one by one
            own = self.components[numbers[0]]
            width, height = ceil(width * own[0] / across), ceil(height * own[1] / down)
            across = down = 1
        groups = ceil(width / (BLOCK * across)) * ceil(height / (BLOCK * down))
        return ceil(groups / self.interval)


def load_jpeg(image: JpegImageFile, file: BinaryIO) -> bool:
    """Decode an opened JPEG, at the scale of its draft.

    Args:
        image: as `Image.open` gave it, not yet loaded.
        file: that it was opened from.

    Returns:
        Whether the file has its end marker.

    Raises:
        OSError: scan data lacks, or is broken.
    """
    (tile,) = image.tile
    start = file.tell() - tile.offset
    file.seek(tile.offset)
    data = file.read()
    scans = _only_scan(data, start, image.layers) or find_scans(data)
    if scans.kind in ARITHMETIC or ImageFile.LOAD_TRUNCATED_IMAGES:
        file.seek(tile.offset)
        image.load()
        return True
    if not scans.single and not scans.is_complete(data):
        raise OSError(TRUNCATED)
    image.load_prepare()
    decoder = Image._getdecoder(image.mode, tile.codec_name, tile.args, image.decoderconfig)
    try:
        decoder.setimage(image.im, tile.extents)
        data = data[: _filled_from(data, scans.stop)] + PADDING
        used, error = decoder.decode(data)
        if not scans.single and used == len(data) and decoder.decode(b"\0")[0] == 1:
            # It looks for a marker, and skips whatever is none: in a block it would keep what is
            # not enough.
            used, error = decoder.decode(END)
    finally:
        decoder.cleanup()
    if error < 0:
        raise OSError("broken data stream when reading image file")
    if used >= 0:
        raise OSError(TRUNCATED)
    image.tile = []
    return scans.ended


def _filled_from(data: bytes, stop: int) -> int:
    """Where zeros begin that fill a file up to its wanted size: they would pass for blocks.

    One is left, which may belong to the data, as that after a 255 does.
    """
    filled = data[max(0, stop - len(FILLING)) : stop] == FILLING
    return len(data[:stop].rstrip(b"\0")) + 1 if filled else stop


def _only_scan(data: bytes, start: int, components: int) -> Scans | None:
    """What `find_scans` finds of nearly all files, which are baseline with one scan, faster.

    Args:
        data: the file.
        start: where the data of the first scan starts.
        components: of the picture.
    """
    size = 4 + 2 * components  # of the scan's header
    header = data[start - size : start]
    alone = header[:1] == bytes([components]) and header[-3:] == b"\0\x3f\0"
    stop = data.find(END, start)
    if not alone or stop < 0:
        return None
    markers = data.count(b"\xff", start, stop) - data.count(b"\xff\0", start, stop)
    if markers or any(data.find(frame, 0, start) >= 0 for frame in ARITHMETIC_FRAMES):
        return None
    return Scans(BASELINE, b"", [header], start, stop, ended=True)


def find_scans(data: bytes) -> Scans:
    """Where the scans of a file are, and what they say of themselves."""
    scans = Scans()
    stop = None  # of the last scan
    for start, kind, content in _segments(data):
        if scans.headers:
            stop = stop or start
            if kind in (EOI, SOI) or kind in FRAMES:
                scans.ended = kind == EOI
                break
        if kind == SOS:
            scans.headers.append(content)
            scans.start, stop = start + len(content) + 4, None
        elif kind in FRAMES:
            scans.kind, scans.frame = kind, content
        elif kind == DRI:
            scans.interval = int.from_bytes(content, "big")
    scans.stop = stop or len(data.rstrip(b"\xff"))
    return scans


def _segments(data: bytes) -> Iterator[tuple[int, int, bytes]]:
    """(where its marker is, kind, content) of each, from the second one on."""
    place = 2
    while (marker := MARKER.search(data, place)) is not None:
        start, place = marker.span()
        kind = data[place - 1]
        if kind in BARE:
            yield start, kind, b""
            continue
        stop = place + max(2, int.from_bytes(data[place : place + 2], "big"))
        yield start, kind, data[place + 2 : stop]
        place = stop


def _numbers(header: bytes) -> bytes:
    """The components of a scan."""
    return header[1 : 1 + 2 * header[0] : 2]
