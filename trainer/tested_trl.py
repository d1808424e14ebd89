"""The trl whose methods are overridden. Another one runs its own, with a warning."""

import warnings

import trl

TESTED_TRL = "1.16.0"


def is_tested_trl(what: str) -> bool:
    """Whether the installed trl is the tested one; warns once about `what` is given up where it is not."""
    if trl.__version__ == TESTED_TRL:
        return True
    warnings.warn(f"{what}: trl {trl.__version__} is not {TESTED_TRL}, the version this was tested with", stacklevel=3)
    return False
