"""Workers that stand before a load."""

from __future__ import annotations

import shutil
from dataclasses import replace

import numpy as np
import pytest

import kakuri as kk
from kakuri.enclave.sealed import open_sealed
from kakuri.errors import KakuriError


def standing(backend) -> list[int]:
    return [session.process_id for session in backend._standing.values()]


def test_a_load_takes_the_worker_that_stands_and_the_next_one_starts_its_own(made):
    with kk.enclave.prepare(made.path, made.policy) as backend:
        (ready,) = standing(backend)
        with kk.enclave.load(made.path, made.policy, backend) as session:
            assert session.inner.process_id == ready
            assert standing(backend) == []
            assert np.abs(session.run({"input": made.inputs[:1]}).outputs[made.plan.facts.outputs[0]]).size > 0
        with kk.enclave.load(made.path, made.policy, backend) as session:
            assert session.inner.process_id != ready


def test_a_standing_worker_holds_no_weights_and_answers_nothing(made):
    with kk.enclave.prepare(made.path, made.policy) as backend:
        (session,) = backend._standing.values()
        with pytest.raises(KakuriError, match="no package is loaded"):
            session.attest(bytes(32))


def test_another_policy_or_another_file_starts_its_own(made, tmp_path):
    other_file = shutil.copy(made.path, tmp_path / "copy.kkr")
    with kk.enclave.prepare(made.path, made.policy) as backend:
        (ready,) = standing(backend)
        for path, policy in ((other_file, made.policy), (made.path, replace(made.policy, minimum_version=2))):
            with kk.enclave.load(path, policy, backend) as session:
                assert session.inner.process_id != ready
        assert standing(backend) == [ready]


def test_closing_the_backend_ends_what_stands(made):
    backend = kk.enclave.prepare(made.path, made.policy)
    (session,) = backend._standing.values()
    with open_sealed(made.path, made.signer.public) as package:
        backend.prepare(package, made.policy)  # once is enough
    assert standing(backend) == [session.process_id]
    backend.close()
    assert standing(backend) == []
    assert session.process_id == 0
