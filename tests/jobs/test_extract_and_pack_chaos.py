"""Thirty SIGKILLs of workers, raylets and drivers over an extraction and a packing, on a flaky S3 server.

Then the same command to its end: the bytes of an undisturbed run, nothing lost or doubled.
"""

from __future__ import annotations

import hashlib
import random
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import psutil
import pytest
from s3fs import S3FileSystem

from infra import storage
from infra.manifest import read_manifest
from jobs.readers import PackReader
from tests.flaky_s3 import flaky
from tests.jobs.support import publish_captioned, publish_tokenizer

DRIVER = Path(__file__).with_name("extract_and_pack.py")
KILLS = 30
UNITS = {f"{unit:06d}": range(24 * unit, 24 * unit + 24) for unit in range(40)}
pytestmark = [pytest.mark.chaos, pytest.mark.timeout(3000)]


def start(inputs: tuple[str, str], home: str, log: Path) -> subprocess.Popen[bytes]:
    command = [sys.executable, str(DRIVER), *inputs, home]
    with log.open("ab") as stream:
        return subprocess.Popen(command, stdout=stream, stderr=stream, start_new_session=True)


def victims(driver: subprocess.Popen[bytes]) -> dict[str, list[psutil.Process]]:
    """The living processes of a driver by what they are; raylets and workers leave its process group."""
    found: dict[str, list[psutil.Process]] = {"driver": [], "raylet": [], "worker": []}
    try:
        family = [psutil.Process(driver.pid), *psutil.Process(driver.pid).children(recursive=True)]
    except psutil.NoSuchProcess:
        return found
    for process in family:
        try:
            name = " ".join(process.cmdline()[:1])
        except psutil.NoSuchProcess:
            continue
        if process.pid == driver.pid:
            found["driver"].append(process)
        elif name.endswith("/raylet"):
            found["raylet"].append(process)
        elif name.startswith("ray::"):
            found["worker"].append(process)
    return found


def disturb(inputs: tuple[str, str], home: str, log: Path) -> Counter[str]:
    """Kill at random until it is enough; a driver that ended is started again, as a scheduler does."""
    draw, kills = random.Random(7), Counter[str]()
    driver = start(inputs, home, log)
    while kills.total() < KILLS:
        time.sleep(draw.uniform(1, 5))
        if driver.poll() is not None:
            assert driver.returncode != 0, f"all was done after {kills.total()} kills: more units are needed"
            driver = start(inputs, home, log)
            continue
        kind = draw.choice(["worker", "worker", "worker", "raylet", "driver"])
        if targets := victims(driver)[kind]:
            draw.choice(targets).kill()
            kills[kind] += 1
    end(driver)
    return kills


def finish(inputs: tuple[str, str], home: str, log: Path) -> None:
    """The same command, left alone."""
    driver = start(inputs, home, log)
    assert driver.wait(timeout=900) == 0, log.read_text(errors="replace")[-3000:]


def end(driver: subprocess.Popen[bytes]) -> None:
    """Kill a driver with all that belongs to it."""
    for processes in victims(driver).values():
        for process in processes:
            if process.is_running():
                process.kill()
    driver.wait()


def published(home: str) -> dict[str, str]:
    """Digests of the manifests and of every file they stand for, each read and compared with its entry."""
    found = {}
    for area in ("tokens", "packs"):
        folder = storage.join(home, area)
        for entry in read_manifest(folder).files:
            digest = hashlib.sha256(storage.read_bytes(storage.join(folder, entry.path))).hexdigest()
            assert digest == entry.sha256, entry.path
            found[f"{area}/{entry.path}"] = digest
        manifest = storage.read_bytes(storage.join(folder, "manifest.parquet"))
        found[f"{area}/manifest"] = hashlib.sha256(manifest).hexdigest()
    return found


def test_thirty_kills_on_a_flaky_server_change_no_byte(
    s3_server: str, s3_root: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    inputs = (publish_captioned(tmp_path / "captioned", UNITS), publish_tokenizer(tmp_path / "tokenizer"))
    log = tmp_path / "log"
    finish(inputs, str(tmp_path / "undisturbed"), log)
    with flaky(s3_server, seed=1) as proxy:
        monkeypatch.setenv("AWS_ENDPOINT_URL", proxy.address)
        kills = disturb(inputs, s3_root, log)
        finish(inputs, s3_root, log)
    monkeypatch.setenv("AWS_ENDPOINT_URL", s3_server)
    S3FileSystem.clear_instance_cache()
    print(f"kills {dict(kills)}, faults {dict(proxy.seen)}")
    assert kills.total() == KILLS
    assert min(kills[kind] for kind in ("worker", "raylet", "driver")) >= 2, kills
    assert proxy.seen.total() > 100, proxy.seen

    assert published(s3_root) == published(str(tmp_path / "undisturbed"))
    packs = PackReader([storage.join(s3_root, "packs")])
    packed = Counter(document.sample_id for number in range(len(packs)) for document in packs[number])
    assert set(packed.values()) == {1}
    assert len(packed) == sum(map(len, UNITS.values()))
    began = storage.list_files(storage.join(s3_root, "tokens", "attempts"))
    assert len(began) > len(UNITS), "attempts that were cut off are not on record"
