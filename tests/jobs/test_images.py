import io
import struct
import tracemalloc
import zlib

import numpy as np
import pytest
from exif import ODD_TAGS, odd_exif
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageOps, TiffImagePlugin

from jobs.images import DecodeError, decode, decode_reduced, fit, picture_format


def encode(picture: Image.Image, name: str = "PNG", **options: object) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, name, **options)
    return buffer.getvalue()


def noise(width: int = 48, height: int = 32, mode: str = "RGB") -> Image.Image:
    channels = len(Image.new(mode, (1, 1)).getbands())
    values = np.random.default_rng(0).integers(0, 256, (height, width, channels), np.uint8)
    return Image.frombytes(mode, (width, height), values.tobytes())


def png_header(width: int, height: int) -> bytes:
    """A valid PNG header that declares a size, and no pixels to speak of."""

    def chunk(name: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    pixels = chunk(b"IDAT", zlib.compress(b"\0"))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + pixels + chunk(b"IEND", b"")


def reason(data: bytes, max_pixels: int = 10_000_000) -> str:
    with pytest.raises(DecodeError) as error:
        decode(data, max_pixels)
    assert error.value.detail
    return error.value.reason


def outcome(data: bytes) -> str:
    """`RGB`, or the reason for a refusal; any other error fails the test."""
    try:
        return decode(data, 1_000_000).mode
    except DecodeError as error:
        return error.reason


@pytest.mark.parametrize("name", ["PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF"])
def test_decodes_common_formats_to_rgb(name: str) -> None:
    picture = decode(encode(noise(), name))
    assert (picture.mode, picture.size) == ("RGB", (48, 32))


def test_other_formats_are_not_opened() -> None:
    assert reason(encode(noise(), "PPM")) == "not_an_image"


@pytest.mark.parametrize("name", ["JPEG", "PNG", "WEBP", "GIF", "BMP"])
def test_half_a_file_is_truncated(name: str) -> None:
    data = encode(noise(200, 200), name)
    assert reason(data[: len(data) // 2]) == "truncated"


def test_empty_and_foreign_files() -> None:
    assert reason(b"") == "empty_file"
    assert reason(b"<html>not found</html>") == "not_an_image"
    assert reason(b"\xff\xd8\xff") == "corrupt"
    assert reason(png_header(60_000, 60_000)[:33]) == "corrupt"


def test_a_huge_header_is_refused_without_allocating() -> None:
    tracemalloc.start()
    assert reason(png_header(60_000, 60_000), 100_000_000) == "too_many_pixels"
    assert tracemalloc.get_traced_memory()[1] < 10_000_000
    tracemalloc.stop()


def test_the_limit_is_on_pixels_and_inclusive() -> None:
    data = encode(noise(48, 32))
    assert decode(data, 48 * 32).size == (48, 32)
    assert reason(data, 48 * 32 - 1) == "too_many_pixels"


@pytest.mark.parametrize("name", ["GIF", "WEBP", "PNG"])
def test_moving_pictures_are_refused(name: str) -> None:
    frames = [Image.new("RGB", (32, 32), color) for color in ("red", "blue")]
    assert reason(encode(frames[0], name, save_all=True, append_images=frames[1:])) == "animated"


def test_of_pages_the_first_is_taken() -> None:
    pages = [Image.new("RGB", (32, 32), color) for color in ("red", "blue")]
    picture = decode(encode(pages[0], "TIFF", save_all=True, append_images=pages[1:]))
    assert picture.getpixel((0, 0)) == (255, 0, 0)


def test_transparency_shows_white() -> None:
    clear = Image.new("RGBA", (4, 4), (255, 0, 0, 0))
    half = Image.new("RGBA", (4, 4), (0, 0, 0, 128))
    palette = Image.new("P", (4, 4), 0)
    palette.putpalette([0, 0, 0, 9, 9, 9])
    assert decode(encode(clear)).getpixel((0, 0)) == (255, 255, 255)
    assert decode(encode(half)).getpixel((0, 0)) == (127, 127, 127)
    assert decode(encode(palette, transparency=0)).getpixel((0, 0)) == (255, 255, 255)
    assert decode(encode(palette)).getpixel((0, 0)) == (0, 0, 0)


def test_16_bits_are_scaled_not_clipped() -> None:
    grey = Image.fromarray(np.array([[0, 257, 32896, 65535]], np.uint16))
    pixels = np.asarray(decode(encode(grey)))
    assert pixels[0, :, 0].tolist() == [0, 1, 128, 255]


def test_cmyk() -> None:
    cyan = Image.new("CMYK", (16, 16), (255, 0, 0, 0))
    red, green, _ = decode(encode(cyan, "JPEG", quality=95)).getpixel((8, 8))
    assert red < 30
    assert green > 200


def test_exif_rotation_is_applied() -> None:
    picture = noise(48, 32)
    exif = Image.Exif()
    exif[0x0112] = 6
    assert decode(encode(picture, "JPEG", exif=exif)).size == (32, 48)
    assert decode(encode(picture, "JPEG")).size == (48, 32)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_every_orientation_is_undone_as_pillow_does(orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    data = encode(noise(24, 20), "JPEG", exif=exif)
    upright = ImageOps.exif_transpose(Image.open(io.BytesIO(data)))
    assert np.array_equal(np.asarray(decode(data)), np.asarray(upright))


@pytest.mark.parametrize("name", ODD_TAGS)
def test_a_picture_is_turned_whatever_else_its_exif_holds(name: str) -> None:
    data = encode(noise(20, 24), "JPEG", exif=odd_exif(name))
    assert decode(data).size == (24, 20)
    small, width, height = decode_reduced(data, 128)
    assert (small.size, width, height) == ((24, 20), 24, 20)


def test_an_orientation_that_does_not_exist_turns_nothing() -> None:
    assert decode(encode(noise(20, 24), "JPEG", exif=odd_exif("make_float", orientation=9))).size == (20, 24)


def test_a_tiff_with_an_odd_tag_is_refused_not_an_error() -> None:
    """Pillow turns a TIFF itself, and stumbles over the XMP beside the orientation."""
    tags = TiffImagePlugin.ImageFileDirectory_v2()
    tags[0x0112] = 6
    tags.tagtype[700] = 3
    tags[700] = 5
    assert reason(encode(noise(20, 24), "TIFF", tiffinfo=tags)) == "corrupt"


def test_a_nearly_square_picture_is_turned_with_its_size() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    data = encode(Image.new("RGB", (2001, 2003), "red"), "JPEG", exif=exif)
    small, *size = decode_reduced(data, 128)
    assert small.width == small.height
    assert (*size,) == decode(data).size == (2003, 2001)


def test_the_format_comes_from_the_bytes() -> None:
    assert [picture_format(encode(noise(), name)) for name in ("JPEG", "PNG", "TIFF")] == [
        "jpg",
        "png",
        "tif",
    ]


def test_fit_covers_and_crops_the_centre() -> None:
    picture = Image.new("RGB", (90, 30), "red")
    picture.paste("blue", (30, 0, 60, 30))
    fitted = fit(picture, 20, 20)
    assert fitted.size == (20, 20)
    assert fitted.crop((3, 0, 17, 20)).getcolors() == [(14 * 20, (0, 0, 255))]


@given(
    st.binary(max_size=200), st.sampled_from([b"", b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff", b"GIF89a", b"BM"])
)
def test_any_bytes_give_a_picture_or_a_reason(tail: bytes, head: bytes) -> None:
    assert outcome(head + tail)


@given(st.integers(0, 4000), st.integers(0, 255))
def test_a_flipped_byte_gives_a_picture_or_a_reason(position: int, value: int) -> None:
    data = bytearray(encode(noise(), "JPEG"))
    data[position % len(data)] = value
    assert outcome(bytes(data))


@pytest.mark.parametrize("orientation", [1, 3, 6, 8])
@pytest.mark.parametrize("size", [(900, 500), (500, 900), (200, 100), (1200, 90)])
def test_a_reduced_picture_is_the_picture_smaller(orientation: int, size: tuple[int, int]) -> None:
    rng = np.random.default_rng(0)
    image = Image.fromarray(rng.integers(0, 256, (5, 7, 3), np.uint8)).resize(size)
    exif = Image.Exif()
    exif[0x0112] = orientation
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=95, exif=exif)
    whole = decode(buffer.getvalue())
    small, width, height = decode_reduced(buffer.getvalue(), 128)
    assert (width, height) == whole.size
    assert max(small.size) >= 128
    assert small.width * small.height < whole.width * whole.height or max(whole.size) < 256
    difference = np.abs(np.asarray(whole.resize(small.size, Image.Resampling.BOX), int) - np.asarray(small))
    assert difference.mean() < 2


def test_a_reduced_picture_of_another_format_is_the_picture_itself() -> None:
    buffer = io.BytesIO()
    Image.new("RGB", (900, 600), "red").save(buffer, "PNG")
    small, width, height = decode_reduced(buffer.getvalue(), 128)
    assert (small.size, width, height) == ((900, 600), 900, 600)


@pytest.mark.parametrize("size", [(64, 16), (5, 500), (1, 1), (3000, 2000)])
def test_a_picture_is_reduced_as_far_as_its_coding_allows(size: tuple[int, int]) -> None:
    small, width, height = decode_reduced(encode(Image.new("RGB", size), "JPEG"), 1)
    assert (width, height) == size
    assert small.size == tuple(-(-side // 8) for side in size) or min(size) < 8


def test_a_truncated_picture_is_found_when_it_is_reduced() -> None:
    image = Image.fromarray(np.random.default_rng(0).integers(0, 256, (600, 900, 3), np.uint8))
    buffer = io.BytesIO()
    image.save(buffer, "JPEG")
    with pytest.raises(DecodeError, match="truncated"):
        decode_reduced(buffer.getvalue()[:-2000], 128)
