"""Workers that die: by a document of theirs, or killed from outside. Real processes, really killed."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from ray import cloudpickle

from infra.catalogue import Counts
from infra.errors import UserError
from infra.job import JobSpec, Resources
from infra.manifest import Manifest, Output, find_manifest, read_table
from infra.reporter import SilentReporter
from jobs.attempts import Attempts, Span
from jobs.extract.encode import Encoder
from jobs.extract.plan import Plan, tar_units
from jobs.extract.unit import Extractor
from jobs.specs import TokensSettings
from model.text import TextTokenizer
from tests.jobs.extract.curated import SETTINGS, document, extract, of_family, picture, publish
from tests.jobs.support import publish_captioned, publish_tokenizer

# Workers cannot import test modules by name.
cloudpickle.register_pickle_by_value(sys.modules[__name__])

DEADLY = "this text kills"
FAULTY = "this text fails"
GREEDY = "this text has no end"


@dataclass(frozen=True)
class Touchy:
    """A text tokenizer with a bug: some texts end the process, some raise, some take all memory."""

    inner: TextTokenizer

    def encode(self, text: str) -> list[int]:
        if text == DEADLY:
            os.kill(os.getpid(), signal.SIGKILL)
        if text == FAULTY:
            raise RuntimeError("too\nodd")
        if text == GREEDY:
            raise MemoryError
        return self.inner.encode(text)

    @property
    def size(self) -> int:
        return self.inner.size

    @property
    def end_id(self) -> int:
        return self.inner.end_id

    def decode(self, ids: Any) -> str:
        return self.inner.decode(ids)


class TouchyExtractor(Extractor):
    """An extractor that some documents kill."""

    def _load(self, attempts: Attempts) -> Encoder:
        encoder = super()._load(attempts)
        return encoder if isinstance(encoder.text, Touchy) else replace(encoder, text=Touchy(encoder.text))


class Log(SilentReporter):
    def __init__(self) -> None:
        self.lines: list[str] = []

    def log(self, message: str) -> None:
        self.lines.append(message)


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> str:
    return publish_tokenizer(tmp_path_factory.mktemp("tokenizer"))


def data(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted((folder / "data").iterdir())}


def healthy(folder: Path, name: str) -> list[dict[str, Any]]:
    return read_table(str(folder / f"data/{name}.parquet")).to_pylist()


@pytest.mark.chaos
@pytest.mark.parametrize("text", [DEADLY, GREEDY])
def test_a_document_that_kills_is_errored_and_its_neighbours_are_kept(
    ray_session: None, tokenizer: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str
) -> None:
    good = {name: [of_family("t2i", place) for place in places] for name, places in PLACES.items()}
    deadly = document("t2i", text, picture(99))
    with_deadly = {**good, "b": [*good["b"], deadly]}
    undisturbed = extract(publish(tmp_path / "good", good), tokenizer, tmp_path / "undisturbed", workers=2)
    monkeypatch.setattr("jobs.extract.run.Extractor", TouchyExtractor)
    report = Log()
    curated = publish(tmp_path / "curated", with_deadly)
    manifest = extract(curated, tokenizer, tmp_path / "out", workers=2, report=report)
    assert manifest.counts == Counts(total=5, kept=4, errored=1)
    assert undisturbed.counts == Counts(total=4, kept=4)
    for name in PLACES:
        assert healthy(tmp_path / "out", name) == healthy(tmp_path / "undisturbed", name)
    rows = read_table(str(tmp_path / "out/data/catalogue.parquet")).to_pylist()
    (errored,) = [row for row in rows if row["status"] == "errored"]
    assert (errored["sample_id"], errored["reason"], errored["attempts"]) == (
        deadly[0].sample_id,
        "worker_died",
        3,
    )
    assert manifest.metadata["units_tried_again"] == 1
    assert any("1 units were tried more than once" in line for line in report.lines)
    assert not (tmp_path / "out/parts").exists()
    stored = find_manifest(str(tmp_path / "out"))
    assert stored is not None
    assert "units_tried_again" not in stored.metadata


def test_an_exception_is_the_document_s_and_not_the_unit_s(
    ray_session: None, tokenizer: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("jobs.extract.run.Extractor", TouchyExtractor)
    faulty = document("t2i", FAULTY, picture(99))
    curated = publish(tmp_path / "curated", {"a": [of_family("t2i", 0), faulty, of_family("edit", 1)]})
    manifest = extract(curated, tokenizer, tmp_path / "out")
    assert manifest.counts == Counts(total=3, kept=2, errored=1)
    rows = read_table(str(tmp_path / "out/data/catalogue.parquet")).to_pylist()
    (errored,) = [row for row in rows if row["status"] == "errored"]
    assert errored["sample_id"] == faulty[0].sample_id
    assert (errored["reason"], errored["detail"]) == ("unexpected_error", "RuntimeError: too odd")


PLACES = {"a": range(2), "b": range(2, 4)}
KILLS = 4
MANY = {f"u{n}": range(20 * n, 20 * n + 20) for n in range(8)}


def newest_worker(folder: Path, killed: set[int]) -> int | None:
    """The process that last set out on something."""
    files = sorted((folder / "attempts").rglob("*.json"), key=lambda path: path.stat().st_mtime_ns)
    for path in reversed(files):
        process = int(json.loads(path.read_bytes())["process"])
        if process not in killed:
            return process
    return None


@pytest.mark.chaos
def test_workers_killed_at_random_change_nothing(ray_session: None, tokenizer: str, tmp_path: Path) -> None:
    curated = publish_captioned(tmp_path / "captioned", MANY)
    whole = extract(curated, tokenizer, tmp_path / "whole", workers=2)
    killed: set[int] = set()
    over = threading.Event()

    def kill() -> None:
        while not over.wait(0.05) and len(killed) < KILLS:
            process = newest_worker(tmp_path / "out", killed)
            if process is not None:
                os.kill(process, signal.SIGKILL)
                killed.add(process)

    killer = threading.Thread(target=kill)
    killer.start()
    try:
        manifest = extract(curated, tokenizer, tmp_path / "out", workers=2)
    finally:
        over.set()
        killer.join()
    assert len(killed) == KILLS
    assert manifest.counts == Counts(total=160, kept=160)
    assert manifest.metadata["units_tried_again"] > 0
    assert data(tmp_path / "out") == data(tmp_path / "whole")
    assert (manifest.hash, manifest.counts) == (whole.hash, whole.counts)


def start(spec: JobSpec[Any], folder: Path) -> subprocess.Popen[bytes]:
    """The job as a process group of its own, with a Ray of its own."""
    path = folder / "spec.json"
    path.write_text(spec.model_dump_json(serialize_as_any=True))
    command = [sys.executable, "-m", "jobs.main", "--job", "jobs.extract.run:run", "--spec", str(path)]
    environment = {name: value for name, value in os.environ.items() if name != "RAY_ADDRESS"}
    return subprocess.Popen(
        command,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
        env=environment,
    )


@pytest.mark.chaos
@pytest.mark.timeout(900)
def test_whole_runs_killed_change_nothing(ray_session: None, tokenizer: str, tmp_path: Path) -> None:
    curated = publish_captioned(tmp_path / "captioned", MANY)
    whole: Manifest = extract(curated, tokenizer, tmp_path / "whole", workers=2)
    spec: JobSpec[Any] = JobSpec[TokensSettings](
        asset="tokens/t2i",
        partition="t2i-0000|small",
        fingerprint="f",
        inputs={"t2i/captioned": [curated], "tokenizer/joint": [tokenizer]},
        output=str(tmp_path / "out"),
        settings=SETTINGS,
        resources=Resources(workers=2),
    )
    for moment in ("attempts/*/*/*-load.json", "units/*.json"):
        job = start(spec, tmp_path)
        while job.poll() is None and not list((tmp_path / "out").glob(moment)):
            time.sleep(0.02)
        os.killpg(job.pid, signal.SIGKILL)
        job.wait()
    assert not (tmp_path / "out/manifest.parquet").exists()
    job = start(spec, tmp_path)
    assert job.wait() == 0
    manifest = find_manifest(str(tmp_path / "out"))
    assert manifest is not None
    assert (manifest.hash, manifest.counts) == (whole.hash, Counts(total=160, kept=160))
    assert data(tmp_path / "out") == data(tmp_path / "whole")
    assert (tmp_path / "out/manifest.parquet").read_bytes() == (
        tmp_path / "whole/manifest.parquet"
    ).read_bytes()
    sessions = Counter(path.parent.name for path in (tmp_path / "out").glob("attempts/*/*/*.json"))
    assert len(sessions) > 1


@pytest.mark.parametrize(("doing", "said"), [("load", "loaded the tokenizers"), ("join", "joined the parts")])
def test_deaths_that_no_document_is_to_blame_for_end_the_run(
    tokenizer: str, tmp_path: Path, doing: str, said: str
) -> None:
    (unit,) = tar_units([publish(tmp_path / "curated", {"a": [of_family("t2i", 0), of_family("t2i", 1)]})])
    plan = Plan(Output(str(tmp_path / "out")), tokenizer, "hash", SETTINGS, 0, "session")
    ledger = Attempts(plan.output, "a", "session")
    if doing == "join":
        for _ in range(2):
            ledger.begin(Span(0, 2))
    for _ in range(9):
        ledger.begin(doing)
    assert Extractor(plan)(unit).counts == Counts(total=2, kept=2)
    again = replace(plan, session="another")
    ledger = Attempts(plan.output, "a", "another")
    for _ in range(10):
        ledger.begin(doing)
    with pytest.raises(UserError, match=f"10 workers died while they {said}"):
        Extractor(again)(unit)
