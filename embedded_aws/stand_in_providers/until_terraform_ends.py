"""Run a stand-in for as long as the Terraform that has started it.

Terraform ends its providers itself. If Terraform is killed nobody does, and the library of the stand-ins would wait
forever for the next call.

Usage: python until_terraform_ends.py PID PROGRAM [ARGUMENT ...]
"""

import os
import runpy
import signal
import sys
import threading
import time

_LOOK_SECONDS = 0.5
_END_SECONDS = 5.0


def _watch(terraform: int) -> None:
    while os.getppid() == terraform:  # whose parent has ended gets another one, on every Unix
        time.sleep(_LOOK_SECONDS)
    os.kill(os.getpid(), signal.SIGUSR1)
    time.sleep(_END_SECONDS)
    os._exit(1)


if __name__ == "__main__":
    # As Ctrl-C does, even where SIGINT is ignored: the library then removes its socket.
    signal.signal(signal.SIGUSR1, signal.default_int_handler)
    terraform, program = int(sys.argv[1]), sys.argv[2]
    del sys.argv[:2]
    threading.Thread(target=_watch, args=(terraform,), daemon=True).start()
    runpy.run_path(program, run_name="__main__")
