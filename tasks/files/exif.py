"""EXIF: the tags of a photograph and, only on request, the place where it was taken."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, SupportsFloat, cast

from tasks.files import limits
from tasks.files.metadata import Gps

if TYPE_CHECKING:
    from PIL.Image import Exif

ORIENTATION = 0x0112
_EXIF_IFD = 0x8769
_GPS_IFD = 0x8825
_LONGEST_TUPLE = 8


def readable(tags: Exif) -> dict[str, str | int | float]:
    """The tags with a known name and a readable value, by name. GPS tags are left out."""
    from PIL.ExifTags import TAGS

    found: dict[str, str | int | float] = {}
    for number, value in (dict(tags) | tags.get_ifd(_EXIF_IFD)).items():
        value_read = None if number in (_EXIF_IFD, _GPS_IFD) else _plain(value)
        if number in TAGS and value_read is not None:
            found[TAGS[number]] = value_read
        if len(found) == limits.EXIF_TAGS:
            break
    return found


def gps(tags: Exif) -> Gps | None:
    """The place where the photograph was taken, if its tags have a valid one."""
    from PIL.ExifTags import GPS

    ifd = tags.get_ifd(_GPS_IFD)
    latitude = _degrees(ifd.get(GPS.GPSLatitude), ifd.get(GPS.GPSLatitudeRef) == "S", 90)
    longitude = _degrees(ifd.get(GPS.GPSLongitude), ifd.get(GPS.GPSLongitudeRef) == "W", 180)
    if latitude is None or longitude is None:
        return None
    altitude = _number(ifd.get(GPS.GPSAltitude))
    # Exif 2.32: reference 1 is below sea level.
    below = ifd.get(GPS.GPSAltitudeRef) in (1, b"\x01")
    return Gps(
        latitude=latitude,
        longitude=longitude,
        altitude=-altitude if altitude is not None and below else altitude,
    )


def _plain(value: object) -> str | int | float | None:
    if isinstance(value, int):
        return value
    if isinstance(value, str):
        text = "".join(each for each in value if each.isprintable()).strip()
        return text[: limits.EXIF_VALUE_CHARACTERS] or None
    if isinstance(value, tuple) and len(value) <= _LONGEST_TUPLE:
        parts = [_plain(each) for each in value]
        return None if None in parts else " ".join(f"{part}" for part in parts)
    return _number(value)


def _degrees(value: object, negative: bool, most: float) -> float | None:
    if not isinstance(value, tuple) or len(value) != len(("degrees", "minutes", "seconds")):
        return None
    parts = [_number(each) for each in value]
    if any(part is None for part in parts):
        return None
    total = sum(part / 60**power for power, part in enumerate(parts) if part is not None)
    if not 0 <= total <= most:
        return None
    return round(float(-total if negative else total), 7)


def _number(value: object) -> float | None:
    """A rational of EXIF as a float; None if its denominator is zero."""
    if isinstance(value, bytes | str) or value is None:
        return None
    try:
        number = float(cast("SupportsFloat", value))
    except (TypeError, ValueError, ZeroDivisionError, OverflowError):
        return None
    return number if math.isfinite(number) else None
