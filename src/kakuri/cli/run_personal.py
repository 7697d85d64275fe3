"""The device's side of a hand-off: ``kakuri run general.kkr PHOTOS/`` learns, with files it answers.

Guarantees: learning is confined (``kakuri.personal``); nothing is exported here.
"""

from __future__ import annotations

from pathlib import Path

from kakuri import personal
from kakuri.cli.output import Output, facts, table
from kakuri.cli.run_targets import Target
from kakuri.errors import KakuriError
from kakuri.units import bytes_text, percent_text


def run_personal(output: Output, package: Path, inputs: list[Path], target: Target) -> None:
    """A folder is learnt, files are answered; the publisher's .pub file comes along in the first run."""
    if target.path is not None:
        hint = "leave -o out; Personalizer.export in Python exports, and asks for a flag"
        raise KakuriError("KK-C04", "personalised models stay on the device", where=target.path, hint=hint)
    folders = [path for path in inputs if path.is_dir()]
    keys = [path for path in inputs if path.suffix == ".pub"]
    if folders and len(inputs) - len(keys) > 1:
        raise KakuriError("KK-C10", "give one folder to learn from, or files to answer", got=len(inputs))
    me = personal.open(package, keys[0] if keys else None)
    if folders:
        _learn(output, me, folders[0])
    else:
        _answer(output, me, [path for path in inputs if path not in keys])


def _learn(output: Output, me: personal.Personalizer, folder: Path) -> None:
    with output.progress("learning, confined") as step:
        outcome = me.fit(folder, notice=lambda share, text: step(text, share))
    done = "installed" if outcome.installed else "rolled back: the model before it stays"
    rows = {
        "result": done,
        "new": ", ".join(outcome.classes[len(me.general_classes) :]) or "none; known classes were adapted",
        "photos": outcome.photos,
        "general": f"{percent_text(outcome.guard_accuracy)} (before {percent_text(outcome.guard_accuracy_before)})",
        "false-personal": f"{percent_text(outcome.false_personal_rate)} of {outcome.guard_samples} held-out samples",
        "memory": bytes_text(outcome.peak_bytes),
        "confined by": str(outcome.confinement),
        "channel": f"at most {outcome.channel_bits} bits could come out of the training process",
    }
    output.result(outcome.to_dict(), facts(rows))


def _answer(output: Output, me: personal.Personalizer, files: list[Path]) -> None:
    rows = table("file", "class")
    answers = []
    for path in files:
        name = me.predict(path)[0]
        rows.add_row(str(path), name)
        answers.append({"file": str(path), "class": name})
    output.result({"answers": answers, "personalised": me.personalised}, rows)
