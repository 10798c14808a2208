"""The runner of campaigns counts, resumes and repeats cases."""

from seqrec.errors import SeqRecError
from tests.campaigns.runner import Verdict, format_table, main, refuse, run_campaign


def judge(generator, folder):
    (folder / "file").touch(exist_ok=False)
    number = int(generator.integers(4))
    if number == 0:
        raise ValueError("no verdict")
    if number == 1:
        return refuse("small", SeqRecError("one line"))
    return Verdict("large", "right", str(number))


def test_a_campaign_resumes_from_its_results(tmp_path):
    whole = run_campaign(judge, range(30), seed=3)
    results = tmp_path / "results.ndjson"
    part = run_campaign(judge, range(10), seed=3, results=results)
    assert [case.result for case in part] == [case.result for case in whole[:10]]
    resumed = run_campaign(judge, range(30), seed=3, results=results)
    strip = [(case.number, case.kind, case.result) for case in whole]
    assert [(case.number, case.kind, case.result) for case in resumed] == strip
    assert len(results.read_text().splitlines()) == 30
    assert run_campaign(judge, range(5), seed=4, results=results) != whole[:5]


def test_the_table_counts_every_case_and_failures_set_the_exit_code(capsys):
    cases = run_campaign(judge, range(30), seed=3)
    counts = [case.result for case in cases]
    expected = f"| all | {counts.count('right')} | {counts.count('refused')} | 0 | "
    assert expected + f"{counts.count('traceback')} |" in format_table(cases)
    assert main(judge, 30, ["--seed", "3"]) == 1
    assert "no verdict" in capsys.readouterr().out
    assert main(lambda generator, folder: Verdict("k", "right"), 3, []) == 0


def test_an_error_without_a_line_is_wrong():
    assert refuse("kind", SeqRecError("")).result == "wrong"
    assert refuse("kind", SeqRecError("one")).result == "refused"
