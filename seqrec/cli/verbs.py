"""All verbs, in the order of ``--help``, and the exit codes."""

import logging
import os
import signal
import sys
import threading
from collections.abc import Sequence
from typing import Annotated

import typer
from typer.exceptions import TyperException

import seqrec
from seqrec.cli.data import datasets, prepare
from seqrec.cli.evaluation import evaluate
from seqrec.cli.serving import export, recommend
from seqrec.cli.training import demo, train, tune
from seqrec.cli.training_data import cache, pairs
from seqrec.errors import SeqRecError

EXIT_MISTAKE = 2
EXIT_INTERRUPTED = 130

app = typer.Typer(
    name="seqrec",
    help="Train, evaluate and serve sequential recommenders.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
)


@app.callback(invoke_without_command=True)
def _version(
    context: typer.Context,
    version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False,
) -> None:
    if version:
        print(seqrec.__version__)
        raise typer.Exit


for _verb in (
    datasets,
    prepare,
    train,
    tune,
    pairs,
    cache,
    evaluate,
    recommend,
    export,
    demo,
):
    app.command()(_verb)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run a verb; a user's mistake is one line and exit code 2, Ctrl-C and SIGTERM are 130."""
    logging.basicConfig(format="seqrec: %(message)s", level=logging.WARNING)
    _end_as_interrupted()
    try:
        code = app(args=arguments, standalone_mode=False)
    except SeqRecError as error:
        _fail(str(error))
    except TyperException as error:
        _fail(getattr(error, "format_message", error.__str__)().rstrip(".") + "; see --help")
    except typer.Abort as abort:
        if isinstance(abort.__cause__, EOFError):  # typer takes one for an end of the input
            _fail("a file ends early; write it again")
        code = EXIT_INTERRUPTED
    except KeyboardInterrupt:
        code = EXIT_INTERRUPTED
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(0)
    except OSError as error:
        _fail(f"{error.filename or 'a file'}: {error.strerror or error}")
    if code == EXIT_INTERRUPTED:
        print("seqrec: interrupted", file=sys.stderr)
    sys.exit(code if isinstance(code, int) else 0)


def _end_as_interrupted() -> None:
    """End at a scheduler's or a terminal's signal as at Ctrl-C, unless these are handled."""
    for name in ("SIGTERM", "SIGHUP"):
        number = getattr(signal, name, None)
        is_main = threading.current_thread() is threading.main_thread()
        if number is not None and is_main and signal.getsignal(number) is signal.SIG_DFL:
            signal.signal(number, signal.default_int_handler)


def _fail(message: str) -> None:
    print("seqrec:", " ".join(message.split()), file=sys.stderr)
    sys.exit(EXIT_MISTAKE)
