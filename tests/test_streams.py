"""The streams of a command: results alone on standard output, and quiet ends."""

import os
import subprocess
import sys

import pytest

import seqrec
from seqrec.cli import main

SEQREC = f"{sys.executable} -m seqrec"


def run(shell, folder, **environment):
    done = subprocess.run(
        shell,
        shell=True,
        executable="/bin/bash",
        cwd=folder,
        env={**os.environ, **environment},
        capture_output=True,
        timeout=60,
    )
    assert b"Traceback" not in done.stderr and b"ignored" not in done.stderr
    return done.returncode, done.stdout, done.stderr.decode()


@pytest.fixture
def log(tmp_path):
    file = tmp_path / "log.csv"
    file.write_text("user,item,time\n" + "".join(f"u{n % 9},i{n % 7},{n}\n" for n in range(90)))
    return file


@pytest.mark.parametrize(
    ("ends", "codes"),
    [
        ("> /dev/full", {2}),
        ("--help > /dev/full", {2}),
        ("2> /dev/full", {0}),
        ("| true; exit ${PIPESTATUS[0]}", {0, 141}),
        (">&-", {0}),
        ("2>&-", {0}),
        (">&- 2>&- <&-", {0}),
    ],
)
def test_a_stream_that_takes_nothing_ends_quietly(log, ends, codes):
    code, _, errors = run(f"{SEQREC} prepare log.csv --out data {ends}", log.parent)
    assert code in codes and len(errors.splitlines()) <= 30
    if code == 2:
        assert errors.splitlines()[-1].startswith("seqrec: ") and "No space left" in errors
    if "--help" not in ends:
        assert (log.parent / "data" / "manifest.json").is_file()


def test_what_libraries_print_is_no_result(log, capsys, monkeypatch):
    real = seqrec.datasets

    def print_and_list():
        print("a progress bar")
        return real()

    monkeypatch.setattr(seqrec, "datasets", print_and_list)
    with pytest.raises(SystemExit):
        main(["datasets", "--json"])
    shown = capsys.readouterr()
    assert shown.out.startswith("{") and "a progress bar" in shown.err


def test_a_terminal_without_the_letters_gets_replacements(tmp_path):
    file = tmp_path / "映画.csv"
    command = f"{SEQREC} prepare {file.name} --out data"
    code, _, errors = run(command, tmp_path, PYTHONIOENCODING="cp1252")
    assert code == 2 and errors.startswith("seqrec: ??.csv: ")


def test_a_recipe_with_an_accent_is_read_in_the_c_locale(tmp_path):
    (tmp_path / "recipe.yaml").write_text("# Prüfung\nobjective: {name: sft}\n", encoding="utf-8")
    plain = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    code, shown, _ = run(f"{SEQREC} train recipe.yaml --dry-run", tmp_path, **plain)
    assert code == 0 and b"name: sft" in shown


def test_a_name_that_is_no_text_is_one_line(tmp_path):
    code, _, errors = run(f"{SEQREC} prepare $'\\xff.csv' --out data", tmp_path)
    assert code == 2 and errors.startswith("seqrec: \\udcff.csv: is no text in UTF-8")
    assert len(errors.splitlines()) == 1


@pytest.mark.parametrize(
    "error", [MemoryError(), RuntimeError("DefaultCPUAllocator: can't allocate memory: 8 bytes")]
)
def test_too_little_memory_is_one_line_and_a_fault_of_the_program_is_none(
    capsys, monkeypatch, error
):
    def fail():
        raise error

    monkeypatch.setattr(seqrec, "datasets", fail)
    with pytest.raises(SystemExit) as ended:
        main(["datasets"])
    assert ended.value.code == 2
    assert capsys.readouterr().err.startswith("seqrec: too little memory")
    error = RuntimeError("a mistake in the program")
    with pytest.raises(RuntimeError, match="a mistake"):
        main(["datasets"])
