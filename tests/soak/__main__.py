"""Run a soak and print what came of it: `make soak ARGS="hostile --minutes 10"`."""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from tests.soak.attacks import ATTACKS
from tests.soak.enrollments import declare, enroll_until
from tests.soak.target import WRONG
from tests.support.gateways.endpoints import gateway

if TYPE_CHECKING:
    from tests.soak.enrollments import Enrollments
    from tests.support.gateways.endpoints import Gateway

ENDPOINTS: Final = 2
HELD: Final = 4  # grants of each attack
REPORT: Final = Path("build/soak-hostile.json")
MAX_P99_S: Final = 1.0
MAX_MEMORY_MIB: Final = 600.0
MAX_LOG_KIB: Final = 300.0  # a minute
SAMPLE_S: Final = 2.0
LEAD_S: Final = 3.0  # the attacks begin before the enrollments do, and end after them


def main() -> None:
    """Run it; exit with 1 if something failed."""
    parser = argparse.ArgumentParser(prog="make soak ARGS=…", description=__doc__)
    parser.add_argument("scenario", choices=["hostile"])
    parser.add_argument("--minutes", type=float, default=10.0)
    minutes = parser.parse_args().minutes
    with gateway(ENDPOINTS) as attacked:
        report = asyncio.run(_soak(attacked, minutes * 60))
    REPORT.parent.mkdir(exist_ok=True)
    REPORT.write_text(json.dumps(report, indent=2) + "\n")
    _print(report)
    sys.exit(1 if report["failures"] else 0)


async def _soak(attacked: Gateway, seconds: float) -> dict[str, Any]:
    honest, held = await declare(attacked, seconds, HELD * len(ATTACKS))
    attackers = [
        await _start(name, attacked, seconds + 2 * LEAD_S, held[number :: len(ATTACKS)])
        for number, name in enumerate(ATTACKS)
    ]
    memory: list[list[float]] = []
    sampling = asyncio.create_task(_sample(attacked, memory))
    try:
        await asyncio.sleep(LEAD_S)
        enrollments = await enroll_until(attacked, honest, time.monotonic() + seconds)
        outputs = [(await each.communicate())[0] for each in attackers]
    finally:
        sampling.cancel()
        for each in attackers:
            if each.returncode is None:
                each.kill()
                await each.wait()
    attacks = {
        f"{name}: {result}": count
        for name, output in zip(ATTACKS, outputs, strict=True)
        for result, count in json.loads(output).items()
    }
    figures = {
        "seconds": round(seconds),
        "enrollments": len(enrollments.seconds),
        "failed enrollments": len(enrollments.failures),
        "p50 s": round(enrollments.percentile(0.5), 3),
        "p99 s": round(enrollments.percentile(0.99), 3),
        "slowest s": round(enrollments.percentile(1.0), 3),
        "largest memory MiB": [round(max(each)) for each in zip(*memory, strict=True)],
        "CPU s": [round(each.cpu_s, 1) for each in attacked.endpoints],
        "records of theft": attacked.rows.one(
            "SELECT count(*) FROM federation_audit_log WHERE kind LIKE 'theft.%'"
        ),
        "log KiB": [round(each.log_kib) for each in attacked.endpoints],
    }
    failures = [*_failures(enrollments, figures, seconds), *(a for a in attacks if WRONG in a)]
    return {"figures": figures, "attacks": attacks, "failures": failures}


async def _start(
    name: str, attacked: Gateway, seconds: float, grants: list[str]
) -> asyncio.subprocess.Process:
    ports = [str(each.port) for each in attacked.endpoints]
    command = (sys.executable, "-m", "tests.soak.attackers", name, str(seconds), *ports)
    tokens = [attacked.rows.invite(grant).spelled() for grant in grants]
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(*command, stdin=pipe, stdout=pipe)
    assert process.stdin is not None
    process.stdin.write(json.dumps(tokens).encode())
    process.stdin.close()
    return process


async def _sample(attacked: Gateway, memory: list[list[float]]) -> None:
    while True:
        memory.append([each.memory_mib for each in attacked.endpoints])
        await asyncio.sleep(SAMPLE_S)


def _failures(enrollments: Enrollments, figures: dict[str, Any], seconds: float) -> list[str]:
    failures = enrollments.failures[:20]
    if figures["p99 s"] >= MAX_P99_S:
        failures.append(f"p99 of an enrollment is {figures['p99 s']} s, not below {MAX_P99_S:g} s")
    if max(figures["largest memory MiB"]) > MAX_MEMORY_MIB:
        failures.append(f"a process took more than {MAX_MEMORY_MIB:g} MiB")
    if figures["records of theft"] > seconds:
        failures.append("theft signals made more than a record a second")
    if max(figures["log KiB"]) > MAX_LOG_KIB * (1 + seconds / 60):
        failures.append(f"a log grew by more than {MAX_LOG_KIB:g} KiB a minute")
    return failures


def _print(report: dict[str, Any]) -> None:
    rows = [*report["figures"].items(), *report["attacks"].items()]
    rows += [("FAILED", failure) for failure in report["failures"]] or [("failed", "nothing")]
    width = max(len(name) for name, _ in rows)
    for name, value in rows:
        print(f"{name:<{width}}  {value}")
    print(f"written to {REPORT}")


if __name__ == "__main__":
    main()
