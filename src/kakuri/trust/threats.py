"""Who sees what, who is trusted, and what nobody promises.

Purpose: one statement per protection, and the one table that README, ``plan`` and ``audit`` print.
Guarantees: the table is made from the statements alone, so that no two places can disagree.
Does not guarantee: that an implementation keeps its statement; ``kakuri.audit`` measures that.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from kakuri.strict_json import Json


@dataclass(frozen=True)
class Exposure:
    """One asset and one party: what the party holds of it (``form``), and whether the party can read it."""

    asset: str
    party: str
    form: str
    readable: bool

    def __str__(self) -> str:
        return self.form if self.form == "nothing" else ("yes: " if self.readable else "no: ") + self.form


@dataclass(frozen=True)
class ThreatStatement:
    """One protection's assumptions, in plain sentences.

    room: the protection. adversary: who is defended against, and how far they go. sees, does_not_see: what the
    adversary holds in the clear and what stays hidden. trusted_for: party and what it must do right. not_guaranteed:
    what a reader might assume and must not. exposures: the same for every party and asset, for the table.
    """

    room: str
    adversary: str
    sees: tuple[str, ...]
    does_not_see: tuple[str, ...]
    trusted_for: tuple[tuple[str, str], ...]
    not_guaranteed: tuple[str, ...]
    exposures: tuple[Exposure, ...] = ()

    def to_dict(self) -> dict[str, Json]:
        return {
            "room": self.room,
            "adversary": self.adversary,
            "sees": list(self.sees),
            "does_not_see": list(self.does_not_see),
            "trusted_for": [{"party": party, "for": what} for party, what in self.trusted_for],
            "not_guaranteed": list(self.not_guaranteed),
            "who_sees_what": [
                {"asset": item.asset, "party": item.party, "form": item.form, "readable": item.readable}
                for item in self.exposures
            ],
        }

    def __str__(self) -> str:
        parts = [f"{self.room}: against {self.adversary}"]
        trusted = tuple(f"{party}: {what}" for party, what in self.trusted_for)
        for title, lines in (
            ("sees", self.sees),
            ("does not see", self.does_not_see),
            ("trusted", trusted),
            ("not guaranteed", self.not_guaranteed),
        ):
            parts.append(f"  {title}")
            parts.extend(f"  - {line}" for line in lines)
        return "\n".join(parts)


@dataclass(frozen=True)
class VisibilityTable:
    """``cells[i][j]``: what ``parties[j]`` holds of ``assets[i]``; empty where nothing reaches the party."""

    assets: tuple[str, ...]
    parties: tuple[str, ...]
    cells: tuple[tuple[Exposure | None, ...], ...]

    def to_markdown(self) -> str:
        def row(cells: Sequence[str]) -> str:
            return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"

        head = [row(("", *self.parties)), row(("---",) * (len(self.parties) + 1))]
        body = [
            row((asset, *(str(cell) if cell else "nothing" for cell in cells)))
            for asset, cells in zip(self.assets, self.cells, strict=True)
        ]
        return "\n".join(head + body)


def who_sees_what(statements: Sequence[ThreatStatement]) -> VisibilityTable:
    """The table of all parties and assets that ``statements`` name, in the order in which they name them."""
    exposures = [item for statement in statements for item in statement.exposures]
    assets = tuple(dict.fromkeys(item.asset for item in exposures))
    parties = tuple(dict.fromkeys(item.party for item in exposures))
    at = {(item.asset, item.party): item for item in exposures}
    cells = tuple(tuple(at.get((asset, party)) for party in parties) for asset in assets)
    return VisibilityTable(assets, parties, cells)


_CLIENT, _SERVER, _NETWORK = "client", "inference server", "network"

ENCRYPTED_INFERENCE = ThreatStatement(
    room="encrypted",
    adversary="an honest-but-curious inference server (it may also answer wrongly) and anyone on the network",
    sees=(
        "the network's structure and weights, in the clear",
        "the evaluation keys, the encrypted queries and the encrypted answers",
        "how many queries come, when, how large they are, and how long each takes",
    ),
    does_not_see=("the image", "the scores and the label", "any value between the layers", "the secret key"),
    trusted_for=(
        ("client", "keeping the secret key file, and not publishing unrounded decrypted values"),
        ("the operating system of the client", "randomness and process isolation"),
        ("Ring-LWE at the stated ring and modulus", "128-bit security"),
    ),
    not_guaranteed=(
        "that the answer is right: the server can compute another network, or nothing",
        "authenticity of ciphertexts: use an authenticated transport",
        "secrecy of the network from its clients: answers allow extraction, and ciphertexts carry no circuit privacy",
        "security once raw decryption results are handed back to the server (IND-CPA-D): Kakuri rounds what it shows",
    ),
    exposures=(
        Exposure("image", _CLIENT, "the image", True),
        Exposure("image", _SERVER, "a ciphertext", False),
        Exposure("image", _NETWORK, "a ciphertext", False),
        Exposure("values between layers", _CLIENT, "nothing", False),
        Exposure("values between layers", _SERVER, "ciphertexts", False),
        Exposure("values between layers", _NETWORK, "nothing", False),
        Exposure("scores and label", _CLIENT, "the rounded scores", True),
        Exposure("scores and label", _SERVER, "a ciphertext", False),
        Exposure("scores and label", _NETWORK, "a ciphertext", False),
        Exposure("network weights", _CLIENT, "nothing directly, but answers allow extraction", False),
        Exposure("network weights", _SERVER, "the weights", True),
        Exposure("network weights", _NETWORK, "nothing", False),
        Exposure("secret key", _CLIENT, "the key", True),
        Exposure("secret key", _SERVER, "evaluation keys made from it", False),
        Exposure("secret key", _NETWORK, "evaluation keys made from it, once", False),
        Exposure("traffic pattern", _CLIENT, "its own", True),
        Exposure("traffic pattern", _SERVER, "times, sizes and counts of queries", True),
        Exposure("traffic pattern", _NETWORK, "times, sizes and counts of queries", True),
    ),
)

CODE_GENERATION = ThreatStatement(
    room="codegen",
    adversary="someone who extracts the app and looks for a model file or for an inference library's calls",
    sees=(
        "the binary: the machine code of every layer and the weights in the order in which the code reads them",
        "everything in memory while it runs, when they control the device",
    ),
    does_not_see=("a model file, layer names or an inference library to hook: there is none",),
    trusted_for=(("the compiler and the caller", "that the code which runs is the code which was generated"),),
    not_guaranteed=(
        "secrecy of the weights: they stand in the binary as plain numbers, at level 2 in a secret order of channels",
        "secrecy of the structure: loops and sizes can be read out of the machine code by a patient reader",
        "anything against a dump of the running process: that needs a TEE, see the enclave room",
    ),
    exposures=(
        Exposure("network weights", "owner of the device", "prepacked numbers in the binary", True),
        Exposure("network structure", "owner of the device", "machine code of each layer", True),
    ),
)

CODE_GENERATION_SEALED = ThreatStatement(
    room="codegen",
    adversary="someone who extracts the app, or the file of weights beside it, and does not run it with the key",
    sees=(
        "the binary: the machine code of every layer, its sizes, and the weights' ciphertext",
        "everything in memory while it runs, when they control the device: weights too, as they are opened",
    ),
    does_not_see=("the weights, without the key", "a model file, layer names or an inference library: there is none"),
    trusted_for=(
        ("whoever keeps the key", "that it does not lie in the app beside the weights"),
        ("the caller's cipher", "that it opens only what is authentic, and leaves nothing behind"),
        ("the compiler and the caller", "that the code which runs is the code which was generated"),
    ),
    not_guaranteed=(
        "anything against whoever watches the running process for a whole call: every weight passes through its "
        "memory, and at level 3 all of them stay there",
        "secrecy of the structure: loops and sizes can be read out of the machine code by a patient reader",
        "freshness: older weights that were sealed for the same code under the same key are accepted",
    ),
    exposures=(
        Exposure("network weights", "owner of the device", "ciphertext; plain in memory while it runs", True),
        Exposure("network structure", "owner of the device", "machine code of each layer", True),
    ),
)

_OWNER, _NORMAL_WORLD = "owner of the device", "other programs of the same user"

ENCLAVE = ThreatStatement(
    room="enclave",
    adversary="other programs on the device that try to read, swap or replace the inner layers' weights",
    sees=(
        "the outer layers, their weights, and every value that crosses the boundary",
        "names, shapes and sizes of the sealed tensors, and the machine code of the inner layers",
        "the answers, and how long each takes",
    ),
    does_not_see=(
        "the inner weights: sealed in the package, opened only in the backend's memory",
        "inputs that are sealed to the session, and answers to them",
    ),
    trusted_for=(
        ("the operating system's kernel", "isolation between processes: the process backend is a sandbox, not a TEE"),
        ("the signer", "what the package contains"),
        ("whoever keeps the minimum version", "raising it: without TPM or RPMB the device does not remember it"),
    ),
    not_guaranteed=(
        "secrecy from the device's owner or root: without a TPM or another user id the device key can be read",
        "secrecy of the model as a whole: answers and the boundary allow surrogate models; measure a cut before use",
        "side channels: caches, timing and power of the inner computation",
        "remote attestation: the process backend has no hardware root to sign with",
    ),
    exposures=(
        Exposure("inner weights", _OWNER, "the device key, and with it the weights", True),
        Exposure("inner weights", _NORMAL_WORLD, "ciphertext", False),
        Exposure("outer weights", _OWNER, "the weights", True),
        Exposure("outer weights", _NORMAL_WORLD, "the weights", True),
        Exposure("boundary values", _OWNER, "the values", True),
        Exposure("boundary values", _NORMAL_WORLD, "nothing, unless they compute the outer layers", False),
    ),
)


_DEVICE, _EDGE_SERVER = "device", "edge server"

PERSONALISATION = ThreatStatement(
    room="personal",
    adversary="an edge server and a network that want the device's personal data, and a library planted on the device "
    "that runs inside the training process",
    sees=("that the device fetched a package, and when", "the package, which the server made itself"),
    does_not_see=("the photos or recordings", "the personalised weights", "that training took place"),
    trusted_for=(
        ("the device's kernel", "Landlock, seccomp and namespaces"),
        ("the device's owner and root", "everything on the device: they hold the device key"),
        ("the publisher's signing key", "that the package is the server's"),
    ),
    not_guaranteed=(
        "secrecy of an exported model: its weights are personal data, so exporting needs an explicit flag",
        "secrecy against other processes of the same user outside the sandbox, which can read the photos anyway",
        "silence towards a cooperating process on the device that watches time, caches or memory use",
        "that a package from the right publisher is harmless to accuracy; the floor and the roll-back are for that",
        "erasure from a disk's spare blocks; forgetting destroys the key that the artefacts are encrypted under",
    ),
    exposures=(
        Exposure("photos and recordings", _DEVICE, "the files, read in place", True),
        Exposure("photos and recordings", _EDGE_SERVER, "nothing", False),
        Exposure("photos and recordings", _NETWORK, "nothing", False),
        Exposure("personalised weights", _DEVICE, "encrypted under the device key", True),
        Exposure("personalised weights", _EDGE_SERVER, "nothing", False),
        Exposure("personalised weights", _NETWORK, "nothing", False),
        Exposure("general data", _DEVICE, "the part handed down", True),
        Exposure("general data", _EDGE_SERVER, "all of it", True),
        Exposure("general data", _NETWORK, "the package, in the clear unless encrypted", True),
    ),
)
