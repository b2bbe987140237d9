"""ccxt's client of one exchange, without the hundred others that its packages import with it.

Imported the ordinary way, `ccxt.pro` costs seconds and a hundred megabytes, on a small server twice: in the service and
in its guardian. Its three package files only gather every exchange. Here hulls stand in their place, which load an
exchange when it is asked for, from where it lies: the same code. This rests on how ccxt lays out its files; should that
change, ccxt is imported the ordinary way. Like ccxt's own, this import has a price: it is made with the first call.
"""

from __future__ import annotations

import sys
from importlib import import_module
from importlib.util import find_spec
from types import ModuleType

import structlog

log = structlog.get_logger()

ROOM, REST, STREAMS = "ccxt", "ccxt.async_support", "ccxt.pro"


def client_of(name: str, *, streams: bool) -> type:
    """The class of an exchange's client.

    Args:
        name: As ccxt calls the exchange, such as `binanceusdm`.
        streams: With WebSockets (`ccxt.pro`), or without (`ccxt.async_support`).

    Raises:
        ImportError: ccxt is not installed.
        AttributeError: ccxt does not know the exchange.
    """
    package = STREAMS if streams else REST
    try:
        return _loaded(package, name)
    except (ImportError, AttributeError, TypeError) as error:
        if not isinstance(sys.modules.get(ROOM), _Hull):
            raise
        log.warning("ccxt.whole", exchange=name, why=f"{type(error).__name__}: {error}")
        for module in (ROOM, REST, STREAMS):
            del sys.modules[module]
        return _loaded(package, name)


def _loaded(package: str, name: str) -> type:
    found = getattr(import_module(package), name)
    if not isinstance(found, type):
        raise TypeError(f"{package}.{name} is a {type(found).__name__}, not a class")
    return found


class _Hull(ModuleType):
    """A package that imports none of its modules until one is asked for."""

    def __setattr__(self, name: str, value: object) -> None:
        """The import system puts a module here when it has loaded it; the package file would have put its class."""
        named = vars(value).get(name) if isinstance(value, ModuleType) else None
        super().__setattr__(name, value if named is None else named)

    def __getattr__(self, name: str) -> object:
        if name.startswith("_"):
            raise AttributeError(name)
        try:
            import_module(f"{self.__name__}.{name}")
        except ModuleNotFoundError as error:
            raise AttributeError(f"{self.__name__}.{name}: {error}") from error
        return vars(self)[name]


def _put_hulls() -> None:
    """Nothing where ccxt is whole already."""
    if ROOM in sys.modules:
        return
    for name in (ROOM, REST, STREAMS):
        spec = find_spec(name)
        if spec is None or spec.submodule_search_locations is None:
            raise ImportError(f"{name} is not installed as a package; run ./lab check --no-tests", name=name)
        hull = _Hull(name)
        hull.__spec__, hull.__loader__, hull.__file__ = spec, spec.loader, spec.origin
        hull.__path__, hull.__package__ = spec.submodule_search_locations, name
        sys.modules[name] = hull
        parent, _, child = name.rpartition(".")
        if parent:
            vars(sys.modules[parent])[child] = hull
    # what ccxt's own modules take from their packages, besides one another
    errors = {name: kind for name, kind in vars(import_module(f"{ROOM}.base.errors")).items() if isinstance(kind, type)}
    for name in (ROOM, REST, STREAMS):
        vars(sys.modules[name]).update(errors)
    for name, module in (("Exchange", "exchange"), ("Precise", "precise")):
        vars(sys.modules[ROOM])[name] = vars(import_module(f"{ROOM}.base.{module}"))[name]


_put_hulls()
from aiohttp import ClientError  # noqa: E402  # of the library that ccxt dials with; comes through it untranslated
from ccxt.base.errors import BaseError, ExchangeClosedByUser, NetworkError  # noqa: E402  # only behind the hulls

__all__ = ["BaseError", "ClientError", "ExchangeClosedByUser", "NetworkError", "client_of"]
