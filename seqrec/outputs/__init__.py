"""Output folders and files: where they lie, what may be replaced, who writes, how they appear."""

from seqrec.outputs.existing import refuse_existing, refuse_existing_file
from seqrec.outputs.locations import locate_output
from seqrec.outputs.locks import (
    describe_os_error,
    lock_output,
    reserve_output,
    settle_output,
)
from seqrec.outputs.ownership import METRICS_FILE, find_foreign
from seqrec.outputs.replacing import swap_in
from seqrec.outputs.writing import new_file, new_folder

__all__ = [
    "METRICS_FILE",
    "describe_os_error",
    "find_foreign",
    "locate_output",
    "lock_output",
    "new_file",
    "new_folder",
    "refuse_existing",
    "refuse_existing_file",
    "reserve_output",
    "settle_output",
    "swap_in",
]
