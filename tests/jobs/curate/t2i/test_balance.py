from collections import Counter
from pathlib import Path
from random import Random

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from infra.catalogue import BASE_FIELDS, Counts
from infra.job import JobSpec
from infra.manifest import Manifest, Output
from infra.reporter import SilentReporter
from jobs.curate.stage import kept_rows, read_catalogue
from jobs.curate.t2i.balance import choose, run, topic_cap, topic_quotas
from jobs.recipe import Balance
from jobs.sources.shards import publish_shards
from jobs.specs.t2i import BalanceSettings

COUNTS = st.dictionaries(st.sampled_from("abcdef"), st.integers(1, 300), max_size=6)
SHARES = st.integers(1, 100).map(lambda n: n / 100)


def holds(available: dict[str, int], cap: int, share: float) -> bool:
    kept = [min(n, cap) for n in available.values()]
    return max(kept) <= share * sum(kept) * (1 + 1e-12)


@given(COUNTS, SHARES)
def test_the_cap_is_the_largest_that_holds(available: dict[str, int], share: float) -> None:
    caps = [c for c in range(1, max(available.values(), default=0) + 1) if holds(available, c, share)]
    assert topic_cap(available, share) == (caps[-1] if caps else None)


def test_the_share_is_of_what_is_kept() -> None:
    # 40% of all 1000 would be 400, which is 57% of the 700 that then stay.
    assert topic_cap({"a": 700, "b": 150, "c": 150}, 0.4) == 200


def test_a_share_that_few_topics_cannot_reach() -> None:
    assert topic_cap({"a": 10, "b": 10}, 0.4) is None
    assert topic_cap({}, 0.4) is None
    assert topic_cap({"a": 10}, 1.0) == 10


WEIGHTS = st.dictionaries(st.sampled_from("abcdefg"), st.floats(0.01, 100), min_size=1, max_size=7)


@given(COUNTS, WEIGHTS)
def test_quotas_follow_the_weights_and_leave_no_topic_short(
    available: dict[str, int], weights: dict[str, float]
) -> None:
    quotas = topic_quotas(available, Balance(target=weights))
    total, whole = sum(quotas.values()), sum(weights.values())
    assert quotas.keys() == weights.keys()
    assert all(abs(quota - total * weights[t] / whole) < 1 for t, quota in quotas.items())
    found = {topic: n for topic, n in available.items() if topic in weights}
    assert all(quotas[topic] <= n for topic, n in found.items())
    if found:  # one more picture would leave some topic short
        assert any((total + 1) * weights[topic] / whole > n * (1 - 1e-9) for topic, n in found.items())


@given(COUNTS, WEIGHTS, st.integers(1, 1000))
def test_a_total_is_shared_out_to_the_last_picture(
    available: dict[str, int], weights: dict[str, float], total: int
) -> None:
    quotas = topic_quotas(available, Balance(target=weights, total=total))
    assert sum(quotas.values()) == total


def test_an_even_target_is_as_flat_as_the_rarest_topic_allows() -> None:
    available = {"a": 700, "b": 90, "c": 150}
    assert topic_quotas(available, Balance(target="even")) == {"a": 90, "b": 90, "c": 90}
    assert topic_quotas(available, Balance(target="even", total=100)) == {"a": 34, "b": 33, "c": 33}
    assert topic_quotas({}, Balance(target="even")) == {}


@pytest.mark.parametrize(
    ("wrong", "why"),
    [
        ({"target": {}}, "needs weights"),
        ({"target": {"a": 0.0}}, "needs weights"),
        ({"target": {"a": -1.0, "b": 2.0}}, "needs weights"),
        ({"target": "even", "max_share": 0.5}, "exclude each other"),
        ({"total": 5}, "belongs to target"),
        ({"target": "evn"}, "even"),
    ],
)
def test_a_target_that_means_nothing_is_refused(wrong: dict[str, object], why: str) -> None:
    with pytest.raises(ValidationError, match=why):
        Balance.model_validate(wrong)


TOPICS = {"common": 900, "fair": 300, "rare": 20}


class Recorder(SilentReporter):
    """Keeps the remarks."""

    def __init__(self) -> None:
        self.remarks: list[str] = []

    def log(self, message: str) -> None:
        self.remarks.append(message)


def balanced(folder: Path, balance: Balance) -> tuple[Manifest, Recorder]:
    """The job over a drop with these topics."""
    topics = [topic for topic, n in TOPICS.items() for _ in range(n)]
    rows = [
        {"sample_id": n, "source": f"a#{n:04d}", "status": "kept", "topic": topic}
        for n, topic in enumerate(topics)
    ]
    schema = pa.schema([*BASE_FIELDS, ("topic", pa.string())])
    before = Output(str(folder / "topics"))
    files = (
        before.publish_table("data/catalogue.parquet", pa.Table.from_pylist(rows, schema=schema)),
        publish_shards(before, []),
    )
    counts = Counts(total=len(rows), kept=len(rows))
    before.commit(Manifest(asset="t2i/topics", partition="d", fingerprint="f", files=files, counts=counts))
    spec = JobSpec[BalanceSettings](
        asset="t2i/balanced",
        partition="d",
        fingerprint="f",
        inputs={"t2i/topics": [before.uri]},
        output=str(folder / "balanced"),
        settings=BalanceSettings(balance=balance),
    )
    report = Recorder()
    return run(spec, report), report


def test_topics_end_within_two_percent_of_their_quotas(tmp_path: Path) -> None:
    target = {"common": 5.0, "fair": 3.0, "rare": 1.0}
    manifest, report = balanced(tmp_path, Balance(target=target))
    quotas = manifest.metadata["quotas"]
    kept = Counter(kept_rows(read_catalogue(str(tmp_path / "balanced")))["topic"].to_pylist())
    assert (
        kept
        == {topic: row["kept"] for topic, row in quotas.items()}
        == {"common": 100, "fair": 60, "rare": 20}
    )
    assert all(abs(row["kept"] - row["quota"]) <= 0.02 * row["quota"] for row in quotas.values())
    assert {topic: row["available"] for topic, row in quotas.items()} == TOPICS
    assert manifest.counts.rejected == {"over_quota": 1040}
    assert report.remarks == []


def test_a_topic_with_too_few_keeps_them_all_and_is_reported(tmp_path: Path) -> None:
    target = {"common": 1.0, "rare": 1.0, "none": 1.0}
    manifest, report = balanced(tmp_path, Balance(target=target, total=300))
    assert manifest.metadata["quotas"] == {
        "common": {"available": 900, "quota": 100, "kept": 100, "short": 0},
        "fair": {"available": 300, "quota": 0, "kept": 0, "short": 0},
        "none": {"available": 0, "quota": 100, "kept": 0, "short": 100},
        "rare": {"available": 20, "quota": 100, "kept": 20, "short": 80},
    }
    assert report.remarks == ["topic 'none' is short: 0 of 100", "topic 'rare' is short: 20 of 100"]


@given(st.lists(st.tuples(st.integers(0, 2**64 - 1), st.sampled_from("abc")), unique=True), st.randoms())
def test_choice_does_not_depend_on_order(records: list[tuple[int, str]], random: Random) -> None:
    quotas = {"a": 2, "b": 0}

    def chosen(order: list[tuple[int, str]]) -> set[tuple[int, str]]:
        keep = choose([i for i, _ in order], [t for _, t in order], quotas, seed=7)
        return {record for record, kept in zip(order, keep, strict=True) if kept}

    shuffled = sorted(records, key=lambda _: random.random())
    assert chosen(records) == chosen(shuffled)
    counts = Counter(topic for _, topic in records)
    assert Counter(t for _, t in chosen(records)) == Counter({"a": min(2, counts["a"])})


def test_another_seed_chooses_others() -> None:
    ids, topics = list(range(100)), ["a"] * 100
    assert choose(ids, topics, {"a": 50}, 0) != choose(ids, topics, {"a": 50}, 1)
    assert all(choose(ids, topics, {"a": 100}, 0))
