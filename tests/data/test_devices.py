"""Devices and pipes, which may have no end, are refused before they are read."""

import os
from pathlib import Path

import pytest

from seqrec.data.feedback.annotation_files import read_comparisons
from seqrec.data.id_lists import read_id_lists, read_ids
from seqrec.data.tables import read_table
from seqrec.errors import SeqRecError

READERS = {
    "ids": lambda file: read_ids(file, "user", "--users"),
    "lists": lambda file: read_id_lists(file, "--allow"),
    "table": lambda file: read_table(file, str(file)),
    "comparisons": read_comparisons,
}


@pytest.mark.parametrize("read", READERS.values(), ids=READERS)
@pytest.mark.parametrize("suffix", [".csv", ".ndjson", ".parquet"])
def test_a_pipe_that_nobody_writes_is_refused(tmp_path, read, suffix):
    pipe = tmp_path / f"pipe{suffix}"
    os.mkfifo(pipe)
    with pytest.raises(SeqRecError, match=f"pipe{suffix}: is no regular file"):
        read(pipe)


@pytest.mark.parametrize("read", READERS.values(), ids=READERS)
def test_a_device_without_an_end_is_refused(read):
    with pytest.raises(SeqRecError, match="/dev/zero: is no regular file"):
        read(Path("/dev/zero"))
