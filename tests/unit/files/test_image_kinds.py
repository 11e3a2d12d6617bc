"""Photographs as cameras make them, and outputs that tell nothing but the picture."""

from __future__ import annotations

import io
import struct
from collections.abc import Callable
from typing import Any

import pytest
from PIL import Image
from PIL.TiffImagePlugin import IFDRational

from celeriac.contract import PermanentError
from celeriac.contract.context import name_on_disk

from .conftest import Run

Process = Callable[..., Run]


def photo(format: str = "JPEG", quality: int = 10, **options: Any) -> bytes:
    """A small picture, twice as wide as high, with a place, a comment and a quarter turn."""
    exif = Image.Exif()
    exif[0x0112] = 6
    exif[0x010E] = "at home"
    gps = exif.get_ifd(0x8825)
    gps[1], gps[2] = "N", tuple(IFDRational(each) for each in (52, 30, 0))
    gps[3], gps[4] = "E", tuple(IFDRational(each) for each in (13, 22, 0))
    buffer = io.BytesIO()
    Image.effect_noise((200, 100), 90).convert("RGB").save(
        buffer, format, quality=quality, exif=exif, **options
    )
    return buffer.getvalue()


def plain(format: str, **options: Any) -> bytes:
    buffer = io.BytesIO()
    Image.effect_noise((200, 100), 90).convert("RGB").save(buffer, format, **options)
    return buffer.getvalue()


@pytest.mark.parametrize("format", ["jpeg", "webp", "png", "tiff", "avif"])
@pytest.mark.parametrize("options", [{}, {"target_bytes": 10_000_000}])
def test_a_compressed_image_tells_nothing_but_the_picture(
    process: Process, format: str, options: dict[str, int]
) -> None:
    """A place, a comment and an orientation never come back, even if nothing is saved."""
    content = photo(format.upper())

    run = process(f"a.{format}", content, compress={"quality": 100, **options})

    assert run.content != content
    assert dict(run.image().getexif().get_ifd(0x8825)) == {}
    assert run.image().getexif().get(0x010E) is None
    assert run.image().size == (100, 200)


@pytest.mark.parametrize(
    "hidden",
    [
        b"\xff\xfe\x00\x0cat my home",
        b"\xff\xe1\x00\x0chttp://ns.",
        b"\xff\xed\x00\x0cPhotoshop\0",
        b"\xff\xe2\x00\x0cMPF\0123456",
    ],
)
def test_a_small_jpeg_with_anything_more_is_written_again(process: Process, hidden: bytes) -> None:
    """A comment, XMP, IPTC or a list of more pictures: none of it is a part of the picture."""
    bare = plain("JPEG", quality=10)

    for content in (bare[:2] + hidden + bare[2:], bare + b"a film of the moment"):
        assert b"home" not in process("a.jpg", content, compress={"quality": 95}).content
        assert process("a.jpg", content, compress={"quality": 95}).content != content


@pytest.mark.parametrize("format", ["jpeg", "webp"])
def test_a_small_image_with_nothing_more_stays_as_it_is(process: Process, format: str) -> None:
    """If nothing is saved, and there is nothing to remove, the source is the result."""
    content = plain(format.upper(), quality=10)

    run = process(f"a.{format}", content, compress={"quality": 100})

    assert run.content == content
    assert run.result.artifacts[0].saved == 0


def several(content: bytes) -> bytes:
    """A photograph as cameras write it, with a second picture behind the first."""
    buffer = io.BytesIO()
    with Image.open(io.BytesIO(content)) as first:
        first.save(buffer, "MPO", save_all=True, append_images=[Image.new("RGB", (40, 20), "red")])
    return buffer.getvalue()


def test_the_first_of_a_cameras_pictures_is_the_photograph(process: Process) -> None:
    """A JPEG with a preview or a second view behind it is a JPEG, whole or cut behind the first."""
    content = several(plain("JPEG"))
    first_end = content.index(b"\xff\xd9") + 2

    for each in (content, content[: first_end + 30]):
        run = process(
            "a.jpg",
            each,
            validate=True,
            extract_metadata=True,
            convert={"format": "webp"},
        )
        assert run.metadata.content_type == "image/jpeg"
        assert run.metadata.image is not None
        assert run.metadata.image.frames == 1
        assert run.image().size == (200, 100)


def test_pages_are_called_pages(process: Process) -> None:
    """A TIFF of several pages is no animation."""
    buffer = io.BytesIO()
    page = Image.new("L", (20, 20))
    page.save(buffer, "TIFF", save_all=True, append_images=[page, page])

    with pytest.raises(PermanentError, match="3 pages") as raised:
        process("a.tiff", buffer.getvalue(), convert={"format": "png"})
    assert raised.value.type == "several-pages"
    assert process("a.tiff", buffer.getvalue(), thumbnail=True).result.artifacts


def test_a_big_tiff_is_a_tiff(process: Process) -> None:
    """The version of TIFF for more than 4 GiB is read like the other."""
    pixels = bytes(range(100))
    tags = [
        *((256, 3, 10), (257, 3, 10), (258, 3, 8), (259, 3, 1), (262, 3, 1)),
        *((273, 16, 16), (277, 3, 1), (278, 3, 10), (279, 16, 100)),
    ]
    directory = struct.pack("<Q", len(tags)) + b"".join(
        struct.pack("<HHQQ", tag, kind, 1, value) for tag, kind, value in tags
    )
    content = b"II" + struct.pack("<HHHQ", 43, 8, 0, 116) + pixels + directory + bytes(8)

    run = process("a.tif", content, validate=True, extract_metadata=True, convert={"format": "png"})

    assert run.metadata.content_type == "image/tiff"
    assert run.image().tobytes() == pixels
    with pytest.raises(PermanentError) as raised:
        process("a.tif", b"MM\0\x2b\0\x08\0\0" + bytes(100), validate=True)
    assert raised.value.type == "unsupported-format"


@pytest.mark.parametrize("brand", [b"heic", b"mif1", b"hevc"])
@pytest.mark.parametrize("operation", ["validate", "thumbnail"])
def test_a_telephones_own_format_gets_advice(
    process: Process, brand: bytes, operation: str
) -> None:
    """HEIC isn't read, and the detail says how to send the photograph instead."""
    content = b"\0\0\0\x18ftyp" + brand + b"\0\0\0\0" + brand + b"heic" + bytes(200)

    with pytest.raises(PermanentError, match="JPEG") as raised:
        process("a.heic", content, **{operation: True})
    assert raised.value.type == "unsupported-format"


@pytest.mark.parametrize("name", ["ж" * 120 + ".png", "名" * 80 + ".png", "a" * 250 + ".png"])
def test_a_long_name_makes_outputs_of_shorter_names(process: Process, name: str) -> None:
    """A name of 255 bytes leaves no room for a suffix, so the output's is shorter."""
    run = process(name, plain("PNG"), thumbnail=True, convert={"format": "jpeg"})

    assert all(len(each.name.encode()) < 200 for each in run.result.artifacts)


@pytest.mark.parametrize("key", ["files/1/" + "名" * 90, "files/1/..", "files/1/", "a" * 300])
def test_a_file_has_a_short_name_on_disk(key: str) -> None:
    """Programs that write next to a file find room for a suffix, whatever its sender calls it."""
    name = name_on_disk(key)

    assert 0 < len(name.encode()) <= 100
    assert name not in (".", "..")
    assert name_on_disk("files/1/" + "a" * 300 + ".csv").endswith("aaa.csv")
    assert name_on_disk("files/1/a.csv") == "a.csv"
