"""What a job reports becomes Dagster events: seldom enough to store, and nothing that matters is lost."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
from PIL import Image

from assets.metadata import MAX_PICTURE_BYTES, picture_markdown, reasons_table
from assets.reporter import DagsterReporter
from infra.catalogue import Counts
from infra.manifest import Output
from infra.reporter import SilentReporter

PARTITIONS = dg.StaticPartitionsDefinition(["a"])


class Counter(SilentReporter):
    """Counts what reaches it."""

    figures_seen = 0

    def figures(self, step: int, values: dict[str, float]) -> None:
        self.figures_seen += 1


def noise(side: int) -> bytes:
    """A PNG that hardly compresses."""
    buffer = io.BytesIO()
    Image.effect_noise((side, side), 80).convert("RGB").save(buffer, "PNG")
    return buffer.getvalue()


def observed(report: Any, watch: SilentReporter, partition: str | None) -> list[dg.AssetObservation]:
    """The observations of an asset whose step reports with `report(reporter)`."""

    def step(context) -> None:  # type: ignore[no-untyped-def]
        reporter = DagsterReporter(context, watch)
        report(reporter)
        reporter.close()

    definition = dg.asset(name="made", partitions_def=PARTITIONS if partition else None)(step)
    with dg.DagsterInstance.ephemeral() as instance:
        dg.materialize([definition], instance=instance, partition_key=partition)
        records = instance.fetch_observations(dg.AssetKey("made"), limit=1000).records
        return [record.asset_observation for record in records if record.asset_observation]


@pytest.mark.parametrize("partition", [None, "a"])
def test_a_thousand_figures_are_a_few_observations_and_the_last(partition: str | None) -> None:
    def report(reporter: DagsterReporter) -> None:
        for step in range(1000):
            reporter.figures(step, {"loss": 9.0 - step})

    watch = Counter()
    found = observed(report, watch, partition)
    assert 2 <= len(found) < 20
    assert found[0].metadata["step"].value == 999  # the newest first
    assert found[0].metadata["loss"].value == -990.0
    assert found[0].partition == partition
    assert watch.figures_seen == 1000


def test_a_picture_is_inside_its_observation(tmp_path: Path) -> None:
    uri = Output(str(tmp_path)).picture("sheet", noise(16))
    (found,) = observed(lambda reporter: reporter.picture("sheet", uri), SilentReporter(), None)
    assert "data:image/png;base64," in str(found.metadata["picture: sheet"].value)


@pytest.mark.parametrize("side", [16, 400, 1500])
def test_pictures_fit_an_event(tmp_path: Path, side: int) -> None:
    uri = Output(str(tmp_path)).picture("sheet", noise(side))
    text = str(picture_markdown("sheet", uri).value)
    assert len(text) <= MAX_PICTURE_BYTES
    assert text.startswith("![sheet](data:image/png;base64,")


def test_reasons_are_a_table_with_the_most_frequent_first() -> None:
    table = reasons_table(Counts(total=10, kept=6, rejected={"blurred": 1, "small": 3}))
    assert [row.split(" | ")[:2] for row in table.split("\n")[2:]] == [["| small", "3"], ["| blurred", "1"]]
