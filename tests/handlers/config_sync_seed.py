"""The seed of the config-sync histories: fresh for every run, shown in its header, the same in all xdist workers."""

from __future__ import annotations

import os
import secrets

VARIABLE = "CONFIG_SYNC_SEED"
HISTORIES = 2_000
SEED = int(os.environ.setdefault(VARIABLE, str(secrets.randbelow(2**32))))  # workers inherit the variable


def pytest_report_header() -> str:
    return f"config sync: {HISTORIES} histories, seed {SEED}; repeat with {VARIABLE}={SEED}"
