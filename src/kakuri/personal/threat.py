"""Who sees what when a device learns personal data."""

from __future__ import annotations

from kakuri.trust.threats import Exposure, ThreatStatement

_DEVICE, _SERVER, _NETWORK = "device", "edge server", "network"

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
        Exposure("photos and recordings", _SERVER, "nothing", False),
        Exposure("photos and recordings", _NETWORK, "nothing", False),
        Exposure("personalised weights", _DEVICE, "encrypted under the device key", True),
        Exposure("personalised weights", _SERVER, "nothing", False),
        Exposure("personalised weights", _NETWORK, "nothing", False),
        Exposure("general data", _DEVICE, "the part handed down", True),
        Exposure("general data", _SERVER, "all of it", True),
        Exposure("general data", _NETWORK, "the package, in the clear unless encrypted", True),
    ),
)
