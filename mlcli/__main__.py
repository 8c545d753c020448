"""The entry point of `mlcli` and `python -m mlcli`. A signal ends it without a traceback, also while it is loaded."""

from __future__ import annotations

import sys

from mlcli import signals


def main() -> None:
    """Load the application and run the command line."""
    signals.install()
    try:
        from mlcli.cli import app
    except signals.Interrupted as error:
        print(f"mlcli: {error}", file=sys.stderr)
        sys.exit(error.exit_code)
    app.main()


if __name__ == "__main__":
    main()
