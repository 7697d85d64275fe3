"""The code in README.md runs, and README.ja.md shows the same."""

from __future__ import annotations

import re
from pathlib import Path

from kakuri.trust import ENCRYPTED_INFERENCE, who_sees_what

ROOT = Path(__file__).parents[2]
README, JAPANESE = (ROOT / name for name in ("README.md", "README.ja.md"))


def blocks(path: Path, language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", path.read_text(encoding="utf-8"), re.DOTALL)


def without_comments(code: str) -> list[str]:
    return [line.split("#")[0].rstrip() for line in code.splitlines()]


def test_python_blocks_run(capsys):
    for code in blocks(README, "python"):
        exec(compile(code, "README.md", "exec"), {})
    assert capsys.readouterr().out.splitlines()[-1] == "7 7"  # the first test image of MNIST is a seven


def test_japanese_readme_shows_the_same_code():
    for language in ("python", "sh"):
        english, japanese = ([without_comments(b) for b in blocks(path, language)] for path in (README, JAPANESE))
        assert english == japanese


def test_table_is_the_one_in_the_threat_statement():
    assert who_sees_what([ENCRYPTED_INFERENCE]).to_markdown() in README.read_text(encoding="utf-8")
