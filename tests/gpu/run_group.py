"""Run the checks of one group and write each row as a line of JSON: `python -m tests.gpu.run_group GROUP FIRST`."""

from __future__ import annotations

import json
import os
import signal
import sys
import time
import traceback
from dataclasses import asdict
from typing import Any

from tests.gpu.checks import FAILED, NOT_POSSIBLE, NOT_REACHED, OK, RAN, Check, NotPossible, Row, choose_scale
from tests.gpu.groups import GROUPS


def main() -> None:
    """Leave after a failure: the next check gets a new process."""
    signal.signal(signal.SIGTERM, stop)
    rows = os.fdopen(os.dup(sys.stdout.fileno()), "w")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())  # libraries print to standard output
    for check in GROUPS[sys.argv[1]](choose_scale())[int(sys.argv[2]) :]:
        row = run_check(check)
        rows.write(json.dumps(asdict(row)) + "\n")
        rows.flush()
        if row.result == FAILED:
            return


def stop(_signal: int, _frame: Any) -> None:
    """Leave all contexts, which end processes and remove folders."""
    sys.exit(1)


def run_check(check: Check) -> Row:
    started = time.monotonic()
    try:
        outcome = check.measure()
        measured, wanted = outcome.measured, outcome.wanted
        result = {True: OK, False: NOT_REACHED, None: RAN}[outcome.is_reached]
    except NotPossible as reason:
        measured, wanted, result = str(reason), "", NOT_POSSIBLE
    except Exception as error:
        traceback.print_exc()
        measured, wanted, result = f"{type(error).__name__}: {error}", "", FAILED
    return Row(check.name, measured, wanted, result, time.monotonic() - started)


if __name__ == "__main__":
    main()
