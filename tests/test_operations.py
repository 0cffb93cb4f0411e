"""What operators copy from the documentation works: units, container, alerts, dashboard, logs."""

from __future__ import annotations

import json
import re
import shutil
import socket
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest
from twisted.internet import reactor

from tests.interop.server import PROJECT, missing
from tests.support import IDIOMS
from tests.test_admin import parsed
from tests.test_metrics import values
from tests.test_twistd import TWIST, TWISTD, Activated, Client, Other, environment
from txhixie import HixieFactory
from txhixie.admin.exposition import exposition
from txhixie.admin.reporter import Reporter
from txhixie.server.service import HixieService
from txhixie.tap import Options
from txhixie.twistd.composing import _reporter as makeReporter
from txhixie.websocket.counters import EVENTS

OPERATIONS = PROJECT / "docs" / "operations"
UNITS = sorted(OPERATIONS.glob("*.service"))
LOOPBACK = "tcp:0:interface=127.0.0.1"
# What only a supervisor has.
OF_WORKERS = {"txhixie_worker_up", "txhixie_worker_restarts_total"}
# What Prometheus itself has.
OF_PROMETHEUS = {"up"}


def tool(name: str, package: str) -> str:
    """@return: the path of a program; the test is skipped if it is not installed."""
    return shutil.which(name) or missing(f"apt-get install {package}")


def run(*command: str, cwd: Path = OPERATIONS) -> str:
    """@return: what a command prints; it has to succeed."""
    done = subprocess.run(
        command, cwd=cwd, capture_output=True, timeout=60, check=False, encoding="utf-8"
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


# Monitoring


def known() -> set[str]:
    """@return: the names of all samples that a server shows."""
    factory = HixieFactory(None)
    # These have samples after the first only.
    factory.shared.count("refused", 400)
    factory.shared.count("failed", 1002)
    factory.shared.counters.countClosed(1000)
    options = parsed("--backplane", "redis://127.0.0.1:1")
    reporter = makeReporter(HixieService(factory), options)
    return {name for name, _ in values(reporter.report().metrics)} | OF_WORKERS


def expressions(name: str) -> list[str]:
    """@return: all expressions in a file of Prometheus or Grafana."""
    text = (OPERATIONS / name).read_text("utf-8")
    if name.endswith(".json"):
        return [
            target["expr"] for panel in json.loads(text)["panels"] for target in panel["targets"]
        ]
    folded = re.sub(r">-\n\s+(.*)\n\s+(.*)", r"\1 \2", text)
    return re.findall(r"expr: (.*)", folded)


@pytest.mark.parametrize("name", ["alerts.yml", "dashboard.json"])
def test_names(name: str) -> None:
    """Alerts and the dashboard ask only for what there is."""
    asked = set()
    for expression in expressions(name):
        plain = re.sub(r"\{[^}]*\}|\[[^\]]*\]", "", expression)
        plain = re.sub(r"\b(?:by|on) ?\([^)]*\)", "", plain)
        asked |= set(re.findall(r"\b(?:up|(?:txhixie|process)_\w+)\b", plain))
    assert len(asked) > 7
    assert asked <= known() | OF_PROMETHEUS


def test_metricsTable() -> None:
    """The page has every metric of ours, and no other."""
    page = (OPERATIONS.parent / "operations.md").read_text("utf-8")
    listed = re.findall(r"^\| `(txhixie_\w+)` \|", page, re.MULTILINE)
    ours = {re.sub("_(bucket|count|sum)$", "", name) for name in known()}
    assert {*listed} == {name for name in ours if name.startswith("txhixie_")}
    assert len({*listed}) == len(listed)


def test_events() -> None:
    """Events that an alert names are counted."""
    named = re.findall(r'event="([^"]+)"', (OPERATIONS / "alerts.yml").read_text("utf-8"))
    assert named
    assert set(named) <= set(EVENTS)


def test_dashboard() -> None:
    """The dashboard is what Grafana imports: panels that do not overlap, with one data source."""
    dashboard = json.loads((OPERATIONS / "dashboard.json").read_text("utf-8"))
    panels = dashboard["panels"]
    places = {(panel["gridPos"]["x"], panel["gridPos"]["y"]) for panel in panels}
    assert len(places) == len(panels) == len({panel["id"] for panel in panels})
    sources = {target["datasource"]["uid"] for each in panels for target in each["targets"]}
    assert sources == {"${datasource}"}


def test_rules() -> None:
    """Prometheus takes the rules, and they warn of what they say, and of nothing else."""
    promtool = tool("promtool", "prometheus")
    assert "SUCCESS" in run(promtool, "check", "rules", "alerts.yml")
    assert "SUCCESS" in run(promtool, "check", "config", "prometheus.yml")
    assert "SUCCESS" in run(promtool, "test", "rules", "alerts_test.yml")


def test_queries(tmp_path: Path) -> None:
    """Prometheus takes the queries of the dashboard."""
    promtool = tool("promtool", "prometheus")
    rules = [
        {
            "record": f"query_{number}",
            "expr": expression.replace("$__rate_interval", "5m").replace("$instance", ".*"),
        }
        for number, expression in enumerate(expressions("dashboard.json"))
    ]
    # What is JSON is YAML.
    path = tmp_path / "rules.yml"
    path.write_text(json.dumps({"groups": [{"name": "dashboard", "rules": rules}]}))
    assert f"SUCCESS: {len(rules)} rules found" in run(promtool, "check", "rules", str(path))


def test_lint() -> None:
    """Names and types of the metrics are as Prometheus wants them."""
    promtool = tool("promtool", "prometheus")
    text, _ = exposition(Reporter(HixieFactory(None), "", reactor).report().metrics, "")
    done = subprocess.run(
        [promtool, "check", "metrics"], input=text, capture_output=True, timeout=60, check=False
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")


# Units and container


def commandLine(words: list[str]) -> list[str]:
    """@return: the options of hixie in the words of a command."""
    return words[words.index("hixie") + 1 :]


@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.stem)
def test_unitOptions(unit: Path) -> None:
    """The options in a unit are options, and systemd waits longer than the server takes."""
    text = unit.read_text("utf-8")
    (command,) = re.findall(r"^ExecStart=(.*)$", text, re.MULTILINE)
    arguments = commandLine(command.split())
    if "systemd:" in command:
        # There is no such socket here.
        place = arguments.index("systemd:domain=INET6:index=0")
        arguments[place] = "3400"
    options = parsed(*arguments)
    settings = options["settings"]
    (seconds,) = re.findall(r"^TimeoutStopSec=(\d+)$", text, re.MULTILINE)
    assert int(seconds) >= settings.lameDuck + settings.drainTimeout + 5
    assert ("KillMode=mixed" in text.splitlines()) == bool(options["workers"])


def test_units(tmp_path: Path) -> None:
    """systemd takes the units."""
    verify = tool("systemd-analyze", "systemd")
    for path in (*UNITS, *OPERATIONS.glob("*.socket")):
        text = path.read_text("utf-8").replace("/opt/txhixie/bin/twistd", sys.executable)
        (tmp_path / path.name).write_text(text, "utf-8")
    for path in sorted(tmp_path.iterdir()):
        assert run(verify, "verify", str(path), cwd=tmp_path) == ""


def test_containerfile() -> None:
    """The container runs a command that exists, and checks the health where it is."""
    text = (OPERATIONS / "Containerfile").read_text("utf-8")
    entry, command = (
        json.loads(re.findall(rf"^{word} (\[.*\])$", text, re.MULTILINE)[0])
        for word in ("ENTRYPOINT", "CMD")
    )
    options = parsed(*commandLine([*entry, *command]))
    assert options["ports"] == [3400]
    assert options["admin"] == "tcp:9400"
    assert "127.0.0.1:9400/health" in text
    assert "EXPOSE 3400 9400" in text


# Sockets of systemd


def test_activatedWorkers() -> None:
    """Workers share a socket that systemd has made."""
    with (
        socket.create_server(("127.0.0.1", 0)) as listening,
        Activated(listening, "--workers", "2") as server,
    ):
        server.waitForLog("worker 1 serves")
        server.waitForLog("worker 2 serves")
        assert server.port == listening.getsockname()[1]
        for dialect in IDIOMS:
            with closing(Client.to(server.port)) as client:
                client.open(dialect)
                client.talk(dialect)


# Logs


def events(lines: list[str]) -> list[dict[str, object]]:
    """@return: log events from their lines."""
    return [json.loads(line.lstrip("\x1e")) for line in lines if line.strip()]


def test_twistLogs() -> None:
    """twist logs JSON by itself: one event a line, with what happened as fields."""
    with Other([*TWIST, "--log-format=json", "hixie", "--port", LOOPBACK]) as server:
        server.waitForLog("every Origin is accepted")
        made = events(server.lines)
    namespaces = {event["log_namespace"] for event in made}
    assert "txhixie.server.factory.HixieFactory" in namespaces


def test_twistdLogs(tmp_path: Path) -> None:
    """twistd logs JSON with a custom observer, which the documentation shows."""
    text = (OPERATIONS.parent / "operations.md").read_text("utf-8")
    (code,) = re.findall(r"```python\n(# jsonlog\.py\n.*?)```", text, re.DOTALL)
    (tmp_path / "jsonlog.py").write_text(code)
    (command,) = re.findall(r"^(PYTHONPATH=\. twistd .*)$", text, re.MULTILINE)
    words = command.split()[2:]
    where = words.index("3400")
    words[where] = LOOPBACK
    lines: list[str] = []
    process = subprocess.Popen(
        [*TWISTD, *words],
        cwd=tmp_path,
        env=environment(tmp_path),
        stdout=subprocess.PIPE,
        encoding="utf-8",
    )
    try:
        assert process.stdout is not None
        for line in process.stdout:
            lines.append(line)
            if "every Origin is accepted" in line:
                break
    finally:
        process.terminate()
        process.wait(10)
    assert any("HixieFactory" in str(event["log_namespace"]) for event in events(lines))


def test_documentedOptions() -> None:
    """Options that the page names exist."""
    text = (OPERATIONS.parent / "operations.md").read_text("utf-8")
    known = set(re.findall(r"--([\w-]+)", str(Options())))
    # Those of twist, twistd, jq and podman.
    others = {"log-format", "seq", "time", "uid"}
    named = set(re.findall(r"`[^`\n]*?--([\w-]+)", text))
    assert named
    assert named - known - others == set()
