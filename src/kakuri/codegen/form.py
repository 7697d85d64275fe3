"""How a project's weights reach its code, how much is done to hide them, and whether threads share its steps."""

from __future__ import annotations

from dataclasses import dataclass

PLAIN, STRIPPED, PERMUTED, SEALED, BY_PANEL = LEVELS = range(5)
WHAT = {
    PLAIN: "no model file, no library calls, no layer names",
    STRIPPED: "also no symbols, one function for all layers, sizes not in tables",
    PERMUTED: "also secret orders of channels, secret scales, arrays in a secret order",
    SEALED: "also weights sealed under a key, opened once at load",
    BY_PANEL: "also weights opened panel by panel, while they are used",
}


@dataclass(frozen=True)
class Form:
    """external: the weights are not in the binary. protect: the level; each has what the ones below it have.

    threads: shares that steps are cut into.
    """

    external: bool = False
    protect: int = PLAIN
    threads: int = 1

    @property
    def stripped(self) -> bool:
        return self.protect >= STRIPPED

    @property
    def permuted(self) -> bool:
        return self.protect >= PERMUTED

    @property
    def sealed(self) -> bool:
        """Whether the weights lie encrypted wherever they lie."""
        return self.protect >= SEALED

    @property
    def shared(self) -> bool:
        """Whether there is a function that has a pool of the caller's share the work."""
        return self.threads > 1

    @property
    def by_panel(self) -> bool:
        """Whether every call opens them as it goes."""
        return self.protect == BY_PANEL

    @property
    def opened_first(self) -> bool:
        """Whether a function of its own opens them once."""
        return self.protect == SEALED

    @property
    def takes_weights(self) -> bool:
        """Whether every call is handed weights in the clear."""
        return self.opened_first or (self.external and not self.sealed)
