"""The command `fassd`: its verbs, and the exit code of the process.

Exit codes: 0 done; 1 done in part, or findings; 2 bad input; 70 a bug of ours; 130 and 143 after Ctrl-C and SIGTERM.
"""

from __future__ import annotations

import signal
import sys
import traceback
from types import FrameType
from typing import NoReturn

import click

from fassd.cli.benchmark import benchmark_command
from fassd.cli.convert import convert_command
from fassd.cli.data import data_command
from fassd.cli.evaluate import evaluate_command
from fassd.cli.export import export_command
from fassd.cli.inspect import inspect_command
from fassd.cli.networks import networks_command
from fassd.cli.predict import predict_command
from fassd.cli.pretrain import pretrain_command
from fassd.cli.runtimes import runtimes_command
from fassd.cli.train import train_command
from fassd.core.errors import FassdError

BAD_INPUT, OUR_BUG, INTERRUPTED, TERMINATED = 2, 70, 130, 143


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(package_name="fassd", message="fassd %(version)s")
@click.option("--debug", is_flag=True, help="Show where in the code an error came from.")
def cli(debug: bool) -> None:
    """Label every pixel of a street photo: road, pavement, person, car ...

    \b
    fassd predict street.jpg          writes the labeled image to predictions/
    fassd evaluate WEIGHTS --data camvid:PATH
    fassd train camvid --data camvid:PATH --out runs/first
    """


for command in (
    predict_command,
    evaluate_command,
    train_command,
    pretrain_command,
    export_command,
    benchmark_command,
    networks_command,
    runtimes_command,
    inspect_command,
    convert_command,
    data_command,
):
    cli.add_command(command)


class _Terminated(BaseException):
    """SIGTERM, raised in the main thread so that open files are cleaned up on the way out."""


def _terminate(number: int, frame: FrameType | None) -> NoReturn:
    raise _Terminated


def main() -> NoReturn:
    """Runs the command line and exits the process."""
    signal.signal(signal.SIGTERM, _terminate)
    sys.exit(run(sys.argv[1:]))


def run(arguments: list[str]) -> int:
    """Runs the command line; returns the exit code.

    Args:
        arguments: without the program's name.
    """
    try:
        result = cli.main(arguments, prog_name="fassd", standalone_mode=False)
        return result if isinstance(result, int) else 0
    except BaseException as error:
        # Ctrl-C and SIGTERM are no `Exception`s in Python, but the caller gets an exit code for them too.
        if "--debug" in arguments and not isinstance(error, click.ClickException):
            traceback.print_exception(error)
        code, message = _exit_code_and_message(error)
        if message:
            click.echo(message, err=True)
        return code


def _exit_code_and_message(error: BaseException) -> tuple[int, str]:
    """For whatever ended a command."""
    match error:
        case click.ClickException():
            error.show()
            return BAD_INPUT, ""
        case FassdError() | MemoryError():
            found = error if isinstance(error, FassdError) else "needs more memory than there is; give less at once"
            return BAD_INPUT, f"fassd: {found}"
        case click.Abort() | KeyboardInterrupt():
            return INTERRUPTED, "fassd: interrupted"
        case _Terminated():
            return TERMINATED, "fassd: terminated"
        case BrokenPipeError():
            return 0, ""
        case Exception():
            return OUR_BUG, (
                f"fassd: this is a bug in fassd, not your mistake ({type(error).__name__}: {error}); "
                "run again with 'fassd --debug ...' and report what it prints"
            )
    raise error
