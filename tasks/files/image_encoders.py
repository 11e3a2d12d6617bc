"""Encoders: they prepare an image for a format, write it, and fit it into a number of bytes."""

from __future__ import annotations

import errno
import math
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from tasks.files import limits
from tasks.shared.faults import Fault

if TYPE_CHECKING:
    from PIL.Image import Image

# The pixel layouts that each format keeps; others become RGB(A) or grey.
_MODES = {
    "jpeg": ("L", "RGB"),
    "png": ("1", "L", "LA", "I;16", "P", "RGB", "RGBA"),
    "tiff": ("1", "L", "LA", "I;16", "P", "RGB", "RGBA", "CMYK"),
    "webp": ("RGB", "RGBA"),
    "avif": ("RGB", "RGBA"),
}
# Layouts in which a value between two pixels is meaningful, as scaling needs.
_SMOOTH = ("L", "LA", "RGB", "RGBA")
_LOSSY = ("jpeg", "webp", "avif")
_PROFILE_SPACES = {b"RGB ": ("P", "RGB", "RGBA"), b"GRAY": ("1", "L", "LA", "I;16")}
_PROFILE_SPACE = slice(16, 20)

# WebP's header has 14 bits for a side, AVIF's encoder and JPEG's header have 16.
_LONGEST_SIDE = {"webp": 16_383, "jpeg": 65_500, "avif": 65_536}

# Memory per pixel: Pillow's, and each encoder's on top of it, without and with transparency.
# Measured at 24 to 50 megapixels and rounded up.
_PILLOW_BYTES = 4
_ENCODER_BYTES = {"jpeg": (4, 4), "png": (4, 4), "tiff": (8, 8), "webp": (12, 24), "avif": (24, 32)}

_WORST_QUALITY = 10
_SMALLEST_SIDE = 16


@dataclass(frozen=True)
class Encoder:
    """Writes upright still images in one format, without EXIF; ICC profiles stay."""

    format: str
    options: dict[str, Any] = field(default_factory=dict)

    @property
    def lossy(self) -> bool:
        return self.format in _LOSSY

    def prepare(self, image: Image, *, smooth: bool = False) -> Image:
        """The image in a layout that the format takes, and, if ``smooth``, that can be scaled."""
        modes = [mode for mode in _MODES[self.format] if mode in _SMOOTH or not smooth]
        transparent = image.has_transparency_data
        # Not every format can keep a transparent colour outside an alpha channel.
        if image.mode in modes and not ("transparency" in image.info and image.mode != "P"):
            return image
        if image.mode.startswith("I;16"):
            # convert() would clip 16-bit values, so they are scaled to 8 bits first.
            return self.prepare(
                image.convert("I").point(lambda value: value * (1 / 256)).convert("L")
            )
        if image.mode in ("I", "F"):
            raise Fault.UNSUPPORTED_FORMAT.error(
                f"The image has 32 bits a channel, which have no known range in {self.format}."
            )
        if not transparent:
            grey = image.mode in ("1", "L") and "L" in modes
            return image.convert("L" if grey else "RGB")
        return image.convert("RGBA") if "RGBA" in modes else _on_white(image)

    def __call__(self, image: Image, target: Path | IO[bytes], quality: int) -> None:
        self._check_memory(image)
        longest = _LONGEST_SIDE.get(self.format)
        if longest is not None and max(image.size) > longest:
            raise Fault.TOO_MANY_PIXELS.error(
                f"{self.format} ends at {longest:,} pixels a side, and the image has "
                f"{max(image.size):,}."
            )
        # Pillow would copy comments and the like from here. Only the picture is kept.
        profile = image.info.get("icc_profile")
        image.info = {key: image.info[key] for key in ("transparency",) if key in image.info}
        options = dict(self.options)
        if self.lossy:
            options["quality"] = quality
        if profile:
            image.info["icc_profile"] = profile
            space = _PROFILE_SPACES.get(profile[_PROFILE_SPACE], ())
            options["icc_profile"] = profile if image.mode in space else None
        try:
            image.save(target, self.format.upper(), **options)
        except (ValueError, RuntimeError, OSError) as error:
            raise _encoder_fault(error, self.format) from error

    def _check_memory(self, image: Image) -> None:
        clear = image.has_transparency_data
        needed = 2 * _PILLOW_BYTES + _ENCODER_BYTES[self.format][clear]
        allowed = limits.IMAGE_MEMORY // needed
        if image.width * image.height > allowed:
            raise Fault.TOO_MANY_PIXELS.error(
                f"Here {self.format} takes {allowed:,} pixels of such an image, which has "
                f"{image.width * image.height:,}. Give a max_side."
            )


def encoder(format: str, *, thorough: bool = False) -> Encoder:
    """The encoder of a format. A ``thorough`` one spends more time to save bytes."""
    options: dict[str, dict[str, Any]] = {
        "jpeg": {"optimize": True},
        "png": {"optimize": thorough},
        "tiff": {"compression": "tiff_adobe_deflate"},
        "webp": {"method": 4},
        # Speed 6 is libavif's default and takes minutes for 50 megapixels on one core.
        "avif": {"speed": 8, "max_threads": 1},
    }
    return Encoder(format, options[format])


def fit_target(encode: Encoder, image: Image, quality: int, target: int) -> bytes:
    """The image at the best quality, then the largest size, that fits into ``target`` bytes.

    Raises:
        PermanentError: ``target-unreachable``.
    """
    from PIL import Image

    image = encode.prepare(image, smooth=True)
    while True:
        best, smallest = _best_quality(encode, image, quality, target)
        if best is not None:
            return best
        # The bytes grow roughly with the area. A tenth less reaches the target in few rounds.
        scale = min(0.9, 0.9 * math.sqrt(target / smallest))
        width, height = (max(1, int(side * scale)) for side in image.size)
        if max(width, height) < _SMALLEST_SIDE:
            raise Fault.TARGET_UNREACHABLE.error(
                f"Even {image.width} by {image.height} pixels take {smallest:,} bytes as "
                f"{encode.format}; {target:,} were asked for."
            )
        profile = image.info.get("icc_profile")
        image = image.resize((width, height), Image.Resampling.LANCZOS, reducing_gap=2.0)
        if profile:
            image.info["icc_profile"] = profile


def _best_quality(
    encode: Encoder, image: Image, quality: int, target: int
) -> tuple[bytes | None, int]:
    """The bytes at the best quality that fits, if any, and the size at the worst quality."""
    content = _encoded(encode, image, quality)
    if len(content) <= target or not encode.lossy or quality <= _WORST_QUALITY:
        return (content if len(content) <= target else None), len(content)
    worst = _encoded(encode, image, _WORST_QUALITY)
    if len(worst) > target:
        return None, len(worst)
    low, high, best = _WORST_QUALITY, quality, worst
    while high - low > 1:
        middle = (low + high) // 2
        content = _encoded(encode, image, middle)
        if len(content) <= target:
            low, best = middle, content
        else:
            high = middle
    return best, len(worst)


def _encoded(encode: Encoder, image: Image, quality: int) -> bytes:
    buffer = BytesIO()
    encode(image, buffer, quality)
    return buffer.getvalue()


def _on_white(image: Image) -> Image:
    from PIL import Image

    clear = image.convert("RGBA")
    white = Image.new("RGB", clear.size, "white")
    white.paste(clear, mask=clear.getchannel("A"))
    if "icc_profile" in image.info:
        white.info["icc_profile"] = image.info["icc_profile"]
    return white


def _encoder_fault(error: Exception, format: str) -> Exception:
    """The fault behind an encoder's error: no memory, or too large an output."""
    # libwebp's WebPEncodingError 1 and 2; encode.h
    if str(error) in ("encoding error 1", "encoding error 2"):
        return Fault.TOO_MUCH_MEMORY.error(f"Encoding as {format} ran out of memory.")
    if isinstance(error, OSError) and error.errno == errno.EFBIG:
        return Fault.OUTPUT_TOO_LARGE.error(f"The {format} passed {limits.OUTPUT_BYTES:,} bytes.")
    return error
