"""`nextscale flops` prints the paper's numbers, and says in one line what it cannot count."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from subprocess import CompletedProcess

import pytest

from pipelines.cli.main import main

Run = Callable[..., "CompletedProcess[str]"]
Said = tuple[int, str, str]


@pytest.fixture
def here(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., Said]:
    """Run the command in this process, which has loaded torch already: its code and what it said."""

    def run(*arguments: str) -> Said:
        monkeypatch.setattr(sys, "argv", ["nextscale", *arguments])
        code = main()
        return code, *capsys.readouterr()

    return run


def row(text: str, label: str) -> list[str]:
    line = next(line for line in text.splitlines() if line.startswith(label))
    return line.removeprefix(label).split()


def test_the_tables(nextscale: Run) -> None:
    done = nextscale("flops")
    assert (done.returncode, done.stderr) == (0, "")
    assert row(done.stdout, "MMDiT") == ["73,728", "884,736", "1,207,959,552", "as", "printed"]
    printed = ["10,184", "122,208", "256,215,912", "5.96", "6.38", "as", "printed"]
    assert row(done.stdout, "NextFlow, prompt of 100 first, own step seen") == printed
    alone = ["10,084", "121,008", "252,142,312", "6.04", "6.46"]
    assert row(done.stdout, "NextFlow, Table 14 alone, own step seen") == alone
    assert row(done.stdout, "all matrices, h^2 a token and layer") == ["12.00", "36.29"]
    assert row(done.stdout, "generation, without guidance")[-1] == "1.72e14"
    assert row(done.stdout, "generation, with guidance")[-1] == "3.42e14"
    assert row(done.stdout, "cache, bytes a token (bf16)") == ["401,408", "57,344"]
    assert "…" not in done.stdout
    assert max(map(len, done.stdout.splitlines())) <= 120


def test_other_sizes_are_not_marked_as_printed(here: Callable[..., Said]) -> None:
    code, out, _ = here("flops", "--level", "256", "--preset", "small", "--prefix", "0", "--hidden", "768")
    assert code == 0
    assert "256x256 image in 12 steps" in out
    assert "ratio, h=768" in out
    assert "printed" not in out
    assert "eq. 11 prints" not in out


def test_json_has_exact_numbers(here: Callable[..., Said]) -> None:
    _, out, _ = here("flops", "--json", "--hidden", "2048")
    body = json.loads(out)
    mmdit, printed = body["paper"][:2]
    assert (mmdit["tokens"], mmdit["pairs"], mmdit["ratios"]) == (73_728, 301_989_888, {})
    assert (printed["square"], printed["linear"], printed["printed"]) == (122_208, 256_215_912, True)
    flops = [row["square"] * 2048**2 + row["linear"] * 2048 for row in (mmdit, printed)]
    assert printed["ratios"] == {"2048": flops[0] / flops[1]}
    parts = [body["model"][key]["model"] for key in ("matrices", "attention", "head")]
    assert body["model"]["generation"]["model"] == pytest.approx(sum(parts))
    assert body["model"]["head"]["textbook"] is None


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--preset", "70b"], "--preset: no transformer preset '70b'; there are tiny, small, 2b, 7b"),
        (["--level", "300"], "--level: no level 300; there are 256, 512, 1024"),
        (["--level", "-1"], "--level: no level -1; there are 256, 512, 1024"),
        (["--prefix", "-5"], "--prefix: a prompt has 0 or more tokens, not -5"),
        (["--hidden", "2048", "--hidden", "0"], "--hidden: a layer is 1 or more wide, not 0"),
    ],
)
def test_bad_input_is_one_line(here: Callable[..., Said], arguments: list[str], message: str) -> None:
    assert here("flops", *arguments) == (1, "", f"error: {message}\n")


def test_help_teaches(nextscale: Run) -> None:
    done = nextscale("flops", "--help")
    assert done.returncode == 0
    for word in ("--preset", "--level", "--prefix", "--hidden", "Examples", "eq. 10"):
        assert word in done.stdout
