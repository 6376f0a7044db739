"""checkov over the plan: no failed check without an excuse beside the code, and no excuse without a failed check."""

import json
import subprocess
from pathlib import Path

import pytest

from embedded_aws.deployment import PROJECT
from tests.deploy.conftest import Deployed

pytestmark = pytest.mark.xdist_group("deployment")


def test_every_finding_is_mended_or_excused_with_a_reason(
    stack_dir: Path, deployment: Deployed, tmp_path: Path
) -> None:
    plan = tmp_path / "tfplan.json"
    plan.write_text(json.dumps(deployment.planned))
    run = subprocess.run(
        [PROJECT / ".checkov/bin/checkov", "-f", plan, "--framework", "terraform_plan", "-o", "json", "--quiet"],
        capture_output=True,
        text=True,
        check=False,
    )
    report = json.loads(run.stdout)
    assert report["summary"]["parsing_errors"] == 0
    assert report["summary"]["passed"] > 0
    failed = {(check["resource"], check["check_id"]) for check in report["results"]["failed_checks"]}
    stack = json.loads((stack_dir / "cdk.tf.json").read_text())
    excused = {
        (f"{type_}.{name}", check): reason
        for type_, named in stack["resource"].items()
        for name, body in named.items()
        for check, reason in body["//"].get("excused", {}).items()
    }
    assert failed - set(excused) == set(), "mend it, or say why not with excuse(resource, CHECK=reason)"
    assert set(excused) - failed == set(), "these excuses are not needed any more"
    assert [reason for reason in excused.values() if len(reason) < 20] == []
