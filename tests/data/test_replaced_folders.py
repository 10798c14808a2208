"""A prepared folder that another process replaces while it is read."""

import pytest

import seqrec
from seqrec.data.prepared import PreparedData
from seqrec.errors import SeqRecError


def prepare(folder, prefix, overwrite=False):
    log = folder / f"{prefix}.csv"
    rows = (f"{prefix}u{n % 9},{prefix}i{n % 7},{n}\n" for n in range(90))
    log.write_text("user,item,time\n" + "".join(rows))
    seqrec.prepare(log, out=folder / "data", overwrite=overwrite)
    return PreparedData.open(folder / "data")


@pytest.mark.parametrize(
    "read",
    [
        lambda opened, blocks: opened.items(),
        lambda opened, blocks: opened.users(),
        lambda opened, blocks: opened.histories(),
        lambda opened, blocks: opened.blocks(),
        lambda opened, blocks: blocks.read([0]),
    ],
)
def test_the_tables_of_another_folder_are_never_read_as_those_that_were_opened(tmp_path, read):
    opened = prepare(tmp_path, "a")
    blocks = opened.blocks()
    before = blocks.read([0]).items.tolist()
    read(opened, blocks)
    new = prepare(tmp_path, "b", overwrite=True)
    with pytest.raises(SeqRecError, match="was replaced while it was read; start again"):
        read(opened, blocks)
    read(new, new.blocks())
    assert new.blocks().read([0]).items.tolist() == before  # the ids differ, the numbers do not


def test_a_run_whose_data_are_replaced_ends_in_one_line(tmp_path, monkeypatch):
    opened = prepare(tmp_path, "a")
    del opened
    real = PreparedData.items

    def replace_and_read(self):
        if self.path == tmp_path / "data":
            monkeypatch.setattr(PreparedData, "items", real)
            prepare(tmp_path, "b", overwrite=True)
        return real(self)

    monkeypatch.setattr(PreparedData, "items", replace_and_read)
    with pytest.raises(SeqRecError, match="was replaced while it was read"):
        seqrec.train("sft", data=tmp_path / "data", out=tmp_path / "run")
    assert not (tmp_path / "run").exists()
