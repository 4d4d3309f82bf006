"""`nextscale flops` prints the paper's numbers, and says in one line what it cannot count."""

from __future__ import annotations

import json
from collections.abc import Callable
from subprocess import CompletedProcess

import pytest

Run = Callable[..., "CompletedProcess[str]"]


def cells(line: str, label: str) -> list[str]:
    return line.removeprefix(label).split()


def row(done: CompletedProcess[str], label: str) -> list[str]:
    line = next(line for line in done.stdout.splitlines() if line.startswith(label))
    return cells(line, label)


def test_the_tables(nextscale: Run) -> None:
    done = nextscale("flops")
    assert (done.returncode, done.stderr) == (0, "")
    assert row(done, "MMDiT") == ["73,728", "884,736", "1,207,959,552", "as", "printed"]
    printed = ["10,184", "122,208", "256,215,912", "5.96", "6.38", "as", "printed"]
    assert row(done, "NextFlow, prompt of 100 first, own step seen") == printed
    alone = ["10,084", "121,008", "252,142,312", "6.04", "6.46"]
    assert row(done, "NextFlow, Table 14 alone, own step seen") == alone
    assert row(done, "all matrices, h^2 a token and layer") == ["12.00", "36.29"]
    assert row(done, "generation, without guidance")[-1] == "1.72e14"
    assert row(done, "generation, with guidance")[-1] == "3.44e14"
    assert row(done, "cache, bytes a token (bf16)") == ["401,408", "57,344"]
    assert "…" not in done.stdout
    assert max(map(len, done.stdout.splitlines())) <= 120


def test_other_sizes_are_not_marked_as_printed(nextscale: Run) -> None:
    done = nextscale("flops", "--level", "256", "--preset", "small", "--prefix", "0", "--hidden", "768")
    assert done.returncode == 0
    assert "256x256 image in 12 steps" in done.stdout
    assert "ratio, h=768" in done.stdout
    assert "printed" not in done.stdout
    assert "eq. 11 prints" not in done.stdout


def test_json_has_exact_numbers(nextscale: Run) -> None:
    body = json.loads(nextscale("flops", "--json", "--hidden", "2048").stdout)
    mmdit, printed = body["paper"][:2]
    assert (mmdit["tokens"], mmdit["pairs"], mmdit["ratios"]) == (73_728, 301_989_888, {})
    assert (printed["square"], printed["linear"], printed["printed"]) == (122_208, 256_215_912, True)
    flops = {
        key: value["square"] * 2048**2 + value["linear"] * 2048 for key, value in enumerate(body["paper"])
    }
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
def test_bad_input_is_one_line(nextscale: Run, arguments: list[str], message: str) -> None:
    done = nextscale("flops", *arguments)
    assert (done.returncode, done.stdout, done.stderr) == (1, "", f"error: {message}\n")


def test_help_teaches(nextscale: Run) -> None:
    done = nextscale("flops", "--help")
    assert done.returncode == 0
    for word in ("--preset", "--level", "--prefix", "--hidden", "Examples", "eq. 10"):
        assert word in done.stdout
