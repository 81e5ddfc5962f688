"""pyproject.toml is the only place that says which version this is."""

import re
import tomllib
from pathlib import Path

from typer.testing import CliRunner

from gateway import cli
from gateway.version import VERSION
from tests.gateway.floor import Floor

ROOT = Path(__file__).parents[1]


def test_every_answer_gives_the_version_of_the_project() -> None:
    assert tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"] == VERSION, "run make install"
    session = Floor().session()
    assert session.ask("public/test") == {"version": VERSION}
    assert session.ask("public/hello", client_name="test", client_version="1") == {"version": VERSION}
    assert CliRunner().invoke(cli.app, ["--version"]).output == f"qiee {VERSION}\n"


def test_the_changelog_begins_with_the_version_of_the_project() -> None:
    headings = re.findall(r"^## (\S+)", (ROOT / "CHANGELOG.md").read_text(encoding="utf-8"), re.MULTILINE)
    assert headings[0] == VERSION
