"""The command line's options and the verbs' Python functions agree."""

import inspect

import pytest
import typer

import seqrec
import seqrec.cli

COMMANDS = typer.main.get_command(seqrec.cli.app).commands
ORDER = ["datasets", "prepare", "train", "tune", "pairs", "cache", "evaluate", "recommend"]
ORDER += ["export", "demo"]
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


@pytest.mark.parametrize("verb", ORDER)
def test_every_option_has_help(verb):
    assert COMMANDS[verb].help
    assert [option.name for option in COMMANDS[verb].params if not option.help] == []
