"""One way of looking through pictures, run by the Python that has it: prints seconds and peak memory as JSON.

    python bench/peers/curation.py WAY LIST      # LIST: a file with one path a line

Every way runs in one process on one thread, picture by picture, and does what its project does to decide
about a picture; nothing is written.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

Look = Callable[[str], Any]


def main() -> None:
    """Warm up on the first pictures, then time all."""
    way, listing = sys.argv[1:]
    paths = Path(listing).read_text(encoding="utf-8").splitlines()
    look = WAYS[way]()
    for path in paths[:20]:
        look(path)
    start = time.perf_counter()
    for path in paths:
        look(path)
    seconds = time.perf_counter() - start
    print(json.dumps({"seconds": seconds, "pictures": len(paths), "peak_mib": peak_mib()}))


def peak_mib() -> float:
    """Of this process alone: the usual figure counts what its parent held when it was started."""
    status = Path("/proc/self/status").read_text(encoding="utf-8").splitlines()
    (peak,) = (line.split()[1] for line in status if line.startswith("VmHWM:"))
    return round(int(peak) / 1024, 1)


def decoding() -> Look:
    """Bare decoding to RGB, with Pillow."""
    from PIL import Image

    def look(path: str) -> Any:
        with Image.open(path) as picture:
            return picture.convert("RGB")

    return look


def nextscale() -> Look:
    """`t2i/scored`: limits, decoding, all measures, both hashes, a thumbnail."""
    import cv2

    from jobs.curate.t2i.records import score_row
    from jobs.sources import Record

    cv2.setNumThreads(1)

    def look(path: str) -> Any:
        record = Record(path, Path(path).read_bytes(), "a caption")
        return score_row(record, "0", max_bytes=50_000_000, max_pixels=100_000_000)

    return look


def img2dataset() -> Look:
    """img2dataset's resizer to 256 pixels with its own defaults, which decides by size and aspect."""
    import io

    from img2dataset.resizer import Resizer

    resize = Resizer(256, "keep_ratio", resize_only_if_bigger=True, min_image_size=64, max_aspect_ratio=4.0)

    def look(path: str) -> Any:
        return resize(io.BytesIO(Path(path).read_bytes()))

    return look


def data_juicer() -> Look:
    """Data-Juicer's filters of size, shape and aspect, and its perceptual hash, over one loaded picture."""
    from data_juicer.ops.deduplicator.image_deduplicator import ImageDeduplicator
    from data_juicer.ops.filter.image_aspect_ratio_filter import ImageAspectRatioFilter
    from data_juicer.ops.filter.image_shape_filter import ImageShapeFilter
    from data_juicer.ops.filter.image_size_filter import ImageSizeFilter
    from data_juicer.utils.constant import Fields

    filters = [
        ImageShapeFilter(min_width=64, min_height=64),
        ImageAspectRatioFilter(min_ratio=0.25, max_ratio=4.0),
        ImageSizeFilter(max_size="50MB"),
    ]
    duplicates = ImageDeduplicator(method="phash")

    def look(path: str) -> Any:
        samples: dict[str, list[Any]] = {
            "images": [[path]],
            "text": ["a caption"],
            Fields.stats: [{}],
            Fields.context: [{}],
        }
        for one in filters:
            samples = one.compute_stats_batched(samples, context=True)
        return duplicates.compute_hash({key: values[0] for key, values in samples.items()}, context=True)

    return look


WAYS: dict[str, Callable[[], Look]] = {
    "decoding": decoding,
    "nextscale": nextscale,
    "img2dataset": img2dataset,
    "data_juicer": data_juicer,
}

if __name__ == "__main__":
    main()
