"""Where a project and Dagster's records live."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from infra.errors import UserError
from infra.settings import dagster_home, prepare_dagster_home, resolve_home


@pytest.fixture(autouse=True)
def _no_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("NEXTSCALE_HOME", "DAGSTER_HOME"):
        monkeypatch.delenv(name, raising=False)


def test_the_argument_wins_over_the_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    assert resolve_home() == str(tmp_path / ".nextscale")
    monkeypatch.setenv("NEXTSCALE_HOME", "s3://bucket/work/")
    assert resolve_home() == "s3://bucket/work"
    assert resolve_home("mine") == str(tmp_path / "mine")


def test_dagsters_records_are_kept_in_a_local_home_and_beside_a_remote_one(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    assert dagster_home("/work") == "/work/dagster"
    one, other = dagster_home("s3://bucket/one"), dagster_home("s3://bucket/other")
    assert one != other
    assert one.startswith(f"{tmp_path}/nextscale/")
    monkeypatch.setenv("DAGSTER_HOME", "/chosen")
    assert dagster_home("/work") == "/chosen"


def test_dagster_sends_nothing_home_and_a_users_edit_stays(tmp_path: Path) -> None:
    config = Path(prepare_dagster_home(str(tmp_path))) / "dagster.yaml"
    settings = yaml.safe_load(config.read_text())
    assert settings["telemetry"] == {"enabled": False}
    assert settings["nux"] == {"enabled": False}
    config.write_text("telemetry:\n  enabled: false\n")
    prepare_dagster_home(str(tmp_path))
    assert "nux" not in config.read_text()


def test_a_home_that_cannot_be_written_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match=r"file/dagster: cannot be written"):
        prepare_dagster_home(str(tmp_path / "file"))
