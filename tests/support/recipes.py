"""The recipes of docs/simulator.md: their commands and files, for the tests that follow them."""

import re
import shlex

from tests.support.sources import ROOT

PAGE = ROOT / "docs" / "simulator.md"


def recipe(title: str) -> str:
    """The text of a recipe, up to the next heading."""
    text = PAGE.read_text(encoding="utf-8")
    found = re.search(rf"(?ms)^#+ Recipe: {re.escape(title)}\n(.*?)(?=^#+ |\Z)", _fenced(text))
    assert found is not None, f"there is no recipe '{title}'"
    return _unfenced(found[1])


def commands(title: str) -> list[list[str]]:
    """What follows `$ ocs` in its console blocks, line by line."""
    lines = "\n".join(blocks(title, "console")).replace("\\\n", " ").splitlines()
    return [shlex.split(line)[2:] for line in lines if line.startswith("$ ocs ")]


def blocks(title: str, language: str) -> list[str]:
    """Its blocks in this language."""
    return re.findall(rf"(?ms)^```{language}\n(.*?)^```$", recipe(title))


def _fenced(text: str) -> str:
    """Comments in blocks are no headings: their # is taken out of sight."""
    return re.sub(r"(?ms)^```.*?^```$", lambda block: block[0].replace("#", "\0"), text)


def _unfenced(text: str) -> str:
    return text.replace("\0", "#")
