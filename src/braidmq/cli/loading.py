"""What a command line names as MODULE:NAME: an object in a module of the user's own."""

import importlib
import importlib.util
import sys
from pathlib import Path
from types import ModuleType

from braidmq.errors import ConfigError


def check_named(target: str, example: str) -> tuple[str, str]:
    """Return the module and the attribute that MODULE:NAME names.

    Raises:
        ConfigError: `target` is not of that form; `example` is, as in ``app:services``.
    """
    name, colon, attribute = target.partition(":")
    if not colon or not attribute or not all(part.isidentifier() for part in name.split(".")):
        what = example.partition(":")[2]
        raise ConfigError(f"{target!r} does not name {what}: write MODULE:NAME, as in {example}")
    return name, attribute


def source_of(target: str) -> list[Path]:
    """Return where the source is of the module that MODULE:NAME names: this directory, and its package elsewhere."""
    here = Path.cwd()
    sys.path.insert(0, str(here))
    try:
        found = importlib.util.find_spec(target.partition(":")[0].partition(".")[0])
    except ValueError:  # __main__ has none
        found = None
    if found is None:
        return [here]
    origin = [found.origin] if found.has_location and found.origin is not None else []
    places = [Path(each) for each in found.submodule_search_locations or origin]
    return [here, *(place for place in places if not place.resolve().is_relative_to(here.resolve()))]


def load_named(target: str, kinds: tuple[type, ...], example: str) -> tuple[ModuleType, object]:
    """Return the module that MODULE:NAME names, looked for in the current directory first, and the object in it.

    Args:
        target: what the command line says.
        kinds: of what is looked for, to tell what there is instead.
        example: of such a name, as in ``app:services``.

    Raises:
        ConfigError: there is no such module, or nothing of that name in it.
    """
    name, attribute = check_named(target, example)
    sys.path.insert(0, str(Path.cwd()))
    try:
        module = importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name is None or not f"{name}.".startswith(f"{error.name}."):
            raise  # the module is there, and lacks something: its traceback says where
        module_name = name.removesuffix(".py")
        hint = "" if name == module_name else f": write the module without .py, as in {module_name}:{attribute}"
        raise ConfigError(f"there is no module {error.name!r} here or among the installed ones{hint}") from None
    if not hasattr(module, attribute):
        raise ConfigError(f"{attribute!r} in {name} does not exist{found_in(module, kinds)}")
    return module, getattr(module, attribute)


def wrong_kind(target: str, named: object, module: ModuleType, kinds: tuple[type, ...], expected: str) -> ConfigError:
    """Return the error that says that what MODULE:NAME names is none of `kinds`."""
    name, _, attribute = target.partition(":")
    kind = type(named)
    what = "class" if isinstance(named, type) else f"{kind.__module__}.{kind.__qualname__}"
    return ConfigError(f"{attribute!r} in {name} is a {what}, {expected}{found_in(module, kinds)}")


def found_in(module: ModuleType, kinds: tuple[type, ...]) -> str:
    """Return what a module has of these kinds, ready to follow a sentence."""
    found = [name for name, value in vars(module).items() if isinstance(value, kinds)]
    return f": {module.__name__} has {', '.join(found)}" if found else ""
