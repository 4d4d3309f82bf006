"""A source of damaged and hostile files, each with what should become of it."""

from __future__ import annotations

import io
import json
import struct
import tarfile
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import count
from pathlib import Path

import numpy as np
from exif import ODD_TAGS, odd_exif
from PIL import Image

MAX_BYTES, MAX_PIXELS = 200_000, 2_000_000
KEPT = ""
CAPTION = b"a cat and its picture"

Photo = Callable[[], Image.Image]


@dataclass(frozen=True)
class Case:
    """A file, its caption, and the reason that is right for it; KEPT where it is only odd."""

    kind: str
    suffix: str
    data: bytes
    reason: str
    caption: bytes | None = CAPTION


def photo(seed: int, width: int = 96, height: int = 80) -> Image.Image:
    """A picture that no filter minds, another one for each seed."""
    rng = np.random.default_rng(seed)
    image = Image.fromarray(rng.integers(0, 256, (9, 9, 3), np.uint8))
    fine = Image.fromarray(rng.integers(0, 256, (40, 40, 3), np.uint8))
    size = (width, height)
    return Image.blend(image.resize(size, Image.Resampling.BICUBIC), fine.resize(size), 0.2)


def encode(image: Image.Image, name: str = "PNG", **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, name, **options)
    return buffer.getvalue()


def huge_header() -> bytes:
    """A small PNG that says it has 3.6 thousand million pixels."""

    def chunk(name: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    header = struct.pack(">IIBBBBB", 60_000, 60_000, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"\0"))


def cases() -> Iterator[Case]:
    """All kinds, several of each; no two pictures are alike."""
    seeds = count(1000)

    def fresh(**size: int) -> Image.Image:
        return photo(next(seeds), **size)

    for n in range(11):
        yield from _damaged(fresh, n)
        yield from _no_pictures(n)
        yield from _odd(fresh, n)
        yield from _captions(fresh, n)


def _damaged(fresh: Photo, n: int) -> Iterator[Case]:
    jpeg, png = encode(fresh(), "JPEG"), encode(fresh())
    yield Case("truncated_jpeg", "jpg", jpeg[: len(jpeg) * (30 + 6 * n) // 100], "truncated")
    yield Case("truncated_png", "png", png[: len(png) * (30 + 6 * n) // 100], "truncated")
    yield Case("pixel_bomb", "png", huge_header() + bytes(n), "too_many_pixels")
    yield Case("zero_bytes", "jpg", b"", "empty_file")
    noise = np.random.default_rng(n).bytes(500)
    yield Case("noise_with_magic", "jpg", b"\xff\xd8\xff" + noise, "corrupt")


def _no_pictures(n: int) -> Iterator[Case]:
    texts = (b"<html>", b"%PDF-1.7", b"<svg xmlns='http://www.w3.org/2000/svg'/>", b"plain text", b"\0" * 9)
    yield Case("text_as_picture", "jpg", texts[n % 5] + str(n).encode(), "not_an_image")
    frames = [photo(3000 + 2 * n + k) for k in range(2)]
    kind = ("GIF", "WEBP", "PNG")[n % 3]
    moving = encode(frames[0], kind, save_all=True, append_images=frames[1:])
    yield Case("animated", kind.lower(), moving, "animated")
    yield Case("single_pixel", "png", encode(Image.new("RGB", (1, 1), (n, n, n))), "small")


def _odd(fresh: Callable[..., Image.Image], n: int) -> Iterator[Case]:
    """What is valid, if not common: it stays."""
    yield Case("wrong_extension", "png", encode(fresh(), "JPEG"), KEPT)
    yield Case("cmyk", "jpg", encode(fresh().convert("CMYK"), "JPEG"), KEPT)
    grey = np.asarray(fresh().convert("L"), np.uint16) * 257
    yield Case("sixteen_bits", "png", encode(Image.fromarray(grey)), KEPT)
    layer = fresh()
    layer.putalpha(Image.linear_gradient("L").resize(layer.size).point(lambda v: 200 + v // 5))
    yield Case("alpha", "png", encode(layer), KEPT)
    exif = Image.Exif()
    exif[0x0112] = 6  # turned by a quarter
    yield Case("rotated", "jpg", encode(fresh(width=120), "JPEG", exif=exif), KEPT)
    broken = encode(fresh(), "JPEG", exif=b"Exif\0\0II*\0" + bytes([255 - n] * 20))
    yield Case("broken_exif", "jpg", broken, KEPT)
    odd_tag = odd_exif(list(ODD_TAGS)[n % len(ODD_TAGS)])
    yield Case("odd_exif", "jpg", encode(fresh(width=120), "JPEG", exif=odd_tag), KEPT)
    kind = ("BMP", "TIFF", "GIF", "WEBP")[n % 4]
    yield Case("other_format", kind.lower(), encode(fresh(), kind), KEPT)


def _captions(fresh: Photo, n: int) -> Iterator[Case]:
    captions = (b"caf\xe9 au lait", b"x" * ((1 << 20) + 1), b" \n\t ", b"x", None)
    reasons = ("caption_not_utf8", "caption_long", "no_caption", "caption_short", "no_caption")
    yield Case("caption", "png", encode(fresh()), reasons[n % 5], captions[n % 5])


def write_folder(folder: Path) -> dict[str, tuple[str, str]]:
    """Write the cases as files; give kind and right reason by the end of `source`."""
    folder.mkdir(parents=True)
    expected = {}
    for number, case in enumerate(cases()):
        name = f"{number:03d}-{case.kind}"
        (folder / f"{name}.{case.suffix}").write_bytes(case.data)
        if case.caption is not None:
            (folder / f"{name}.txt").write_bytes(case.caption)
        expected[f"#{name}.{case.suffix}"] = (case.kind, case.reason)
    for number in range(5):  # two pictures of one name
        for suffix, reason in (("jpg", KEPT), ("webp", "duplicate_key")):
            kind = "JPEG" if suffix == "jpg" else "WEBP"
            name = f"twice-{number}.{suffix}"
            (folder / name).write_bytes(encode(photo(5000 + number * 2 + len(suffix)), kind))
            expected[f"#{name}"] = ("duplicate_key", reason)
        (folder / f"twice-{number}.txt").write_bytes(CAPTION)
    return expected


def write_tars(folder: Path) -> dict[str, tuple[str, str]]:
    """Tars with names that climb, members that lack or repeat, a cut tar and one that is none."""
    folder.mkdir(parents=True)
    pictures = (encode(photo(seed), "JPEG") for seed in count(7000))
    members: list[tuple[str, bytes, str]] = []
    for n in range(4):
        for name in (f"../../up-{n}", f"/root-{n}", f"a/../../b-{n}", f"caf\udce9-{n}"):
            members += [(f"{name}.jpg", next(pictures), KEPT), (f"{name}.txt", CAPTION, "")]
        members.append((f"alone-{n}.txt", CAPTION, "no_image"))
        members.append((f"wordless-{n}.jpg", next(pictures), "no_caption"))
        bad = (b"{", b"[1]", b'{"caption": 7}', b'{"caption": "\\ud800"}')[n]
        members += [(f"json-{n}.jpg", next(pictures), "caption_invalid"), (f"json-{n}.json", bad, "")]
        members += [(f"two-{n}.jpg", next(pictures), KEPT), (f"two-{n}.png", next(pictures), "duplicate_key")]
        members.append((f"two-{n}.json", json.dumps({"caption": f"a dog {n}"}).encode(), ""))
        large = encode(photo(8000 + n, 300, 300), "BMP")
        members.append((f"large-{n}.bmp", large, "too_many_bytes"))
    (folder / "0.tar").write_bytes(_tar(members))
    expected = {
        f"0.tar#{_shown(name)}": ("tar", reason)
        for name, _, reason in members
        if reason or not name.endswith((".txt", ".json"))
    }
    expected |= {"0.tar#link.jpg": ("tar", "not_an_image")}
    whole = [("whole.jpg", next(pictures), KEPT), ("whole.txt", CAPTION, "")]
    data = _tar([*whole, ("cut.jpg", next(pictures), "")], link=False)
    (folder / "1.tar").write_bytes(data[: data.index(b"cut.jpg") + 600])
    expected |= {"1.tar#whole.jpg": ("tar", KEPT), "1.tar#cut.jpg damaged": ("tar", "truncated_tar")}
    (folder / "2.tar").write_bytes(b"no tar at all")
    return expected | {"2.tar# damaged": ("tar", "not_a_tar")}


def _shown(name: str) -> str:
    return name.encode("utf-8", "surrogateescape").decode("utf-8", "replace")


def _tar(members: list[tuple[str, bytes, str]], link: bool = True) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.GNU_FORMAT) as tar:
        for name, data, _ in members:
            header = tarfile.TarInfo(name)
            header.size = len(data)
            tar.addfile(header, io.BytesIO(data))
        if link:
            header = tarfile.TarInfo("link.jpg")
            header.type, header.linkname = tarfile.SYMTYPE, "/etc/passwd"
            tar.addfile(header)
    return buffer.getvalue()
