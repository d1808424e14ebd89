"""A worker process whose parent has died stops, so that nothing writes on after a run was killed."""

import os
import signal
import threading

import multiprocess


def stop_when_orphaned() -> None:
    """Ends this process by SIGKILL as soon as the process that started it as a worker is gone; else does nothing.

    For worker processes of datatrove's pools (local with several tasks, Ray). All our work is in journals, so the
    hardest end is also the safe one. A process that is no worker is left alone.
    """
    parent = multiprocess.parent_process()
    if parent is None:
        return

    def watch() -> None:
        parent.join()
        os.kill(os.getpid(), signal.SIGKILL)

    threading.Thread(target=watch, name="orphan watch", daemon=True).start()
