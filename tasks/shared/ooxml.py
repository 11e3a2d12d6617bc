"""The XML parts of an Office file, fed to handlers as a stream of events."""

from __future__ import annotations

import posixpath
import zipfile
from collections.abc import Callable, Iterator
from functools import lru_cache
from xml.parsers import expat

from tasks.shared import limits
from tasks.shared.faults import Fault

_CHUNK = 64 * limits.KIB

Start = Callable[[str, dict[str, str]], None]
End = Callable[[str], None]


def events(
    archive: zipfile.ZipFile,
    part: str,
    start: Start,
    end: End | None = None,
    data: Callable[[str], None] | None = None,
) -> Iterator[None]:
    """Feed an entry's XML to handlers, which get local names, and yield after each piece of it.

    Transitional and Strict Open XML differ in namespaces only, so names without them are enough.

    Raises:
        KeyError: there is no such entry.
        xml.parsers.expat.ExpatError: it isn't XML.
        PermanentError: the XML declares a DTD, which OOXML forbids (ECMA-376 Part 2, 8.1.4); or a
            single tag or text of it is larger than a genuine one.
    """

    def refuse(*_: object) -> None:
        raise Fault.DECOMPRESSION_BOMB.error(f"{part} declares a DTD, which may hold entity bombs.")

    parser = expat.ParserCreate(namespace_separator=" ")
    parser.StartDoctypeDeclHandler = refuse
    parser.StartElementHandler = lambda tag, attributes: start(_local(tag), attributes)
    if end is not None:
        parser.EndElementHandler = lambda tag: end(_local(tag))
    if data is not None:
        parser.buffer_text = True
        parser.CharacterDataHandler = data
    fed = 0
    with archive.open(part) as content:
        while chunk := content.read(_CHUNK):
            parser.Parse(chunk, False)
            fed += len(chunk)
            # Expat holds a tag until it ends.
            if fed - parser.CurrentByteIndex > limits.XML_TOKEN_BYTES:
                raise Fault.DECOMPRESSION_BOMB.error(f"{part} has a tag of many megabytes.")
            yield
    parser.Parse(b"", True)
    yield


def parse(
    archive: zipfile.ZipFile,
    part: str,
    start: Start,
    end: End | None = None,
    data: Callable[[str], None] | None = None,
) -> None:
    """Feed all of an entry's XML to handlers. It raises what ``events`` does."""
    for _ in events(archive, part, start, end, data):
        pass


def attribute(attributes: dict[str, str], name: str) -> str | None:
    """An attribute by its local name, in any namespace."""
    return next((value for key, value in attributes.items() if _local(key) == name), None)


def relations(archive: zipfile.ZipFile, part: str) -> dict[str, tuple[str, str]]:
    """Each relation of a part by its id: the last word of its type, and its target's entry.

    ECMA-376 Part 2, 9.3. The package's own relations are those of the part ``""``.
    """
    folder, name = posixpath.split(part)
    found: dict[str, tuple[str, str]] = {}

    def relation(tag: str, attributes: dict[str, str]) -> None:
        if tag == "Relationship" and attributes.get("TargetMode") != "External":
            target = posixpath.join("/", folder, attributes["Target"])
            kind = attributes.get("Type", "").rpartition("/")[2]
            found[attributes["Id"]] = (kind, posixpath.normpath(target).lstrip("/"))
            if len(found) > limits.ZIP_ENTRIES:
                raise Fault.DECOMPRESSION_BOMB.error(f"{part} has too many relations.")

    parse(archive, posixpath.join(folder, "_rels", f"{name}.rels"), relation)
    return found


@lru_cache(1024)
def _local(tag: str) -> str:
    return tag.rpartition(" ")[2]
