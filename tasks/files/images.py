"""Images: their metadata, and smaller, converted or thumbnail versions of them.

Only the decoders in ``PILLOW`` run, each on its own kind of content. A JPEG is decoded at the
smallest scale that the operations allow (``draft``), since libjpeg can skip most of the work.
"""

from __future__ import annotations

import struct
import warnings
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property
from typing import TYPE_CHECKING

from celeriac import PermanentError
from tasks.files import exif, limits
from tasks.files.image_encoders import Encoder, encoder, fit_target
from tasks.files.kinds import AVIF, BMP, GIF, JPEG, PNG, TIFF, WEBP
from tasks.files.metadata import FileMetadata, ImageMetadata
from tasks.files.operations import Compress, Convert, ExtractMetadata, Thumbnail, Validate
from tasks.files.pixels import holds_only_pixels
from tasks.files.source import Output, Source
from tasks.shared.faults import Fault

if TYPE_CHECKING:
    from PIL.Image import Exif, Image

PILLOW = {
    JPEG: "JPEG",
    PNG: "PNG",
    WEBP: "WEBP",
    AVIF: "AVIF",
    TIFF: "TIFF",
    GIF: "GIF",
    BMP: "BMP",
}

# Pillow's decoders raise these on broken content, by their code and by tests with cut files.
DECODER_ERRORS = (
    *(OSError, SyntaxError, ValueError, EOFError, IndexError, KeyError, TypeError),
    *(AttributeError, OverflowError, RuntimeError, AssertionError, struct.error, zlib.error),
)
_ENDS_EARLY = (
    "truncated",
    "truncation",
    "premature",
    "not enough",
    "unexpected end",
)

_BOX_HEADER = 8

# These orientations swap width and height: Exif 2.32, tag Orientation.
_QUARTER_TURNS = (5, 6, 7, 8)


class ImageSource(Source):
    """An image. It is opened, and its header checked against the limits, on first use."""

    max_bytes = limits.IMAGE_BYTES

    def decode(self, wanted: Validate) -> None:
        self._check_size(self._header.size, wanted.max_pixels or limits.IMAGE_PIXELS)
        frames = self._frames
        width, height = self._header.size
        if frames > limits.IMAGE_FRAMES or frames * width * height > limits.ALL_FRAMES_PIXELS:
            raise Fault.TOO_MANY_FRAMES.error(
                f"{self.name!r} has {frames:,} frames of {width:,} by {height:,} pixels; "
                f"{limits.IMAGE_FRAMES:,} frames and {limits.ALL_FRAMES_PIXELS:,} pixels "
                "are allowed."
            )
        if frames == 1:
            # The other operations need the same picture.
            _ = self._picture
            return
        with self._decoding(), self._opened() as image:
            for frame in range(frames):
                image.seek(frame)
                image.load()

    def describe(self, wanted: ExtractMetadata) -> FileMetadata:
        found = super().describe(wanted)
        frames = self._frames
        with self._decoding(), self._opened() as image:
            tags = image.getexif()
            width, height = _upright(image.size, tags)
            found.image = ImageMetadata(
                width=width,
                height=height,
                mode=image.mode,
                frames=frames,
                exif=exif.readable(tags),
                gps=exif.gps(tags) if wanted.gps else None,
            )
        return found

    def compress(self, wanted: Compress) -> Output:
        if self.kind in (GIF, BMP):
            raise Fault.UNSUPPORTED_OPERATION.error(
                f"{self.kind.name} compresses badly; convert it to webp or png instead."
            )
        self._refuse_frames("compressed")
        encode = encoder(PILLOW[self.kind].lower(), thorough=True)
        image = self._scaled(encode, wanted.max_side)
        path = self.output_path(self.kind.extensions[0], "-compressed")
        output = Output(path.name, path, self.kind.content_type)
        if wanted.target_bytes is None:
            encode(image, path, wanted.quality)
            # The caller asked for a smaller picture, even if that needs more bytes.
            return self.not_larger(output) if self._stays(image) else output
        if self.size <= wanted.target_bytes and self._stays(image):
            return Output(path.name, self.path, self.kind.content_type)
        path.write_bytes(fit_target(encode, image, wanted.quality, wanted.target_bytes))
        return output

    def convert(self, wanted: Convert) -> Output:
        if wanted.format not in {name.lower() for name in PILLOW.values()}:
            return super().convert(wanted)
        self._refuse_frames("converted")
        encode = encoder(wanted.format)
        path = self.output_path(wanted.format)
        encode(self._scaled(encode, wanted.max_side), path, wanted.quality)
        return Output(path.name, path, f"image/{wanted.format}")

    def thumbnail(self, wanted: Thumbnail) -> Output:
        encode = encoder(wanted.format)
        path = self.output_path(wanted.format, "-thumbnail")
        encode(self._scaled(encode, wanted.max_side), path, wanted.quality)
        return Output(path.name, path, f"image/{wanted.format}")

    def _stays(self, image: Image) -> bool:
        """Whether the source itself may stand for the output: of its size, and with nothing more.

        A source with a place, a comment or an orientation never does: outputs have none.
        """
        return image.size == self._full_size and holds_only_pixels(self.path, self.kind)

    @cached_property
    def _header(self) -> Image:
        with self._decoding():
            image = self._opened()
        self.closing.callback(image.close)
        self._check_size(image.size, limits.IMAGE_PIXELS)
        return image

    def _opened(self) -> Image:
        from PIL import Image, JpegImagePlugin

        if self.kind is JPEG:
            # Cameras put more pictures behind the first (MPO), which Image.open takes for frames.
            return JpegImagePlugin.JpegImageFile(self.path)
        return Image.open(self.path, formats=[PILLOW[self.kind]])

    @cached_property
    def _frames(self) -> int:
        with self._decoding():
            return int(getattr(self._header, "n_frames", 1))

    @cached_property
    def _picture(self) -> Image:
        """The first frame, decoded and upright, at least as large as the operations need."""
        from PIL import ImageOps

        _ = self._header
        side = self._side_needed()
        # Opened again and closed, so that only the upright copy stays in memory.
        with self._decoding(), self._opened() as image:
            if side is not None:
                # Twice the requested size leaves enough pixels for good scaling at the end.
                share = min(1.0, 2 * side / max(image.size))
                width, height = (max(1, int(length * share)) for length in image.size)
                image.draft(None, (width, height))
            image.load()
            return ImageOps.exif_transpose(image)

    @cached_property
    def _full_size(self) -> tuple[int, int]:
        """Width and height (px) of the upright picture at full scale."""
        if self.kind is not JPEG:
            return self._picture.size
        with self._decoding():
            return _upright(self._header.size, self._header.getexif())

    def _side_needed(self) -> int | None:
        """The longest side (px) that an operation needs; None if it needs all pixels."""
        longest = 1
        for wanted in self.operations:
            match wanted:
                case Convert(max_side=None) | Compress(max_side=None):
                    return None
                case Convert(max_side=side) | Compress(max_side=side) | Thumbnail(max_side=side):
                    longest = max(longest, side or 1)
        return longest

    def _scaled(self, encode: Encoder, max_side: int | None) -> Image:
        from PIL import Image

        image = self._picture
        longest = max(self._full_size)
        if max_side is None or max_side >= longest:
            return encode.prepare(image)
        width, height = (max(1, round(side * max_side / longest)) for side in self._full_size)
        return encode.prepare(image, smooth=True).resize(
            (width, height), Image.Resampling.LANCZOS, reducing_gap=2.0
        )

    def _refuse_frames(self, done: str) -> None:
        if self._frames == 1:
            return
        if self.kind is TIFF:
            raise Fault.SEVERAL_PAGES.error(
                f"{self.name!r} has {self._frames} pages and can't be {done}."
            )
        raise Fault.ANIMATED_IMAGE.error(
            f"{self.name!r} has {self._frames} frames and can't be {done}."
        )

    def _check_size(self, size: tuple[int, int], allowed: int) -> None:
        if (pixels := size[0] * size[1]) > allowed:
            raise self._too_large(f"{size[0]:,} by {size[1]:,}", pixels, allowed)

    def _too_large(self, said: str, pixels: int, allowed: int) -> PermanentError:
        detail = f"{self.name!r} has {said} pixels; {allowed:,} are allowed."
        if pixels > limits.IMAGE_PIXELS and pixels / self.size > limits.BOMB_PIXELS_PER_BYTE:
            return Fault.DECOMPRESSION_BOMB.error(
                f"{detail} It claims them in {self.size:,} bytes."
            )
        return Fault.TOO_MANY_PIXELS.error(detail)

    @contextmanager
    def _decoding(self) -> Iterator[None]:
        """Turn a decoder's errors into faults."""
        from PIL import Image

        try:
            # Pillow warns of content that it skips, and of sizes, which are checked here anyway.
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                yield
        except Image.DecompressionBombError as error:
            # Pillow has a limit of its own and raises this on opening, before the size is known.
            least = 2 * (Image.MAX_IMAGE_PIXELS or 0)
            raise self._too_large(f"over {least:,}", least, limits.IMAGE_PIXELS) from error
        except DECODER_ERRORS as error:
            said = str(error).lower()
            if "decompressed data too large" in said or "too much memory used in text" in said:
                raise Fault.DECOMPRESSION_BOMB.error(f"{self.name!r}: {error}.") from error
            if self._ends_early or any(word in said for word in _ENDS_EARLY):
                raise Fault.TRUNCATED_FILE.error(f"{self.name!r} ends early.") from error
            raise Fault.CORRUPT_FILE.error(
                f"{self.name!r} can't be decoded as {self.kind.name}."
            ) from error

    @property
    def _ends_early(self) -> bool:
        """Whether the file is shorter than its header says, or lacks its end mark."""
        with self.path.open("rb") as file:
            head = file.read(12)
            file.seek(max(0, self.size - 64))
            tail = file.read()
        if self.kind is WEBP:
            return int.from_bytes(head[4:8], "little") + 8 > self.size
        if self.kind is PNG:
            return b"IEND" not in tail
        if self.kind is BMP:
            return int.from_bytes(head[2:6], "little") > self.size
        return self.kind is AVIF and self._boxes_end() > self.size

    def _boxes_end(self) -> int:
        """The offset at which the boxes of an ISO base media file end: ISO/IEC 14496-12, 4.2."""
        position = 0
        with self.path.open("rb") as file:
            while position < self.size:
                file.seek(position)
                length = int.from_bytes(file.read(4), "big")
                # 0 reaches to the end of the file, 1 is followed by a longer length.
                if length < _BOX_HEADER:
                    return self.size
                position += length
        return position


def _upright(size: tuple[int, int], tags: Exif) -> tuple[int, int]:
    width, height = size
    return (height, width) if tags.get(exif.ORIENTATION) in _QUARTER_TURNS else size
