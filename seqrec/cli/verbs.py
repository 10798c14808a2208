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
from seqrec.cli.drafts import draft, review
from seqrec.cli.evaluation import evaluate
from seqrec.cli.export import export
from seqrec.cli.extension import extend
from seqrec.cli.recommend import recommend
from seqrec.cli.serve import serve
from seqrec.cli.streams import discard_unwritten, open_streams, results_alone
from seqrec.cli.training import demo, train, tune
from seqrec.cli.training_data import cache, pairs
from seqrec.cli.verification import verify
from seqrec.errors import MESSAGE_LETTERS, SeqRecError, shorten

EXIT_MISTAKE = 2
EXIT_INTERRUPTED = 130
EXIT_CLOSED_PIPE = 141
OUT_OF_MEMORY = ("can't allocate memory", "out of memory", "bad_alloc")
"""Words of the errors of libraries that no memory is left."""

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
    extend,
    pairs,
    cache,
    evaluate,
    recommend,
    export,
    verify,
    serve,
    draft,
    review,
    demo,
):
    app.command()(results_alone(_verb))


def main(arguments: Sequence[str] | None = None) -> None:
    """Run a verb and exit.

    A user's mistake, a full disk and too little memory are one line and exit code 2. Ctrl-C and
    SIGTERM are 130; a reader of the results who goes away, as in ``| head``, is 141.
    """
    open_streams()
    logging.basicConfig(format="seqrec: %(message)s", level=logging.WARNING)
    _end_as_interrupted()
    try:
        _check_text(sys.argv[1:] if arguments is None else arguments)
        code = app(args=arguments, standalone_mode=False)
        sys.stdout.flush()
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
        code = EXIT_CLOSED_PIPE
    except SystemExit as ended:  # 1 is typer's answer to a closed pipe
        code = EXIT_CLOSED_PIPE if ended.code == 1 else ended.code
    except OSError as error:
        _fail(f"{error.filename or 'a stream or file'}: {error.strerror or error}")
    except MemoryError:
        _fail("too little memory; give more, or lower batch sizes and --memory-mb")
    except RecursionError:
        _fail("an option or file is nested too deeply; flatten it")
    except RuntimeError as error:
        if not any(words in str(error) for words in OUT_OF_MEMORY):
            raise
        _fail("too little memory; give more, or lower batch sizes and --memory-mb")
    if code == EXIT_INTERRUPTED:
        print("seqrec: interrupted", file=sys.stderr)
    discard_unwritten()
    sys.exit(code if isinstance(code, int) else 0)


def _end_as_interrupted() -> None:
    """End at a scheduler's or a terminal's signal as at Ctrl-C, unless these are handled."""
    for name in ("SIGTERM", "SIGHUP"):
        number = getattr(signal, name, None)
        is_main = threading.current_thread() is threading.main_thread()
        if number is not None and is_main and signal.getsignal(number) is signal.SIG_DFL:
            signal.signal(number, signal.default_int_handler)


def _check_text(arguments: Sequence[str]) -> None:
    """Refuse names that are no UTF-8, which Parquet, JSON and safetensors cannot hold.

    Raises:
        SeqRecError: an argument, or the name of the current folder.
    """
    for text in (*map(str, arguments), os.getcwd()):
        try:
            text.encode("utf-8")
        except UnicodeEncodeError as error:
            shown = text.encode("utf-8", "backslashreplace").decode()
            raise SeqRecError(
                f"{shown}: is no text in UTF-8; rename it, or set a UTF-8 locale"
            ) from error


def _fail(message: str) -> None:
    print("seqrec:", shorten(message, MESSAGE_LETTERS), file=sys.stderr)
    discard_unwritten()
    sys.exit(EXIT_MISTAKE)
