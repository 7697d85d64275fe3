"""The entry point.

Purpose: put the commands together, and turn whatever happens into an exit code.
Guarantees: a ``KakuriError`` is shown with its hint, a mistake in the command line as KK-C01, and nothing else ends in
a traceback unless ``KAKURI_DEBUG`` is set; then a defect of Kakuri shows where it is.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

import typer

from kakuri.cli import audit, bench, build, check, demo, doctor, exit_codes, inspect, plan, run_command
from kakuri.cli.output import Output
from kakuri.errors import KakuriError
from kakuri.version import __version__

# Every mistake in a command line derives from this; its home is click or typer, depending on typer's release.
_UsageError: type[Exception] = typer.BadParameter.__mro__[1]

app = typer.Typer(
    name="kakuri",
    help="Run neural networks on machines their owner does not trust.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _show_version(value: bool) -> None:
    if value:
        typer.echo(f"kakuri {__version__}")
        raise typer.Exit


@app.callback()
def _common(
    version: bool = typer.Option(False, "--version", callback=_show_version, is_eager=True, help="Print the version."),
) -> None:
    """Run neural networks on machines their owner does not trust."""


for name, module in (
    ("check", check),
    ("plan", plan),
    ("build", build),
    ("run", run_command),
    ("audit", audit),
    ("inspect", inspect),
    ("demo", demo),
    ("doctor", doctor),
    ("bench", bench),
):
    app.command(name)(module.command)


def main(arguments: Sequence[str]) -> int:
    """Runs one command line and returns its exit code."""
    output = Output(as_json="--json" in arguments)
    try:
        with output.kakuri_warnings():
            done = typer.main.get_command(app).main(
                list(arguments), prog_name="kakuri", standalone_mode=False, obj=output
            )
        sys.stdout.flush()
        return done if isinstance(done, int) else exit_codes.OK
    except KakuriError as error:
        return output.error(error)
    except _UsageError as error:
        return output.error(_usage(error))
    except (typer.Abort, KeyboardInterrupt):
        output.note("interrupted")
        return exit_codes.INTERRUPTED
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # nobody reads on: end quietly
        return exit_codes.OK
    except Exception as error:
        if os.environ.get("KAKURI_DEBUG"):
            raise
        what = f"internal error: {type(error).__name__}: {error}"
        output.error(KakuriError("KK-X01", what, hint="please report it; KAKURI_DEBUG=1 shows where it happened"))
        return exit_codes.INTERNAL


def _usage(error: Exception) -> KakuriError:
    context = getattr(error, "ctx", None)
    command = context.command_path if context is not None else "kakuri"
    message = error.format_message() if isinstance(error, typer.BadParameter) else str(error)
    return KakuriError("KK-C01", message, hint=f"{command} --help")


def run() -> None:
    """The console script."""
    sys.exit(main(sys.argv[1:]))
