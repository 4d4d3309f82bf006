"""How fast pictures are looked through, and in how much memory, against img2dataset and Data-Juicer.

All ways see the same files on one core, each in processes of its own, in turn: bare decoding, ours (limits,
decoding, every measure, both hashes, a thumbnail), img2dataset's resizer, and Data-Juicer's filters of size,
shape and aspect with its perceptual hash. The others run in virtual environments of their own, where there
are any:

    uv venv peers/i2d && VIRTUAL_ENV=peers/i2d uv pip install img2dataset
    uv venv peers/dj && VIRTUAL_ENV=peers/dj uv pip install py-data-juicer imagededup aiohttp "ray[data]"
    python bench/curate.py --img2dataset peers/i2d/bin/python --data-juicer peers/dj/bin/python

Then `t2i/scored` itself, as a job over Ray, over 1,000 and 20,000 pictures: the peak memory of a worker.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import threading
from pathlib import Path
from typing import Any

import numpy as np
from harness import write_result
from PIL import Image

ROOT = Path(__file__).parents[1]
PACKAGES = ["pillow", "opencv-python-headless", "imagehash", "ray"]
MEMORY_PICTURES = (1_000, 20_000)


def main() -> None:
    """Measure and write the result."""
    options = parse()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        paths = (
            sorted(options.pictures.rglob("*.*")) if options.pictures else draw(folder / "in", options.count)
        )
        paths = [p for p in paths if p.suffix.lower() in (".jpg", ".jpeg", ".png")][: options.count]
        figures = {"one_core": compare(paths, options, folder)}
        if not options.no_memory:
            figures["memory"] = {
                str(n): scored_memory(paths, n, folder / f"scored-{n}") for n in MEMORY_PICTURES
            }
    write_result("curate", figures, PACKAGES)


def parse() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--pictures", type=Path, help="a folder; else pictures are drawn")
    parser.add_argument("--count", type=int, default=300)
    parser.add_argument("--rounds", type=int, default=3, help="of each way, in turn; medians are reported")
    parser.add_argument("--img2dataset", help="a Python that has img2dataset")
    parser.add_argument("--data-juicer", help="a Python that has data_juicer")
    parser.add_argument(
        "--no-memory", action="store_true", help="skip the job over 1,000 and 20,000 pictures"
    )
    return parser.parse_args()


def draw(folder: Path, count: int) -> list[Path]:
    """JPEG pictures of 600 to 1,600 pixels a side with detail at every scale, as photographs have it."""
    folder.mkdir(parents=True)
    paths = []
    for number in range(count):
        rng = np.random.default_rng(number)
        width, height = (int(side) for side in rng.integers(600, 1601, 2))
        layers = [
            Image.fromarray(rng.integers(0, 256, (side, side, 3), np.uint8)).resize((width, height))
            for side in (4, 16, 64, 256)
        ]
        weights = (0.45, 0.3, 0.17, 0.08)
        mixed = sum(w * np.asarray(layer, np.float32) for w, layer in zip(weights, layers, strict=True))
        paths.append(folder / f"{number:05d}.jpg")
        Image.fromarray(np.asarray(mixed, np.uint8)).save(paths[-1], quality=90)
    return paths


def compare(paths: list[Path], options: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """Pictures per second and peak memory of every way, and ratios to ours."""
    listing = folder / "paths.txt"
    listing.write_text("\n".join(map(str, paths)), encoding="utf-8")
    pythons = {"decoding": sys.executable, "nextscale": sys.executable}
    pythons |= {"img2dataset": options.img2dataset} if options.img2dataset else {}
    pythons |= {"data_juicer": options.data_juicer} if options.data_juicer else {}
    runs: dict[str, list[dict[str, float]]] = {way: [] for way in pythons}
    for _ in range(options.rounds):
        for way, python in pythons.items():
            runs[way].append(run_way(way, python, listing))
            print(way, runs[way][-1], flush=True)
    seconds = {way: statistics.median(run["seconds"] for run in found) for way, found in runs.items()}
    ours = seconds["nextscale"]
    return {
        "pictures": len(paths),
        "megapixels": round(sum(_pixels(path) for path in paths) / len(paths) / 1e6, 3),
        "pictures_per_second": {way: round(len(paths) / value, 1) for way, value in seconds.items()},
        "peak_mib": {way: max(run["peak_mib"] for run in found) for way, found in runs.items()},
        "our_time_over_decoding": round(ours / seconds["decoding"], 3),
        "our_speed_over": {
            way: round(value / ours, 3)
            for way, value in seconds.items()
            if way not in ("nextscale", "decoding")
        },
    }


def run_way(way: str, python: str, listing: Path) -> dict[str, float]:
    """One run of one way, on one core."""
    environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [python, str(ROOT / "bench/peers/curation.py"), way, str(listing)],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise SystemExit(f"{way} failed in {python}:\n{done.stderr[-2000:]}")
    found: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return found


def scored_memory(paths: list[Path], count: int, folder: Path) -> dict[str, float]:
    """`t2i/scored` over `count` pictures, links to the same few files: peak memory of workers and driver."""
    source = folder / "in"
    source.mkdir(parents=True)
    for number in range(count):
        (source / f"{number:06d}{paths[0].suffix}").hardlink_to(paths[number % len(paths)])
    script = ROOT / "bench/peers/scored_job.py"
    with subprocess.Popen(
        [sys.executable, str(script), str(source), str(folder / "out")],
        env=os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    ) as process:
        watch = Watch(process.pid)
        process.wait()
        peaks = watch.stop()
        if process.returncode:
            raise SystemExit(f"the job over {count} pictures failed")
    print(count, peaks, flush=True)
    return peaks


class Watch:
    """Peak memory, in MiB, of a process and of the Ray workers below it."""

    def __init__(self, pid: int) -> None:
        self._pid = pid
        self._done = threading.Event()
        self._peaks = {"driver_mib": 0.0, "worker_mib": 0.0}
        self._thread = threading.Thread(target=self._look, daemon=True)
        self._thread.start()

    def stop(self) -> dict[str, float]:
        """What was seen."""
        self._done.set()
        self._thread.join()
        return {name: round(value, 1) for name, value in self._peaks.items()}

    def _look(self) -> None:
        import psutil

        while not self._done.wait(0.2):
            try:
                driver = psutil.Process(self._pid)
                self._note("driver_mib", driver.memory_info().rss)
                for child in driver.children(recursive=True):
                    if child.name().startswith("ray::"):
                        # What a worker shares with Ray's object store is not its own.
                        memory = child.memory_info()
                        self._note("worker_mib", memory.rss - memory.shared)
            except psutil.NoSuchProcess:
                continue

    def _note(self, name: str, size: int) -> None:
        self._peaks[name] = max(self._peaks[name], size / 2**20)


def _pixels(path: Path) -> int:
    with Image.open(path) as picture:
        return picture.width * picture.height


if __name__ == "__main__":
    main()
