"""Files of comparisons and labels: a name is a name, and a broken file ends in one line."""

import pytest

from seqrec.data.feedback.annotation_files import read_rows
from seqrec.errors import SeqRecError


@pytest.mark.parametrize("suffix", [".csv", ".tsv", ".ndjson"])
def test_brackets_and_stars_in_a_name_match_no_other_file(tmp_path, suffix):
    row = '{"chosen": "%s"}\n' if suffix == ".ndjson" else "chosen\n%s\n"
    for name, value in (("l[1]", "right"), ("l1", "wrong"), ("c*", "right"), ("cat", "wrong")):
        (tmp_path / f"{name}{suffix}").write_text(row % value, encoding="utf-8")
    for name in ("l[1]", "c*"):
        table = read_rows(tmp_path / f"{name}{suffix}", ("history",), "weight")
        assert table["chosen"].to_list() == ["right"]


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("rows.ndjson", b'{"chosen": \n'),
        ("rows.csv", b"chosen\n\xff\xfe\n"),
        ("rows.parquet", b"PAR1 and no more"),
    ],
)
def test_a_broken_file_ends_in_one_line_with_its_name(tmp_path, name, content):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(SeqRecError, match=name) as caught:
        read_rows(tmp_path / name, ("history",), "weight")
    assert "\n" not in str(caught.value)
