"""The files of `compose/monitoring/`: valid for Prometheus, and of one mind with code and docs."""

from __future__ import annotations

import asyncio
import json
import re
import shlex
import subprocess
from typing import TYPE_CHECKING, Any, Final

import pytest
from jsonschema import Draft202012Validator
from ruamel.yaml import YAML

from reconciler.web.metrics.definitions import DEFINITIONS, MetricType
from reconciler.web.metrics.registry import Metrics
from tests.support.project.checkout import ROOT
from tools import docs

if TYPE_CHECKING:
    from pathlib import Path

MONITORING: Final = ROOT / "compose" / "monitoring"
RUNBOOKS: Final = ROOT / "docs" / "runbooks"
SCHEMA: Final = json.loads((ROOT / "tests/compose/compose-spec.json").read_text())
EXPOSED: Final = {
    f"{each.name}{suffix}"
    for each in DEFINITIONS
    for suffix in (("_bucket", "_count", "_sum") if each.kind is MetricType.HISTOGRAM else ("",))
}


def read(name: str) -> Any:
    return YAML(typ="safe", pure=True).load((MONITORING / name).read_text())


def promtool(*arguments: str, stdin: bytes | None = None) -> str:
    done = subprocess.run(
        ["promtool", *arguments],
        cwd=MONITORING,
        input=stdin,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        check=False,
    )
    output = done.stdout.decode()
    assert done.returncode == 0, output
    return output


def rules() -> list[dict[str, Any]]:
    (group,) = read("rules.yml")["groups"]
    return list(group["rules"])


def panels() -> list[dict[str, Any]]:
    document = json.loads((MONITORING / "dashboard.json").read_text())
    return list(document["panels"])


def expressions() -> dict[str, str]:
    """Return each expression of the rules and the dashboard, by where it stands."""
    return {each["alert"]: each["expr"] for each in rules()} | {
        f"{panel['title']} {target['refId']}": target["expr"]
        for panel in panels()
        for target in panel["targets"]
    }


def test_promtool_takes_the_rules_and_what_they_do_is_as_their_tests_say() -> None:
    assert f"{len(rules())} rules found" in promtool("check", "rules", "rules.yml")
    tested = {
        case["alertname"]
        for test in read("rules_test.yml")["tests"]
        for case in test["alert_rule_test"]
        if case["exp_alerts"]
    }
    assert tested == {each["alert"] for each in rules()}
    assert "SUCCESS" in promtool("test", "rules", "rules_test.yml")


def test_promtool_takes_the_configuration(tmp_path: Path) -> None:
    (tmp_path / "rules.yml").write_text((MONITORING / "rules.yml").read_text())
    (tmp_path / "token").write_text("t")
    text = (MONITORING / "prometheus.yml").read_text()
    secret = "/run/secrets/private-token"
    assert secret in text
    (tmp_path / "prometheus.yml").write_text(text.replace(secret, str(tmp_path / "token")))
    assert "SUCCESS" in promtool("check", "config", str(tmp_path / "prometheus.yml"))


@pytest.mark.parametrize("verb", ["up", "authority"])
def test_promtool_finds_nothing_wrong_with_names_and_help_of_metrics(verb: str) -> None:
    assert promtool("check", "metrics", stdin=asyncio.run(Metrics(verb).text())) == ""


def test_rules_and_dashboard_ask_for_metrics_that_there_are() -> None:
    for place, expression in expressions().items():
        names = set(re.findall(r"\bmosaic_[a-z_]+", expression))
        assert names <= EXPOSED, place
    shown = " ".join(each["expr"] for panel in panels() for each in panel["targets"])
    for each in DEFINITIONS:
        assert each.name in shown, f"{each.name} is on no panel"


def test_prometheus_reads_the_expressions_of_the_dashboard(tmp_path: Path) -> None:
    of_panels = [each for name, each in expressions().items() if not name.startswith("Mosaic")]
    records = [
        {"record": f"panel:{number}", "expr": each.replace("$__rate_interval", "5m")}
        for number, each in enumerate(of_panels)
    ]
    path = tmp_path / "rules.json"  # which is YAML too
    path.write_text(json.dumps({"groups": [{"name": "panels", "rules": records}]}))
    assert f"{len(records)} rules found" in promtool("check", "rules", str(path))


def test_the_job_has_one_name_in_rules_dashboard_and_whatever_scrapes() -> None:
    (scrape,) = read("prometheus.yml")["scrape_configs"]
    named = set(re.findall(r'job="([^"]+)"', " ".join(expressions().values())))
    monitoring = ROOT / "deploy" / "kubernetes" / "monitoring.yaml"
    (monitor,) = (
        each
        for each in YAML(typ="safe", pure=True).load_all(monitoring.read_text())
        if each["kind"] == "ServiceMonitor"
    )
    (endpoint,) = monitor["spec"]["endpoints"]
    (relabeling,) = endpoint["relabelings"]
    assert (endpoint["path"], relabeling["targetLabel"]) == ("/metrics", "job")
    assert named == {scrape["job_name"]} == {relabeling["replacement"]}


def test_panels_do_not_overlap() -> None:
    taken: set[tuple[int, int]] = set()
    for panel in panels():
        at = panel["gridPos"]
        cells = {
            (x, y)
            for x in range(at["x"], at["x"] + at["w"])
            for y in range(at["y"], at["y"] + at["h"])
        }
        assert not cells & taken, panel["title"]
        assert max(x for x, _ in cells) < 24
        taken |= cells


def test_each_alert_has_a_runbook_and_a_row_of_the_documentation() -> None:
    page = (ROOT / "docs" / "metrics.md").read_text()
    named = set()
    for rule in rules():
        runbook = ROOT / rule["annotations"]["runbook"]
        text = runbook.read_text()
        assert text.startswith(f"# {rule['alert']}\n")
        assert "\n## What to look at\n" in text
        assert "\n## What to type\n" in text
        assert f"| [{rule['alert']}](runbooks/{runbook.name}) |" in page
        named.add(runbook)
    assert named == set(RUNBOOKS.glob("*.md"))


@pytest.fixture(scope="module")
def helps() -> dict[str, str]:
    """The help of each command, by its words."""
    return {context.command_path: context.get_help() for context in docs._contexts()}


@pytest.mark.parametrize("page", sorted(RUNBOOKS.glob("*.md")), ids=lambda page: page.stem)
def test_a_runbook_says_what_to_type_and_each_option_of_it_exists(
    page: Path, helps: dict[str, str]
) -> None:
    lines = re.findall(r"^    (mosaic federation .+)$", page.read_text(), re.MULTILINE)
    assert lines
    for line in lines:
        words = shlex.split(line)
        path = next(" ".join(words[:n]) for n in (4, 3) if " ".join(words[:n]) in helps)
        for option in (word for word in words if word.startswith("--")):
            assert f"{option} " in helps[path] or f"{option}\n" in helps[path], line


def test_the_compose_file_is_valid_and_adds_prometheus_beside_the_gateway() -> None:
    document = read("docker-compose.monitoring.yml")
    problems = Draft202012Validator(SCHEMA).iter_errors(document)
    assert [f"{each.json_path}: {each.message}" for each in problems] == []
    below = YAML(typ="safe", pure=True).load(
        (ROOT / "compose" / "docker-compose.federated.yml").read_text()
    )
    services = document["services"]
    assert services.keys() - below["services"].keys() == {"prometheus"}
    prometheus = services["prometheus"]
    assert prometheus["read_only"] is True
    assert prometheus["cap_drop"] == ["ALL"]
    assert all(each.startswith("127.0.0.1:") for each in prometheus["ports"])
    mounted = [each.split(":")[0] for each in prometheus["volumes"] if each.startswith("./")]
    assert all((ROOT / "compose" / each).is_file() for each in mounted)

    (scrape,) = read("prometheus.yml")["scrape_configs"]
    (lookup,) = scrape["dns_sd_configs"]
    assert set(lookup["names"]) == services.keys() - {"prometheus"}
    for name in lookup["names"]:
        settings = services[name]["environment"]
        assert settings["MOSAIC_PRIVATE_LISTEN"].endswith(f":{lookup['port']}")
        token = scrape["authorization"]["credentials_file"]
        assert settings["MOSAIC_PRIVATE_TOKEN_FILE"] == token
        assert set(services[name]["networks"]) & set(prometheus["networks"])
