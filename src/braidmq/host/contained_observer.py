"""An observer whose errors harm nobody: it is the user's own code, called in the middle of ours."""

import logging
from collections.abc import Callable
from typing import Any, TypeVar

O = TypeVar("O")  # noqa: E741 - an observer


def contained(observer: O, kind: type[O], log: logging.Logger) -> O:
    """Return what calls the hooks of `observer`, logs the first error of each, and counts all in `errors`.

    Args:
        observer: of the class `kind`, or of one that is derived from it.
        kind: the class that has all hooks, none of which does anything.
        log: where to tell of errors.
    """
    found: Any = kind()
    found.errors = 0
    for name, hook in vars(kind).items():
        if name.startswith("on_") and getattr(type(observer), name, None) is not hook:
            setattr(found, name, _guarded(getattr(observer, name), name, found, log))
    contained_observer: O = found
    return contained_observer


def hears(contained_observer: object, name: str) -> bool:
    """Whether the observer that `contained` has wrapped has a hook of its own of this name."""
    return name in vars(contained_observer)


def _guarded(hook: Callable[..., object], name: str, found: Any, log: logging.Logger) -> Callable[..., None]:
    told = False

    def call(*arguments: object) -> None:
        nonlocal told
        try:
            hook(*arguments)
        except Exception:
            found.errors += 1
            if not told:
                told = True
                log.exception("%s of the observer failed; further errors of it are only counted", name)

    return call
