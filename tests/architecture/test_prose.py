"""The pages are written in plain, short sentences."""

from __future__ import annotations

import ast
import io
import re
import tokenize
from pathlib import Path

import pytest

from tests.architecture.pages import PAGES, ROOT, prose, sentences

#: No sentence of a page has more words. Writers aim at 25.
MOST_WORDS = 35

#: A word that the house doesn't write, and the plain one.
BANNED = {
    r"(?:did|do|does|done) well": "succeed",
    r"(?:is|are|was|were) at a task": "run a task",
    r"(?:is|are) to go": "is surplus",
    r"anew": "again",
    r"for ever": "forever",
    r"hears? of": "is told",
    r"heard of": "last seen",
    r"beside": "alongside, next to",
    r"in vain": "without success",
    r"mend(?:s|ed|ing)?": "fix",
    r"made-up": "synthetic",
    r"whoever": "the caller, a worker",
    r"laptop": "local, this machine",
    r"(?:give|gives|gave|given|giving) back": "return, release",
    r"(?:put|puts|putting) off": "return after",
    r"(?:let|lets|letting) go": "release, free, unprotect",
}
_BANNED = re.compile(rf"\b(?:{'|'.join(BANNED)})\b", re.IGNORECASE)


MODULES = sorted(
    path
    for room in ("api", "bench", "celeriac", "docs", "infra", "tasks", "tests", "worker")
    for path in (ROOT / room).rglob("*.py")
    if path != Path(__file__)
)


def name_of(page: Path) -> str:
    return str(page.relative_to(ROOT))


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_no_page_uses_a_banned_word(page: Path) -> None:
    """Each of these words has a plainer one, which the table above names."""
    text = " ".join(prose(page).split())

    assert sorted({found[0].lower() for found in _BANNED.finditer(text)}) == []


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_no_sentence_is_too_long(page: Path) -> None:
    """A reader takes in a sentence at once; a longer one is two."""
    too_long = [each for each in sentences(page) if len(each.split()) > MOST_WORDS]

    assert too_long == []


@pytest.mark.parametrize("module", MODULES, ids=name_of)
def test_no_docstring_or_comment_uses_a_banned_word(module: Path) -> None:
    """Modules are written in the words of the pages."""
    assert banned_in(module) == []


def banned_in(module: Path) -> list[str]:
    """The banned words in a module's comments and docstrings, each with its line."""
    text = module.read_text("utf-8")
    tokens = tokenize.generate_tokens(io.StringIO(text).readline)
    lines = {token.start[0]: token.string for token in tokens if token.type == tokenize.COMMENT}
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
            first = node.lineno
            lines |= dict(enumerate(str(node.value.value).splitlines(), first))
    return [
        f"{number}: {found[0]}"
        for number, line in sorted(lines.items())
        for found in _BANNED.finditer(line)
    ]
