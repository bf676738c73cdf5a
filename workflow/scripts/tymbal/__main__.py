"""Commands for single files and models: `python -m tymbal --help`. Everything larger is done by the workflow."""

import argparse
import logging
import sys
from importlib import import_module

from tymbal.errors import InputError

COMMANDS = ("predict", "export", "classes")


def parser() -> argparse.ArgumentParser:
    """All commands with their options."""
    whole = argparse.ArgumentParser(prog="python -m tymbal", description=__doc__)
    commands = whole.add_subparsers(title="commands", metavar="COMMAND", required=True)
    for name in COMMANDS:
        command = import_module(f"tymbal.commands.{name}")
        told = str(command.__doc__)
        one = commands.add_parser(name, help=told.splitlines()[0], description=told)
        command.arguments(one)
        one.set_defaults(run=command.run)
    return whole


def main() -> int:
    """Run one command; a user's mistake ends it with a message alone. Returns the exit status."""
    logging.basicConfig(level=logging.INFO, stream=sys.stderr, format="%(message)s")
    options = parser().parse_args()
    try:
        options.run(options)
    except InputError as error:
        logging.error("%s", error)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
