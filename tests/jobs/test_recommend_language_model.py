"""``--language-model``: what it reads filters the list, and what cannot go with it is one line."""

import asyncio
import json
import time

import pytest

import seqrec
from seqrec.builders.text_search import build_text_search, open_request_decoder
from seqrec.cli import main
from seqrec.errors import SeqRecError
from seqrec.jobs.list_requests import serve_model
from seqrec.serving.batcher import DeadlinePassedError
from seqrec.serving.text_searches import read_request
from tests.jobs.test_recommend import made  # noqa: F811, F401
from tests.language import save_tiny_llama

TEXT = "something that nobody has a word for"


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    return save_tiny_llama(tmp_path_factory.mktemp("tiny") / "reader")


def test_conditions_that_a_model_reads_filter_the_list(made, tiny, capsys):  # noqa: F811
    with pytest.raises(SystemExit) as ended:
        main(
            ["recommend", str(made / "run"), "--text", TEXT, "--k", "3", "--json"]
            + ["--language-model", str(tiny)]
        )
    assert ended.value.code == 0
    found = json.loads(capsys.readouterr().out)
    conditions = found["request"]["conditions"]
    columns = {"genres", "year"}
    assert {one["column"] for one in conditions} <= columns
    if conditions:
        assert any(note.startswith("by reader: ") for note in found["notes"])
    again = seqrec.recommend(made / "run", text=TEXT, k=3, language_model=tiny)
    assert again["request"] == found["request"]


def test_a_server_reads_beside_other_requests_and_within_its_time(made, tiny):  # noqa: F811
    decoder = open_request_decoder(tiny)
    search = build_text_search(serve_model(made / "run", None, None, None), language_model=decoder)
    expected = search.compile(TEXT)
    assert asyncio.run(read_request(search, TEXT, None, [], 60)) == expected
    own = decoder.decode

    def slow(*given):
        time.sleep(0.5)
        own(*given)

    decoder.decode = slow
    with pytest.raises(DeadlinePassedError):
        asyncio.run(read_request(search, TEXT + " either", None, [], 0.05))


def test_what_goes_with_no_request_is_one_line(made, tiny):  # noqa: F811
    with pytest.raises(SeqRecError, match="--language-model: goes with --text"):
        seqrec.recommend(made / "run", history=["1003"], language_model=tiny)
    with pytest.raises(SeqRecError, match="no such language model"):
        seqrec.recommend(made / "run", text="x", language_model="./no/such/model")
