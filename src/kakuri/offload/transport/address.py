"""Addresses of workers: ``tls://host:port``, ``tls://[2001:db8::1]:port``."""

from __future__ import annotations

import re
import socket
from dataclasses import dataclass

_ADDRESS = re.compile(r"(?:tls://)?(?:\[([0-9A-Fa-f:.]{2,45})\]|([A-Za-z0-9._-]{1,253})):([0-9]{1,5})")


@dataclass(frozen=True)
class Address:
    host: str
    port: int

    @classmethod
    def parse(cls, text: str) -> Address | None:
        """None for anything else."""
        matched = _ADDRESS.fullmatch(text)
        if not matched or int(matched[3]) > 65535:
            return None
        return cls(matched[1] or matched[2], int(matched[3]))

    @property
    def family(self) -> socket.AddressFamily:
        return socket.AF_INET6 if ":" in self.host else socket.AF_INET

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"
