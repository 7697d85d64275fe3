"""The entry point.

Purpose: put the commands together, and turn whatever happens into an exit code.
Guarantees: a ``KakuriError`` is shown with its hint, a mistake in the command line as KK-C01, and nothing else ends in
a traceback unless ``KAKURI_DEBUG`` is set; then a defect of Kakuri shows where it is.
"""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Sequence

import typer

from kakuri.cli import exit_codes
from kakuri.cli.output import Output
from kakuri.errors import KakuriError
from kakuri.version import __version__

# Every mistake in a command line derives from this; its home is click or typer, depending on typer's release.
_UsageError: type[Exception] = typer.BadParameter.__mro__[1]


def _show_version(value: bool) -> None:
    if value:
        typer.echo(f"kakuri {__version__}")
        raise typer.Exit


def _common(
    version: bool = typer.Option(False, "--version", callback=_show_version, is_eager=True, help="Print the version."),
) -> None:
    """Run neural networks on machines their owner does not trust."""


# A command's module is imported when the command is run: a server's process never loads a client's code.
COMMANDS = {
    "check": "check",
    "plan": "plan",
    "build": "build",
    "run": "run_command",
    "audit": "audit",
    "update": "update_make",
    "inspect": "inspect",
    "demo": "demo",
    "doctor": "doctor",
    "bench": "bench",
    "forget": "forget",
    "worker": "worker_serve",
}

# Rooms whose arguments differ from the other rooms' have a module of their own for a command.
ROOM_COMMANDS = {
    ("build", "personal"): "build_personal",
    ("build", "enclave"): "build_enclave",
    ("build", "codegen"): "build_codegen",
    ("plan", "codegen"): "plan_codegen",
    ("plan", "enclave"): "plan_enclave",
    ("update", "install"): "update_install",
    ("check", "offload"): "check_offload",
    ("plan", "offload"): "plan_offload",
    ("audit", "offload"): "audit_offload",
    ("worker", "identity"): "worker_identity",
    ("audit", "codegen"): "audit_codegen",
    ("worker", "place"): "worker_place",
}


def command_line(arguments: Sequence[str]) -> typer.Typer:
    """The application with the command that ``arguments`` name, or with all of them for help and for mistakes."""
    app = typer.Typer(
        name="kakuri",
        help="Run neural networks on machines their owner does not trust.",
        no_args_is_help=True,
        add_completion=False,
        rich_markup_mode="rich",
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["-h", "--help"]},
    )
    app.callback()(_common)
    named = arguments[0] if arguments and arguments[0] in COMMANDS else None
    for name, home in COMMANDS.items():
        if named in {None, name}:
            room_home = ROOM_COMMANDS.get((name, next(iter(arguments[1:]), "")), home)
            app.command(name)(importlib.import_module(f"kakuri.cli.{room_home}").command)
    return app


def main(arguments: Sequence[str]) -> int:
    """Runs one command line and returns its exit code."""
    output = Output(as_json="--json" in arguments)
    try:
        with output.kakuri_warnings():
            done = typer.main.get_command(command_line(arguments)).main(
                list(arguments), prog_name="kakuri", standalone_mode=False, obj=output
            )
        sys.stdout.flush()
        return done if isinstance(done, int) else exit_codes.OK
    except (typer.Abort, KeyboardInterrupt):
        output.note("interrupted")
        return exit_codes.INTERRUPTED
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # nobody reads on: end quietly
        return exit_codes.OK
    except Exception as error:  # the last resort: whatever happened becomes a message and an exit code
        if os.environ.get("KAKURI_DEBUG") and not isinstance(error, (KakuriError, _UsageError)):
            raise
        return output.error(_as_refusal(error))


def _as_refusal(error: Exception) -> KakuriError:
    """Anything that was raised, as something that can be shown."""
    if isinstance(error, KakuriError):
        return error
    if isinstance(error, _UsageError):
        return _usage(error)
    if isinstance(error, ImportError):
        what = f"a module is missing: {error.name or error}"
        return KakuriError("KK-C05", what, hint="install kakuri with pip; `kakuri doctor` shows what there is")
    what = f"internal error: {type(error).__name__}: {error}"
    return KakuriError("KK-X01", what, hint="please report it; KAKURI_DEBUG=1 shows where it happened")


def _usage(error: Exception) -> KakuriError:
    context = getattr(error, "ctx", None)
    command = context.command_path if context is not None else "kakuri"
    message = error.format_message() if isinstance(error, typer.BadParameter) else str(error)
    return KakuriError("KK-C01", message, hint=f"{command} --help")


def run() -> None:
    """The console script."""
    sys.exit(main(sys.argv[1:]))
