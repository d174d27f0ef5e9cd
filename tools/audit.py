"""Asks OSV whether the versions that we pin have known vulnerabilities: `python -m tools.audit`, part of `make check`.

Where OSV can't be reached nothing is audited, and the last line says so; that fails no check. What is known and doesn't
concern us is in pyproject.toml, `[tool.amphipod.audit]`, with its reason.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[1]

#: What is audited: what `make install` installs, and what images do.
PINNED = ("constraints.txt", *sorted(str(path.relative_to(ROOT)) for path in ROOT.glob("examples/pod/lock-*.txt")))

#: Seconds for all of it: a service that hangs must not hold up a check.
_LIMIT = 45


def main() -> int:
    reasons: dict[str, str] = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["amphipod"]["audit"]
    for file in PINNED:
        command = [sys.executable, "-m", "pip_audit", "--vulnerability-service", "osv", "--no-deps", "--disable-pip"]
        flags = ["--progress-spinner", "off", "--timeout", "5", "--format", "json", "--requirement", str(ROOT / file)]
        ignored = [f"--ignore-vuln={one}" for one in reasons]
        try:
            done = subprocess.run(
                [*command, *flags, *ignored], capture_output=True, text=True, timeout=_LIMIT, check=False
            )
            answer = json.loads(done.stdout)
        except subprocess.TimeoutExpired:
            return _not_audited(f"no answer within {_LIMIT} s")
        except ValueError:
            return _not_audited(done.stderr.strip().rpartition("\n")[2])
        found = [(one["name"], one["version"], flaw) for one in answer["dependencies"] for flaw in one.get("vulns", ())]
        skipped = [one["name"] for one in answer["dependencies"] if "skip_reason" in one]
        for name, version, flaw in found:
            fixed = ", ".join(flaw["fix_versions"]) or "none"
            sys.stderr.write(f"{file}: {name} {version} has {flaw['id']}, fixed in: {fixed}\n")
        if found:
            return 1
        sys.stdout.write(f"{file}: no known vulnerability; not known to OSV: {', '.join(skipped) or 'none'}\n")
    return 0


def _not_audited(reason: str) -> int:
    sys.stdout.write(f"NOT AUDITED: OSV can't be asked for known vulnerabilities ({reason[:200]})\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
