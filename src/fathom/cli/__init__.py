"""The command line: parse, call, print. Nothing is computed here.

Every command takes --json and then prints one object on standard output and nothing else there.
Mistakes of the user end with one message on standard error and exit code 2.
"""

from __future__ import annotations

import io
import sys
import time

STARTED = time.monotonic()  # `--minutes` counts from here: the user waits from the first import on


def main(arguments: list[str] | None = None) -> None:
    """Run one command and exit with its code."""
    from cyclopts import CycloptsError

    from fathom.cli.app import app
    from fathom.errors import UserError

    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # file names need not be UTF-8
    try:
        sys.exit(
            app(arguments, exit_on_error=False, print_error=False, result_action="return_value")
        )
    except (UserError, CycloptsError) as error:
        print(f"fathom: {_words(error)}", file=sys.stderr)
        sys.exit(2)
    except KeyboardInterrupt:
        print("fathom: stopped; nothing was written after the last checkpoint", file=sys.stderr)
        sys.exit(130)
    except BrokenPipeError:
        sys.stderr.close()  # whoever read us has gone, as in `fathom models | head`
        sys.exit(141)


def _words(error: Exception) -> str:
    return " ".join(str(error).split())
