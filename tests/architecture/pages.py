"""The project's pages, and what is in them: code blocks, links, headings, tables."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from tasks.shared.faults import Fault

ROOT = Path(__file__).parents[2]
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])

_FENCE = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_LINK = re.compile(r"\[[^\]]+\]\(([^)\s]+)\)")
_BETWEEN_PARAGRAPHS = re.compile(r"\n\s*\n|\n(?=\s*(?:[-*]|\d+\.) )|^#+ .*$", re.MULTILINE)
_HEADING = re.compile(r"^#+ (.+)$", re.MULTILINE)


@dataclass(frozen=True)
class CodeBlock:
    """A fenced block; ``path`` is the file that its first line says to save it as."""

    page: Path
    language: str
    text: str

    @property
    def path(self) -> str | None:
        found = re.match(r"# (\S+\.py)\n", self.text)
        return found[1] if found else None


def code_blocks(language: str, page: Path | None = None) -> list[CodeBlock]:
    """The blocks of a language, in one page or in all."""
    return [
        CodeBlock(each, kind, text)
        for each in ([page] if page else PAGES)
        for kind, text in _FENCE.findall(each.read_text())
        if kind == language
    ]


def curls(page: Path | None = None) -> list[str]:
    """The curl commands that a page shows, or all pages."""
    return [
        command
        for block in code_blocks("sh", page)
        for command in re.findall(r"^curl (?:.*\\\n)*.*$", block.text, re.MULTILINE)
    ]


def prose(page: Path) -> str:
    """A page without its fenced blocks."""
    return _FENCE.sub("", page.read_text())


def links(page: Path) -> list[str]:
    """Where a page's links lead."""
    return _LINK.findall(prose(page))


def anchors(page: Path) -> set[str]:
    """What a link may name behind ``#`` in this page, made from its headings as GitHub does."""
    return {
        re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")
        for heading in _HEADING.findall(prose(page))
    }


def tables(page: Path) -> list[list[list[str]]]:
    """The tables of a page: each a list of rows without the heading, each row a list of cells."""
    found = re.findall(r"^\|.*\n\|[-|]+\|\n((?:\|.*\n)+)", page.read_text(), re.MULTILINE)
    return [
        [[cell.strip() for cell in row.strip("|").split(" | ")] for row in table.splitlines()]
        for table in found
    ]


def sentences(page: Path) -> list[str]:
    """A page's sentences, without headings, tables and code. A name in back-ticks is one word."""
    found: list[str] = []
    for paragraph in _BETWEEN_PARAGRAPHS.split(prose(page)):
        lines = [line for line in paragraph.splitlines() if not line.lstrip().startswith("|")]
        if not lines or lines[0].startswith("    "):
            continue
        text = re.sub(r"`[^`]+`", "x", " ".join(line.strip() for line in lines))
        text = re.sub(r"\[([^\]]+)\]\([^)\s]+\)", r"\1", text)
        found += re.split(r"(?<=[.!?])[)\"*]*\s+", text.strip().removeprefix("- "))
    return [sentence for sentence in found if sentence]


def raised_faults(*files: Path) -> list[Fault]:
    """The faults that these files of Python name, in the order of their declaration."""
    text = "\n".join(file.read_text("utf-8") for file in files)
    named = set(re.findall(r"\bFault\.([A-Z_]+)", text))
    return [fault for fault in Fault if fault.name in named]
