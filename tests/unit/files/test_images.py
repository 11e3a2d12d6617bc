from __future__ import annotations

from collections.abc import Callable
from io import BytesIO
from typing import Any

import pytest
from PIL import Image, ImageChops, ImageCms

from .conftest import FIXTURES, Run

RED, GREEN, BLUE, WHITE = (255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 255)
FORMATS = ["jpeg", "png", "webp", "avif", "tiff"]
Process = Callable[..., Run]


def corners(image: Any) -> list[tuple[int, ...]]:
    """The colours in the middle of each quarter, row by row."""
    width, height = image.size
    across, down = (width // 4, width * 3 // 4), (height // 4, height * 3 // 4)
    return [image.convert("RGB").getpixel((x, y)) for y in down for x in across]


def assert_quadrants(image: Any) -> None:
    for seen, meant in zip(corners(image), [RED, GREEN, BLUE, WHITE], strict=True):
        assert all(abs(a - b) < 30 for a, b in zip(seen, meant, strict=True)), (seen, meant)


def photograph(format: str, size: tuple[int, int] = (600, 400), **options: Any) -> bytes:
    """A picture with detail everywhere, so that bytes depend on quality and size."""
    noise = Image.effect_noise((size[0] // 4, size[1] // 4), 80).resize(size)
    image = Image.merge("RGB", (noise, noise.transpose(Image.Transpose.FLIP_LEFT_RIGHT), noise))
    buffer = BytesIO()
    image.save(buffer, format, **options)
    return buffer.getvalue()


@pytest.mark.parametrize("name", ["turned.jpg", "palette.gif", "bitmap.bmp", "cmyk.jpg"])
@pytest.mark.parametrize("format", FORMATS)
def test_an_image_becomes_any_format_and_stays_upright(
    process: Process, name: str, format: str
) -> None:
    """Whatever the layout or the camera's orientation, the picture looks the same afterwards."""
    run = process(name, convert={"format": format, "quality": 95})

    image = run.image()
    assert image.format == format.upper()
    assert image.size == (64, 48)
    assert_quadrants(image)
    assert run.result.artifacts[0].content_type == f"image/{format}"
    assert run.result.artifacts[0].name.endswith(f".{format}")


@pytest.mark.parametrize("format", FORMATS)
def test_every_format_is_read_as_it_is_written(process: Process, format: str) -> None:
    """What one conversion made, another turns back into the same pixels."""
    there = process("quadrants.png", convert={"format": format, "quality": 95}).content

    back = process(f"there.{format}", there, validate=True, convert={"format": "png"})

    assert back.result.content_type == f"image/{format}"
    assert_quadrants(Image.open(BytesIO(back.content)))


@pytest.mark.parametrize(
    "operation",
    [{"convert": {"format": "jpeg"}}, {"thumbnail": True}, {"compress": {"max_side": 32}}],
)
def test_outputs_tell_nothing_of_the_camera(process: Process, operation: dict[str, Any]) -> None:
    """Neither EXIF with its place nor comments follow into an output."""
    run = process("turned.jpg", **operation)

    assert dict(run.image().getexif()) == {}
    assert b"Acme" not in run.content
    assert b"secret" not in run.content


def test_lossless_formats_keep_every_pixel(process: Process) -> None:
    """PNG to TIFF and to PNG again changes nothing."""
    content = photograph("PNG")
    tiff = process("photo.png", content, convert={"format": "tiff"}).content

    png = process("photo.tiff", tiff, convert={"format": "png"}).image()

    assert ImageChops.difference(png, Image.open(BytesIO(content))).getbbox() is None


@pytest.mark.parametrize(
    ("format", "meant"), [("png", (0, 0)), ("webp", (0, 0)), ("avif", (0, 0)), ("jpeg", (255, 255))]
)
def test_transparency_stays_or_becomes_white(
    process: Process, format: str, meant: tuple[int, int]
) -> None:
    """A format without transparency gets a white ground, not a black one."""
    image = process("clear.png", convert={"format": format}).image()

    if format == "jpeg":
        assert min(image.getpixel((56, 24))) > 250
    else:
        assert image.getpixel((56, 24))[3] == 0
        assert image.getpixel((8, 24))[3] == 255
    assert image.convert("RGB").getpixel((8, 24))[0] > 240


def test_sixteen_bits_are_scaled_not_clipped(process: Process) -> None:
    """A 16-bit gradient stays a gradient in a format of 8 bits."""
    image = process("grey16.png", convert={"format": "jpeg", "quality": 95}).image()

    greys = [image.getpixel((32, y)) for y in (0, 24, 47)]
    assert greys[0] < 10
    assert 118 < greys[1] < 140
    assert greys[2] > 245


def test_a_colour_profile_follows_where_it_still_fits(process: Process) -> None:
    """An RGB profile stays with RGB pixels."""
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    content = photograph("JPEG", icc_profile=profile)

    assert (
        process("a.jpg", content, convert={"format": "webp"}).image().info["icc_profile"] == profile
    )


def test_metadata_of_a_photograph_leaves_out_where_it_was_taken(process: Process) -> None:
    """Size as seen, mode, and EXIF; the place only if asked for."""
    found = process("turned.jpg", extract_metadata=True).metadata.image

    assert found is not None
    assert (found.width, found.height, found.mode, found.frames) == (64, 48, "RGB", 1)
    assert found.exif["Make"] == "Acme"
    assert found.exif["ExposureTime"] == 0.01
    assert found.gps is None
    assert "GPS" not in found.model_dump_json(exclude={"gps"}).upper()


def test_gps_is_told_when_asked_for(process: Process) -> None:
    """Degrees with a sign, and metres."""
    found = process("turned.jpg", extract_metadata={"gps": True}).metadata.image

    assert found is not None
    assert found.gps is not None
    assert (found.gps.latitude, found.gps.longitude, found.gps.altitude) == (52.5, -13.4, 34)


def test_metadata_of_an_animation_counts_its_frames(process: Process) -> None:
    """And its thumbnail shows the first."""
    run = process("moving.gif", validate=True, extract_metadata=True, thumbnail=True)

    assert run.metadata.image is not None
    assert run.metadata.image.frames == 2
    assert_quadrants(run.image())


def test_a_thumbnail_fits_and_keeps_its_shape(process: Process) -> None:
    """The longest side is as asked, the other follows, and the picture is the same."""
    content = photograph("JPEG", (1200, 800), quality=95)
    run = process("a.jpg", content, thumbnail={"max_side": 150, "format": "png"})

    image = run.image()
    assert image.size == (150, 100)
    meant = Image.open(BytesIO(content)).resize((150, 100), Image.Resampling.LANCZOS)
    difference = (
        ImageChops.difference(image, meant).convert("L").resize((1, 1), Image.Resampling.BOX)
    )
    assert difference.tobytes()[0] < 6


def test_a_thumbnail_is_never_larger_than_its_image(process: Process) -> None:
    """A small image isn't blown up."""
    assert process("turned.jpg", thumbnail={"max_side": 500}).image().size == (64, 48)


@pytest.mark.parametrize("format", ["JPEG", "WEBP", "AVIF"])
def test_compression_lowers_quality(process: Process, format: str) -> None:
    """Fewer bytes, the same size and nearly the same picture; the result has the share saved."""
    content = photograph(format, quality=98)
    run = process(f"a.{format.lower()}", content, compress={"quality": 40})

    (artifact,) = run.result.artifacts
    assert artifact.saved == pytest.approx(1 - len(run.content) / len(content), abs=1e-4)
    assert artifact.saved > 0.3
    assert run.image().size == (600, 400)


def test_compression_scales_to_a_longest_side(process: Process) -> None:
    """Also where the camera held the picture sideways."""
    image = process("turned.jpg", compress={"max_side": 32}).image()

    assert image.size == (32, 24)
    assert_quadrants(image)


@pytest.mark.parametrize("format", ["JPEG", "PNG", "WEBP"])
def test_compression_meets_a_target_size(process: Process, format: str) -> None:
    """Quality goes down first, then the picture's size; the shape stays."""
    content = photograph(format)
    target = len(content) // 12

    image_run = process(f"a.{format.lower()}", content, compress={"target_bytes": target})

    width, height = image_run.image().size
    assert target // 4 < len(image_run.content) <= target
    assert width / height == pytest.approx(1.5, abs=0.05)


def test_compression_takes_the_best_quality_that_fits(process: Process) -> None:
    """A target that a lower quality meets leaves the size alone."""
    content = photograph("JPEG", quality=95)
    run = process("a.jpg", content, compress={"quality": 95, "target_bytes": len(content) // 2})

    assert run.image().size == (600, 400)
    assert len(content) * 0.4 < len(run.content) <= len(content) // 2


def test_compression_never_makes_a_file_larger(process: Process) -> None:
    """An image that is small already comes back as it was."""
    content = photograph("JPEG", quality=20)
    run = process("a.jpg", content, compress={"quality": 95})

    assert run.content == content
    assert run.result.artifacts[0].saved == 0


def test_all_operations_work_together(process: Process) -> None:
    """One pass gives metadata and three artifacts, and tells how far it is."""
    run = process(
        "turned.jpg",
        validate=True,
        extract_metadata=True,
        compress={"quality": 30},
        convert={"format": "avif"},
        thumbnail={"max_side": 16},
    )

    assert run.result.validated
    assert run.metadata.size == run.result.size == (FIXTURES / "turned.jpg").stat().st_size
    assert [each.operation for each in run.result.artifacts] == ["compress", "convert", "thumbnail"]
    assert len({each.key for each in run.result.artifacts}) == 3
    assert run.context.steps == [
        (0, 5, "validate"),
        (1, 5, "extract_metadata"),
        (2, 5, "compress"),
        (3, 5, "convert"),
        (4, 5, "thumbnail"),
        (5, 5, "done"),
    ]


def test_a_jpeg_is_decoded_no_larger_than_needed(
    process: Process, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A thumbnail of a large photograph has libjpeg decode an eighth of each side."""
    from PIL import JpegImagePlugin

    loaded: list[tuple[int, int]] = []
    load = JpegImagePlugin.JpegImageFile.load

    def spy(self: Any) -> Any:
        loaded.append(self.size)
        return load(self)

    content = photograph("JPEG", (2400, 1600))
    monkeypatch.setattr(JpegImagePlugin.JpegImageFile, "load", spy)
    process("a.jpg", content, validate=True, thumbnail={"max_side": 128})

    assert set(loaded) == {(300, 200)}
