"""The command line's options and the verbs' Python functions agree."""

import inspect
import subprocess
import sys

import pytest
import typer

import seqrec
import seqrec.cli
from seqrec.config.load import list_shipped_recipes

COMMANDS = typer.main.get_command(seqrec.cli.app).commands
ORDER = ["datasets", "prepare", "train", "tune", "extend", "pairs", "cache", "evaluate"]
ORDER += ["recommend", "export", "verify", "serve", "draft", "review", "demo"]
HEAVY = {"torch", "transformers", "lightning", "polars", "pyarrow", "faiss", "matplotlib", "numpy"}
SHOW_HELP = """
import contextlib, os, sys
import seqrec.cli
for verb in sys.argv[1:]:
    with contextlib.suppress(SystemExit), contextlib.redirect_stdout(open(os.devnull, "w")):
        seqrec.cli.main([verb, "--help"])
print(*sys.modules)
"""
ONLY_PRINTED = {"as_json", "dry_run", "strata"}


def test_help_lists_the_verbs_in_the_order_of_work():
    assert list(COMMANDS) == ORDER


@pytest.mark.parametrize("verb", ORDER)
def test_an_option_has_the_default_of_the_functions_parameter(verb):
    parameters = inspect.signature(getattr(seqrec, verb)).parameters
    for option in COMMANDS[verb].params:
        name = option.name
        if name in ONLY_PRINTED | {"help"}:
            continue
        if name == "keep_seen":
            assert option.default is not parameters["exclude_seen"].default
            continue
        parameter, default = parameters[name], option.default
        if parameter.default is inspect.Parameter.empty or not parameter.default:
            assert not default, name
        elif isinstance(parameter.default, tuple):
            assert default == ",".join(map(str, parameter.default)), name
        else:
            assert default == parameter.default, name


def test_the_help_of_no_verb_imports_anything_heavy():
    command = [sys.executable, "-c", SHOW_HELP, *ORDER]
    shown = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert not {name.split(".")[0] for name in shown.split()} & (HEAVY | {"yaml"})


@pytest.mark.parametrize("verb", ORDER)
def test_every_option_has_help(verb):
    assert COMMANDS[verb].help
    assert [option.name for option in COMMANDS[verb].params if not option.help] == []


def test_the_help_of_train_names_the_shipped_recipes():
    (recipe,) = (option for option in COMMANDS["train"].params if option.name == "recipe")
    named = recipe.help.partition("(")[2].partition(")")[0]
    assert sorted(named.split(", ")) == sorted(list_shipped_recipes())
