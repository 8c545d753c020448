"""Generate the baseline of `mlcli --help`: a typer application with the same commands, options and texts, but no code.

The benchmark generates it from the real application before each measurement, so that the two always match.

    python bare_application.py FOLDER     writes FOLDER/bare_application.py and FOLDER/bare.py, which runs it
"""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, get_args, get_type_hints

import typer
from typer.models import ArgumentInfo, CommandInfo, OptionInfo, TyperInfo

from mlcli.cli.app import app

_HEAD = """from __future__ import annotations

import pathlib
from typing import Annotated

import typer

"""
_SETTINGS = ("help", "metavar", "rich_help_panel", "is_eager", "hidden", "min", "max")
_TYPES = ("str", "int", "float", "bool", "pathlib.Path")


def source() -> str:
    """Return the source code of a module that defines the application `app`."""
    return _HEAD + "\n".join(_application("app", app, app.info))


def _application(name: str, application: typer.Typer, info: TyperInfo) -> Iterator[str]:
    """Yield the lines of code that define a copy of `application` in the variable `name`."""
    settings = info.context_settings if isinstance(info.context_settings, dict) else None
    yield (
        f"{name} = typer.Typer(name={_text(info.name)}, help={_text(info.help)}, "
        f"no_args_is_help=True, context_settings={settings!r})\n"
    )
    if application.registered_callback and application.registered_callback.callback:
        yield f"@{name}.callback()"
        yield from _function(f"{name}_main", application.registered_callback.callback)
    for command in application.registered_commands:
        yield f"@{name}.command({_text(_command_name(command))})"
        yield from _function(f"{name}_{_variable(_command_name(command))}", _callback(command))
    for group in application.registered_groups:
        if group.typer_instance is not None:
            variable = f"{name}_{_variable(str(group.name))}"
            yield from _application(variable, group.typer_instance, group.typer_instance.info)
            yield f"{name}.add_typer({variable}, name={group.name!r})\n"


def _command_name(command: CommandInfo) -> str:
    return command.name or _callback(command).__name__.replace("_", "-")


def _callback(command: CommandInfo) -> Callable[..., Any]:
    if command.callback is None:
        raise ValueError(f"the command {command.name} has no function")
    return command.callback


def _function(name: str, function: Callable[..., Any]) -> Iterator[str]:
    hints = get_type_hints(function, include_extras=True)
    parameters = inspect.signature(function).parameters.values()
    yield f"def {name}("
    yield "    *," if parameters else ""  # by keyword, because required ones may follow others
    for parameter in parameters:
        yield f"    {parameter.name}: {_annotation(hints[parameter.name], parameter)},"
    yield ") -> None:"
    yield f"    {(inspect.getdoc(function) or '')!r}\n"


def _annotation(hint: Any, parameter: inspect.Parameter) -> str:
    """Return `Annotated[type, typer.Option(...)] = default` for a parameter declared in either style of typer."""
    kind, *details = get_args(hint) if hasattr(hint, "__metadata__") else (hint, parameter.default)
    info = details[0]
    default = info.default if info is parameter.default else parameter.default
    text = f"Annotated[{_type(kind)}, {_declaration(info)}]"
    return text if default in (inspect.Parameter.empty, ...) else f"{text} = {_literal(default)}"


def _type(kind: Any) -> str:
    text = kind.__name__ if isinstance(kind, type) and not get_args(kind) else str(kind)
    text = text.replace("Path", "pathlib.Path").replace("pathlib.pathlib.", "pathlib.")
    words = text.replace("list[", "").replace("]", "").replace(" | None", "").split()
    return text if all(word in _TYPES for word in words) else "str"


def _declaration(info: ArgumentInfo | OptionInfo) -> str:
    kind = "Option" if isinstance(info, OptionInfo) else "Argument"
    # Inside Annotated, typer.Option stores the first flag as its default.
    first = [info.default] if isinstance(info.default, str) and info.default.startswith("-") else []
    arguments = [repr(declaration) for declaration in (*first, *(info.param_decls or ()))]
    settings = {name: getattr(info, name) for name in _SETTINGS}
    arguments += [f"{name}={value!r}" for name, value in settings.items() if value not in (None, False)]
    return f"typer.{kind}({', '.join(arguments)})"


def _literal(value: Any) -> str:
    return repr(value) if isinstance(value, int | float | bool | None) else repr(str(value))


def _text(value: Any) -> str:
    return repr(value) if isinstance(value, str) else "None"


def _variable(name: str) -> str:
    return name.replace("-", "_")


if __name__ == "__main__":
    folder = Path(sys.argv[1])
    (folder / "bare_application.py").write_text(source(), encoding="utf-8")
    # The application is a separate module, because Python caches the bytecode of modules but not of the main script.
    (folder / "bare.py").write_text("from bare_application import app\n\napp()\n", encoding="utf-8")
