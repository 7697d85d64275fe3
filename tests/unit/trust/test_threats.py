"""The statements and the one table made from them."""

from __future__ import annotations

import json

from kakuri.trust import ENCRYPTED_INFERENCE, Exposure, ThreatStatement, who_sees_what


def test_the_table_covers_every_party_and_asset_of_encrypted_inference() -> None:
    table = who_sees_what([ENCRYPTED_INFERENCE])
    assert table.parties == ("client", "inference server", "network")
    assert all(cell is not None for row in table.cells for cell in row)
    readable = {(cell.asset, cell.party) for row in table.cells for cell in row if cell and cell.readable}
    for secret in ("image", "scores and label", "values between layers", "secret key"):
        assert (secret, "inference server") not in readable
        assert (secret, "network") not in readable
    assert ("network weights", "inference server") in readable
    assert ("traffic pattern", "network") in readable


def test_what_the_adversary_is_said_to_see_is_stated_on_both_sides() -> None:
    assert ENCRYPTED_INFERENCE.sees
    assert ENCRYPTED_INFERENCE.does_not_see
    assert "wrongly" in ENCRYPTED_INFERENCE.adversary
    assert any("answer is right" in line for line in ENCRYPTED_INFERENCE.not_guaranteed)


def test_several_statements_make_one_table_with_gaps_shown() -> None:
    one = ThreatStatement("a", "x", (), (), (), (), (Exposure("data", "cloud", "a ciphertext", False),))
    two = ThreatStatement("b", "y", (), (), (), (), (Exposure("weights", "device", "a|b", True),))
    table = who_sees_what([one, two])
    assert table.to_markdown().splitlines() == [
        "|  | cloud | device |",
        "| --- | --- | --- |",
        "| data | no: a ciphertext | nothing |",
        "| weights | nothing | yes: a\\|b |",
    ]


def test_statements_are_json_and_text() -> None:
    document = json.loads(json.dumps(ENCRYPTED_INFERENCE.to_dict()))
    assert document["trusted_for"][0]["party"] == "client"
    assert len(document["who_sees_what"]) == len(ENCRYPTED_INFERENCE.exposures)
    text = str(ENCRYPTED_INFERENCE)
    for line in ENCRYPTED_INFERENCE.sees + ENCRYPTED_INFERENCE.not_guaranteed:
        assert line in text
