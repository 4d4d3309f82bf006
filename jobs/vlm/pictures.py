"""Pictures as a model is shown them: upright RGB, scaled down, in a `data:` address."""

from __future__ import annotations

import base64
import io

from PIL import Image

from jobs.images import decode, picture_format

_LOSSLESS = ("png", "gif", "bmp", "tif")
_QUALITY = 95


def data_url(data: bytes, max_side: int, max_pixels: int) -> str:
    """A picture as `data:image/...;base64,...`: PNG where the original is lossless, else JPEG.

    Args:
        data: original bytes of any format that `jobs.images` decodes.
        max_side: pixels; a picture with a longer side is scaled down to it.
        max_pixels: width times height beyond which a picture is not decoded.

    Raises:
        DecodeError: the picture cannot be decoded.
    """
    picture = decode(data, max_pixels)
    picture.thumbnail((max_side, max_side), Image.Resampling.LANCZOS)
    buffer = io.BytesIO()
    kind = "png" if picture_format(data) in _LOSSLESS else "jpeg"
    picture.save(buffer, kind.upper(), quality=_QUALITY)
    return f"data:image/{kind};base64,{base64.b64encode(buffer.getvalue()).decode()}"
