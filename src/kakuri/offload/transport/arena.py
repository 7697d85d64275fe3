"""Shared memory that cannot shrink under its reader.

Purpose: one sealed memory file per direction, through which tensors travel without a copy in the kernel.
Guarantees: a received file is mapped only when it is sealed against shrinking and growing and within the limit, so that
the peer cannot make a later access fault; places outside are refused with KK-O20 before they are read.
Does not guarantee: that the peer leaves the values alone while they are read; readers copy once and look at the copy.
"""

from __future__ import annotations

import fcntl
import mmap
import os

import torch
from torch import Tensor

from kakuri.offload.transport.frames import Descriptor, refused

ALIGNMENT = 64
_SEALS = fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_SEAL


class Arena:
    """A mapped memory file of ``size_bytes``."""

    def __init__(self, descriptor: int, size_bytes: int) -> None:
        self.descriptor = descriptor
        self.size_bytes = size_bytes
        self._memory = mmap.mmap(descriptor, size_bytes)

    @classmethod
    def create(cls, size_bytes: int) -> Arena:
        descriptor = os.memfd_create("kakuri-offload", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
        os.ftruncate(descriptor, size_bytes)
        fcntl.fcntl(descriptor, fcntl.F_ADD_SEALS, _SEALS)
        return cls(descriptor, size_bytes)

    @classmethod
    def adopt(cls, descriptor: int, limit_bytes: int) -> Arena:
        """Maps a file that the peer made. Raises KK-O20 and closes it when it is not sealed or too large."""
        try:
            seals = fcntl.fcntl(descriptor, fcntl.F_GET_SEALS)
            size_bytes = os.fstat(descriptor).st_size
            if seals & _SEALS != _SEALS:
                raise refused("seals of the shared memory", seals, _SEALS)
            if not 0 < size_bytes <= limit_bytes:
                raise refused("bytes of the shared memory", size_bytes, limit_bytes)
            return cls(descriptor, size_bytes)
        except OSError as error:
            os.close(descriptor)
            raise refused("shared memory", error, "a sealed memory file") from None
        except BaseException:
            os.close(descriptor)
            raise

    def view(self, item: Descriptor) -> Tensor:
        """The tensor that ``item`` describes, in place. Raises KK-O20 when it does not lie inside."""
        if item.place % ALIGNMENT or item.place + item.nbytes > self.size_bytes:
            raise refused("place of a tensor", item.place, f"multiples of {ALIGNMENT} inside {self.size_bytes} bytes")
        if item.nbytes == 0:
            return torch.empty(item.shape, dtype=item.dtype)
        flat = torch.frombuffer(
            self._memory, dtype=item.dtype, count=item.nbytes // item.dtype.itemsize, offset=item.place
        )
        return flat.view(item.shape)

    def close(self) -> None:
        """Closes the file; the mapping ends with the last tensor that views it."""
        if self.descriptor >= 0:
            os.close(self.descriptor)
            self.descriptor = -1
