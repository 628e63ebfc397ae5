"""One zstd frame at a time: what pages are stored and sent as.

``zstandard`` keeps its tables between frames, which for pages of some KB is most of the cost; a context serves one
thread. Does not belong here: whole columns (``assets.published.encoding``).
"""

from __future__ import annotations

import threading

import zstandard


class _Contexts(threading.local):
    def __init__(self) -> None:
        self.compressor = zstandard.ZstdCompressor(level=1)
        self.decompressor = zstandard.ZstdDecompressor()


_OWN = _Contexts()


def compressed(data: bytes) -> bytes:
    """``data`` as one frame that carries its content size."""
    return _OWN.compressor.compress(data)


def decompressed(frame: bytes) -> bytes:
    """The bytes of a frame that carries its content size; ``b""`` stays empty. Raises ``ValueError`` otherwise."""
    if not frame:
        return b""
    try:
        return _OWN.decompressor.decompress(frame)
    except zstandard.ZstdError as error:
        raise ValueError(f"not a zstd frame: {error}") from error
