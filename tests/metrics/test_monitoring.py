"""The dashboard and the alerts: what they ask for exists, and Prometheus can read it."""

import json
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest

from roomd.metrics.families import FAMILIES
from roomd.metrics.nodes import NODE_FAMILIES
from tests.support.daemon import serving
from tests.support.metrics import Series, get, parse
from tests.support.nats import running
from tests.support.needs import needs
from tests.support.postgresql import Server
from tests.support.processes import PATIENCE
from tests.support.receiver import an_endpoint

ROOT = Path(__file__).parent.parent.parent
RULES = ROOT / "monitoring/roomd-rules.yml"
DASHBOARD = ROOT / "monitoring/roomd-dashboard.json"
HOW_TO = ROOT / "docs/how-to/monitoring.md"
OWN = re.compile(r"\b(?:roomd|process|python)_[a-z0-9_]+")
"""The name of a metric in an expression."""
SELECTOR = re.compile(r"\b((?:roomd|process)_[a-z0-9_]+)\{([^}]*)\}")
"""A metric with conditions for its labels."""


@pytest.fixture(scope="module")
def text(tmp_path_factory: pytest.TempPathFactory, postgresql: Server) -> str:
    """What a real daemon answers, with what a node of a cluster has on top."""
    folder = tmp_path_factory.mktemp("watched")
    with serving(folder, **an_endpoint(folder)) as daemon:
        alone = get(daemon)
    folder = tmp_path_factory.mktemp("node")
    with running(folder) as nats:
        settings = {
            "ROOMD_DATABASE_URL": postgresql.create(),
            "ROOMD_CLUSTER_NATS": nats.url,
            "ROOMD_CLUSTER_NODE": "a",
        }
        with serving(folder, **settings) as node:
            of_node = [line for line in get(node).splitlines() if "roomd_cluster_" in line]
    return "\n".join([*alone.splitlines(), *of_node, ""])


def rule_expressions() -> list[str]:
    """Return the expressions of the alerts."""
    found = re.findall(r"^ +expr: (.*)$", RULES.read_text(encoding="utf-8"), re.MULTILINE)
    assert len(found) > 10
    return found


def dashboard_expressions() -> list[str]:
    """Return the expressions of the dashboard, with its variable for the daemons."""
    dashboard: dict[str, Any] = json.loads(DASHBOARD.read_text(encoding="utf-8"))
    found = [target["expr"] for panel in dashboard["panels"] for target in panel.get("targets", ())]
    found += [variable["definition"] for variable in dashboard["templating"]["list"] if "definition" in variable]
    assert len(found) > 30
    return found


def expand(label: str, condition: str) -> re.Pattern[str]:
    """Return what a series must contain to meet a condition."""
    name, operator, value = re.findall(r'(\w+)(=~?)"([^"]*)"', condition)[0]
    assert name == label
    return re.compile(rf'\b{name}="(?:{value if operator == "=~" else re.escape(value)})"')


@pytest.mark.parametrize("expressions", [rule_expressions(), dashboard_expressions()], ids=["rules", "dashboard"])
def test_every_metric_exists(expressions: list[str], text: str) -> None:
    """Each name is one of a real daemon's output, and so is each value of a label."""
    found: Series = parse(text)
    names = {series.partition("{")[0] for series in found}
    for expression in expressions:
        used = set(OWN.findall(expression))
        assert used <= names, expression
        for name, conditions in SELECTOR.findall(expression):
            for condition in conditions.split(","):
                label = re.split("[=!~]", condition)[0]
                if label not in ("job", "instance"):  # Prometheus adds these
                    wanted = expand(label, condition)
                    assert any(series.startswith(f"{name}{{") and wanted.search(series) for series in found), expression


def test_the_dashboard_shows_every_metric() -> None:
    """Nothing is counted that nobody sees."""
    shown = " ".join(dashboard_expressions())
    hidden = {"roomd_config_reloads_total", "roomd_config_last_reload_success_timestamp_seconds"}
    assert {family.name for family in FAMILIES + NODE_FAMILIES if family.name not in shown} == hidden


def test_panels_do_not_overlap() -> None:
    """Each panel has a place of its own in the 24 columns."""
    taken: dict[tuple[int, int], str] = {}
    dashboard = json.loads(DASHBOARD.read_text(encoding="utf-8"))
    assert len({panel["id"] for panel in dashboard["panels"]}) == len(dashboard["panels"])
    for panel in dashboard["panels"]:
        place = panel["gridPos"]
        for x in range(place["x"], place["x"] + place["w"]):
            for y in range(place["y"], place["y"] + place["h"]):
                assert x < 24
                assert (x, y) not in taken, (panel["title"], taken.get((x, y)))
                taken[x, y] = panel["title"]


def test_every_alert_is_explained() -> None:
    """The how-to says what to do at each alert, and at none that does not exist."""
    alerts = re.findall(r"^ +- alert: (\w+)$", RULES.read_text(encoding="utf-8"), re.MULTILINE)
    assert re.findall(r"^\| `(Roomd\w+)` \|", HOW_TO.read_text(encoding="utf-8"), re.MULTILINE) == alerts


def promtool(*arguments: str | Path, stdin: str = "") -> None:
    """Run promtool; what it says is shown when it finds a fault."""
    command = ["promtool", *map(str, arguments)]
    result = subprocess.run(command, input=stdin, capture_output=True, text=True, check=False, timeout=PATIENCE)
    assert result.returncode == 0, result.stdout + result.stderr


@needs("promtool", "prometheus")
def test_prometheus_reads_the_rules() -> None:
    """promtool finds no fault in the alerts."""
    promtool("check", "rules", RULES)


@needs("promtool", "prometheus")
def test_prometheus_reads_the_example(tmp_path: Path) -> None:
    """Nor in the configuration that the how-to shows."""
    (example,) = re.findall(r"```yaml\n(.*?)```", HOW_TO.read_text(encoding="utf-8"), re.DOTALL)
    (tmp_path / "prometheus.yml").write_text(example.replace("/etc/prometheus/roomd-rules.yml", str(RULES)))
    promtool("check", "config", tmp_path / "prometheus.yml")


@needs("promtool", "prometheus")
def test_prometheus_reads_the_metrics(text: str) -> None:
    """promtool finds no fault in the names, kinds and help texts of roomd."""
    lines = [line for line in text.splitlines() if re.search(r"^(# \w+ )?roomd_", line)]
    promtool("check", "metrics", stdin="\n".join(lines) + "\n")


@needs("promtool", "prometheus")
def test_alerts_fire(tmp_path: Path) -> None:
    """Each alert that a test can make fires for figures that should make it, and not for good ones."""
    cases = "\n".join(CASE.format(**case) for case in CASES)
    (tmp_path / "test.yml").write_text(f"rule_files: ['{RULES}']\nevaluation_interval: 1m\ntests:\n{cases}")
    promtool("test", "rules", tmp_path / "test.yml")


CASE = """
  - interval: 1m
    input_series:
      - {{series: '{series}', values: '{values}'}}
      - {{series: '{other}', values: '{others}'}}
    promql_expr_test:
      - expr: count(ALERTS{{alertname="{alert}", alertstate="firing"}})
        eval_time: 20m
        exp_samples: [{{value: {fires}}}]
      - expr: count(ALERTS{{alertname="{alert}", alertstate="firing"}})
        eval_time: 0m
        exp_samples: []
"""
JOB = 'job="roomd", instance="a"'
CASES = [
    {
        "alert": alert, "series": f"{name}{{{JOB}{labels}}}", "values": values, "fires": 1,
        "other": f"{other}{{{JOB}}}", "others": others,
    }
    for alert, name, labels, values, other, others in (
        ("RoomdDown", "up", "", "1 0x30", "none", "0x30"),
        ("RoomdStorageFails", "roomd_storage_failures_total", ', reason="full"', "0+1x30", "none", "0x30"),
        ("RoomdDiskLow", "roomd_disk_free_bytes", "", "1500x30", "roomd_disk_reserve_bytes", "1000x30"),
        ("RoomdConnectionsNearLimit", "roomd_connections", "", "95x30", "roomd_connections_limit", "100x30"),
        ("RoomdConnectionsRefused", "roomd_closes_total", ', code="1013"', "0+1x30", "none", "0x30"),
        ("RoomdLimitsApply", "roomd_limited_total",
         ', limit="request", holder="member", action="refused"', "0+100x30", "none", "0x30"),
        ("RoomdReloadFailed", "roomd_config_last_reload_successful", "", "1 0x30", "none", "0x30"),
    )
]  # fmt: skip
