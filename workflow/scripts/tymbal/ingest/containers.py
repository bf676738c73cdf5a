"""What an audio file says of its own end. libsndfile reads a file that was cut short as if it had been shorter.

Not to be known: whether an MP3 without a length in its first frame, or a file whose recorder never filled in the
length, once was longer.
"""

import os
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from typing import BinaryIO

N_CHUNKS = 1000  # looked at, at most
OGG_PAGE = 65307  # bytes of the largest one
LAST_PAGE = 4  # flag of a stream's last page
MP3_LENGTHS = (b"Xing", b"Info", b"VBRI")  # one of these, in the first frame, is followed by the length


@dataclass(frozen=True)
class Layout:
    """How a container consists of chunks, each of a name, a size and data.

    Attributes:
        first: position of the first chunk, bytes.
        name: of the chunk with the samples.
        size: of a chunk, as `struct` reads it.
        with_header: whether the size counts name and size too.
        align: chunks begin at multiples of this, bytes.
    """

    first: int
    name: bytes
    size: str
    with_header: bool = False
    align: int = 2


LAYOUTS: Mapping[bytes, Layout] = {
    b"RIFF": Layout(12, b"data", "<I"),
    b"RIFX": Layout(12, b"data", ">I"),
    b"RF64": Layout(12, b"data", "<I"),
    b"FORM": Layout(12, b"SSND", ">I"),
    b"caff": Layout(8, b"data", ">q", align=1),
    b"riff": Layout(40, bytes.fromhex("64617461f3acd3118cd100c04f8edb8a"), "<q", with_header=True, align=8),  # W64
}
UNKNOWN = {0, -1, 0xFFFFFFFF}  # sizes that a recorder or a pipe left open
RF64_DATA_SIZE = 28  # position in the file, as its first chunk must be ds64


def bytes_missing(file: BinaryIO) -> int:
    """How many bytes of samples a header tells that the file does not have; 0 if it does not tell."""
    size = os.fstat(file.fileno()).st_size
    end = _promised_end(file, size)
    return max(0, end - size)


def lacks_last_page(file: BinaryIO) -> bool:
    """Whether an OGG file ends before the last page of its stream does."""
    size = os.fstat(file.fileno()).st_size
    file.seek(max(0, size - OGG_PAGE))
    tail = file.read()
    page = tail[tail.rfind(b"OggS") :]
    if len(page) < 27 or not page.startswith(b"OggS"):
        return True
    lengths = page[27 : 27 + page[26]]
    return not page[5] & LAST_PAGE or len(page) < 27 + page[26] + sum(lengths)


def tells_length(file: BinaryIO) -> bool:
    """Whether the first frame of an MP3 holds the length. If not, libsndfile guesses it from that frame's bit rate."""
    file.seek(0)
    head = file.read(10)
    # Four times seven bits: the size of the tag before the first frame.
    tag = 10 + sum(byte << shift for byte, shift in zip(head[6:10], (21, 14, 7, 0), strict=False))
    file.seek(tag if head.startswith(b"ID3") else 0)
    first = file.read(2**11)
    return any(mark in first for mark in MP3_LENGTHS)


def _promised_end(file: BinaryIO, size: int) -> int:
    """Position after the last sample, as the header tells it; 0 if it does not."""
    file.seek(0)
    magic = file.read(4)
    if magic == b".snd":
        start, length = struct.unpack(">II", file.read(8).ljust(8, b"\0"))
        return 0 if length in UNKNOWN else start + length
    layout = LAYOUTS.get(magic)
    if layout is None:
        return 0
    header = len(layout.name) + struct.calcsize(layout.size)
    position = layout.first
    for _ in range(N_CHUNKS):
        if position + header > size:
            break
        file.seek(position)
        name = file.read(len(layout.name))
        [length] = struct.unpack(layout.size, file.read(header - len(name)))
        if name == layout.name:
            if magic == b"RF64" and length == 0xFFFFFFFF:
                file.seek(RF64_DATA_SIZE)
                [length] = struct.unpack("<Q", file.read(8).ljust(8, b"\0"))
            return 0 if length in UNKNOWN else position + length + (0 if layout.with_header else header)
        position += length + (0 if layout.with_header else header)
        position += -position % layout.align
        if length < 0:
            break
    return 0
