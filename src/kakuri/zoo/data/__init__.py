"""Data sets of the source documents.

Purpose: `load_mnist` and `load_cifar10`, from a folder, from ``KAKURI_DATA``, or downloaded once and verified.
Guarantees: malformed bytes end in a `KakuriError`, within fixed limits of memory; nothing is unpickled.
Does not guarantee: a licence; read `ImageDataset.provenance`.
"""

from __future__ import annotations

from kakuri.zoo.data.cifar10 import load_cifar10
from kakuri.zoo.data.dataset import ImageDataset
from kakuri.zoo.data.fetch import Download
from kakuri.zoo.data.mnist import load_mnist

__all__ = ["Download", "ImageDataset", "load_cifar10", "load_mnist"]
