"""The asset graph in a real browser: lineage, a page with its picture, and an asset made by a click."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeVar
from urllib.parse import quote

import dagster as dg
import pytest
import yaml

from assets.build import asset_key
from assets.graph import job_assets
from assets.plan import materialize_stale
from assets.project import Project
from infra.settings import prepare_dagster_home
from pipelines.project import DEMO_RECIPE, load_recipe

webdriver = pytest.importorskip("selenium.webdriver")
T = TypeVar("T")

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
DRIVER = shutil.which("chromedriver")

pytestmark = pytest.mark.skipif(
    not (CHROMIUM and DRIVER), reason="needs a browser: apt-get install chromium chromium-driver"
)

FLAGS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-dev-shm-usage",
    "--window-size=1800,1200",
]
DROP = "t2i-0000"
PATIENCE_S = 120


@pytest.fixture(scope="module")
def project(ray_session: None, tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A home in which the first assets are made and the rest is not."""
    home = tmp_path_factory.mktemp("home")
    small = ["sources.t2i.count=40", "sources.t2i.shard_records=40", "curation.t2i.topics.by=caption"]
    recipe = load_recipe(DEMO_RECIPE, small)
    (home / "recipe.yaml").write_text(yaml.safe_dump(recipe.model_dump(mode="json"), sort_keys=False))
    project = Project(recipe, str(home))
    with dg.DagsterInstance.from_config(prepare_dagster_home(str(home))) as instance:
        list(materialize_stale(project, instance, "t2i/scored,t2i/filtered"))
    return project


@pytest.fixture(scope="module")
def server(project: Project) -> Iterator[str]:
    """The address of `dagster dev` on that home."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    home = Path(project.home)
    environment = os.environ | {
        "DAGSTER_HOME": str(home / "dagster"),
        "NEXTSCALE_HOME": str(home),
        "NEXTSCALE_RECIPE": str(home / "recipe.yaml"),
    }
    command = [sys.executable, "-m", "dagster", "dev", "-m", "pipelines.definitions"]
    command += ["-h", "127.0.0.1", "-p", str(port)]
    log = home / "server.log"
    with log.open("wb") as stream:
        process = subprocess.Popen(
            command, cwd=home, env=environment, stdout=stream, stderr=stream, start_new_session=True
        )
    try:
        _until(lambda: process.poll() is None and _answers(port), lambda: log.read_text()[-3000:])
        yield f"http://127.0.0.1:{port}"
    finally:
        os.killpg(process.pid, signal.SIGINT)
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)


@pytest.fixture
def browser(tmp_path: Path) -> Iterator[webdriver.Chrome]:
    """Headless Chromium with a profile of its own."""
    options = webdriver.ChromeOptions()
    options.binary_location = str(CHROMIUM)
    for flag in [*FLAGS, f"--user-data-dir={tmp_path / 'profile'}"]:
        options.add_argument(flag)
    chrome = webdriver.Chrome(options, webdriver.ChromeService(DRIVER))
    yield chrome
    chrome.quit()


def _answers(port: int) -> bool:
    with socket.socket() as client:
        return client.connect_ex(("127.0.0.1", port)) == 0


def _until(look: Callable[[], T], explain: Callable[[], str]) -> T:
    """The first truthy value of a look; what is there instead is shown when it takes too long."""
    deadline = time.monotonic() + PATIENCE_S
    while time.monotonic() < deadline:
        if found := look():
            return found
        time.sleep(0.3)
    raise AssertionError(explain())


def _text(browser: webdriver.Chrome) -> str:
    return str(browser.execute_script("return document.body.innerText"))


def _sees(browser: webdriver.Chrome, words: list[str]) -> None:
    def missing() -> list[str]:
        text = _text(browser)
        return [word for word in words if word not in text]

    _until(lambda: not missing(), lambda: f"missing {missing()} in: {_text(browser)[:3000]}")


def _click(browser: webdriver.Chrome, label: str) -> None:
    """Click the enabled button that says `label`."""
    script = """
        const buttons = [...document.querySelectorAll('button')];
        const found = buttons.filter(b => b.innerText.trim().startsWith(arguments[0]) && !b.disabled);
        if (found.length) found[found.length - 1].click();
        return found.length > 0;
    """
    _until(lambda: browser.execute_script(script, label), lambda: f"no {label!r} in: {_text(browser)[:3000]}")


def test_the_whole_lineage_is_drawn(browser: webdriver.Chrome, server: str, project: Project) -> None:
    assets = job_assets(project.recipe)
    groups = dict.fromkeys(["sources", *(asset.group for asset in assets)])
    expanded = ",".join(f"global@global:{group}" for group in groups)
    browser.set_window_size(3600, 6000)  # what lies outside of the window is not drawn
    browser.get(f"{server}/asset-groups?expanded={quote(expanded)}")
    drawn = "return [...document.querySelectorAll('foreignObject')].map(node => node.textContent)"
    names = Counter(["t2i", *(asset.key.rsplit("/", 1)[-1] for asset in assets)])

    def missing() -> dict[str, int]:
        texts = browser.execute_script(drawn)
        return {name: n for name, n in names.items() if sum(name in text for text in texts) < n}

    _until(lambda: not missing(), lambda: f"missing {missing()} in: {_text(browser)[:3000]}")
    browser.save_screenshot(f"{project.home}/lineage.png")
    browser.set_window_size(1800, 1200)


def test_an_assets_page_shows_its_picture(browser: webdriver.Chrome, server: str, project: Project) -> None:
    browser.get(f"{server}/assets/t2i/filtered?view=partitions&partition={DROP}")
    _sees(browser, ["kept", "fingerprint", "picture: kept"])
    browser.execute_script("""
        const rows = [...document.querySelectorAll('tr')];
        rows.find(row => row.innerText.startsWith('picture: kept')).querySelector('a').click();
    """)
    widths = "return [...document.querySelectorAll('img[src^=\"data:image/png\"]')].map(i => i.naturalWidth)"
    _until(lambda: any(browser.execute_script(widths)), lambda: f"no picture in: {_text(browser)[:3000]}")
    browser.save_screenshot(f"{project.home}/picture.png")


def test_an_asset_is_made_by_a_click(browser: webdriver.Chrome, server: str, project: Project) -> None:
    wanted = dg.AssetRecordsFilter(asset_key=asset_key("t2i/topics"), asset_partitions=[DROP])
    browser.get(f"{server}/assets/t2i/topics?view=partitions&partition={DROP}")
    _click(browser, "Materialize")
    _click(browser, "Launch 1 run")
    with dg.DagsterInstance.from_config(str(Path(project.home) / "dagster")) as instance:
        found = _until(
            lambda: instance.fetch_materializations(wanted, limit=1).records,
            lambda: f"nothing was made: {_text(browser)[:2000]}",
        )
    event = found[0].asset_materialization
    assert event is not None
    assert event.metadata["kept"].value == 40
    browser.refresh()
    _sees(browser, ["fingerprint"])
    browser.save_screenshot(f"{project.home}/made.png")
