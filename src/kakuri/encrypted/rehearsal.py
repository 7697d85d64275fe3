"""A client and a server for a package, with keys of their own.

Purpose: an audit of a package needs somebody who encrypts, and the package holds no secret key; so it is rehearsed: the
same network, program and parameters, with a fresh key pair.
Guarantees: same code and same formats as the package's own client and server; the package's keys are not touched.
Does not guarantee: anything about how the package's own keys were made or kept.
"""

from __future__ import annotations

import os
import secrets
from dataclasses import replace
from pathlib import Path

import onnx_ir as ir

from kakuri import _ckks_secret, model
from kakuri import package as packages
from kakuri.encrypted.client import Client
from kakuri.encrypted.deployment import Deployment
from kakuri.encrypted.server import ROOM, Recipe, Server
from kakuri.errors import KakuriError


def rehearse(path: str | os.PathLike[str], threads: int | None = None) -> tuple[Client, Server, ir.Model]:
    """A fresh client, a server that answers it, and the package's network. Raises as ``Server.load`` does."""
    with packages.open_package(Path(path)) as package:
        if package.room != ROOM:
            raise KakuriError("KK-F48", "the package is for another room", where=path, got=package.room, limit=ROOM)
        described = Deployment.from_json(package.read("deployment.json"))
        recipe = Recipe.from_dict(package.content.get("recipe"))
        net = model.from_bytes(package.read("model.onnx"))
    compiled = recipe.compile(net)
    secret = _ckks_secret.SecretKey.generate(described.parameters)
    keys = secret.evaluation_keys(compiled.program.rotations, compiled.program.relinearization_level)
    deployment = replace(described, key_id=secrets.token_hex(16))
    server = Server(deployment, net, recipe, keys, threads=threads, compiled=compiled)
    return Client(deployment, secret), server, net
