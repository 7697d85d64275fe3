"""The sensor's side of a resident session: ``kakuri run sensor.session INPUT...``.

Guarantees: inputs are sealed before they leave this process, and answers opened in it; what carries them sees neither.
"""

from __future__ import annotations

from pathlib import Path

from kakuri.cli.inputs import read_samples
from kakuri.cli.output import Output, facts
from kakuri.cli.run_enclave import answers
from kakuri.cli.run_targets import Target
from kakuri.enclave.sensor_session import Sensor
from kakuri.errors import KakuriError


def run_sensor(output: Output, file: Path, inputs: list[Path], target: Target) -> None:
    """One sealed exchange per sample."""
    sensor = Sensor(file)
    if len(sensor.entering) != 1:
        names = [item.name for item in sensor.entering]
        raise KakuriError("KK-D32", "this network has several inputs", got=names, hint="use Python")
    samples = read_samples(inputs, sensor.entering[0].shape[1:])
    scores = sensor.ask({sensor.entering[0].name: samples})[sensor.leaving[0].name]
    rows, labels = answers(scores.reshape(len(scores), -1), target)
    output.result({"answers": labels}, rows, "", facts({"inputs": "sealed to the session, never in the clear outside"}))
