"""The one error type a user sees.

Purpose: every refusal carries a code, what happened, where, the value found, the limit, and a hint to act on.
Guarantees: ``KakuriError`` never holds key material or user data; several problems travel together in ``problems``.
Does not guarantee: that a message is safe to send across a trust boundary; errors that cross carry ``code`` only.

Codes are ``KK-<letter><two digits>``; the letter names the room:
A audit and attacks, C command line, D data, E encrypted plan and compile, F files (.kkr, keys, ciphertexts),
G code generation, K keys and parameters, M model, N native kernel, O offload, P personalisation, S sandbox, T trust,
W enclave, Z zoo and training.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass


class KakuriWarning(UserWarning):
    """Something a user should know that does not stop the work."""


@dataclass(frozen=True)
class Problem:
    """One refusal, as data.

    code: ``KK-M03`` and the like. what: a sentence without the value. where: node, file, tensor or option.
    got, limit: the value found and the one allowed, as text. hint: what the user can do.
    """

    code: str
    what: str
    where: str = ""
    got: str = ""
    limit: str = ""
    hint: str = ""

    def __str__(self) -> str:
        head = f"{self.code}: " + (f"{self.where}: " if self.where else "") + self.what
        numbers = ", ".join(f"{name} {value}" for name, value in (("got", self.got), ("limit", self.limit)) if value)
        return head + (f" ({numbers})" if numbers else "") + (f". hint: {self.hint}" if self.hint else "")

    def to_dict(self) -> dict[str, str]:
        return asdict(self)


class KakuriError(Exception):
    """A typed refusal; see the module head for its fields."""

    def __init__(
        self,
        code: str,
        what: str,
        *,
        where: object = "",
        got: object = "",
        limit: object = "",
        hint: str = "",
        problems: Sequence[Problem] = (),
    ) -> None:
        self.problem = Problem(code, what, str(where), str(got), str(limit), hint)
        self.problems: tuple[Problem, ...] = tuple(problems) or (self.problem,)
        super().__init__(str(self))

    @classmethod
    def collect(cls, problems: Sequence[Problem]) -> KakuriError:
        """Several problems as one error; the first one's code is the error's code."""
        first = problems[0]
        return cls(
            first.code,
            first.what,
            where=first.where,
            got=first.got,
            limit=first.limit,
            hint=first.hint,
            problems=problems,
        )

    @property
    def code(self) -> str:
        return self.problem.code

    def __str__(self) -> str:
        return "\n".join(str(problem) for problem in self.problems)

    def __reduce__(self) -> tuple[object, ...]:
        return (_rebuild, (self.problems,))


def _rebuild(problems: tuple[Problem, ...]) -> KakuriError:
    return KakuriError.collect(problems)
