"""ccxt's client of one exchange is the one of the whole library, and costs a fraction of it."""

from __future__ import annotations

import json
import subprocess
import sys

COMMON = "import json, sys\ndef loaded(): return sum(name.startswith('ccxt') for name in sys.modules)\n"
ALONE = """
from trading.exchange.ccxt_alone import BaseError, client_of
clients = [client_of(name, streams=name != "kraken") for name in ("binance", "binanceusdm", "kraken")]
"""
WHOLE = """
import ccxt.async_support, ccxt.pro
from ccxt.base.errors import BaseError
clients = [ccxt.pro.binance, ccxt.pro.binanceusdm, ccxt.async_support.kraken]
"""
TOLD = """
print(json.dumps({"loaded": loaded(), "described": [client().describe() for client in clients],
                  "made_of": [[base.__module__ for base in client.__mro__] for client in clients]}, default=str))
"""
ANOTHER_LAYOUT = """
from trading.exchange import ccxt_alone
del vars(sys.modules["ccxt"])["Exchange"]
client = ccxt_alone.client_of("binanceusdm", streams=True)
import ccxt
is_whole, same = client is ccxt.pro.binanceusdm, issubclass(ccxt.NetworkError, ccxt_alone.BaseError)
print(json.dumps({"exchanges": len(ccxt.exchanges), "client": client.__name__, "is_whole": is_whole, "errors": same}))
"""
NOBODY = """
from trading.exchange.ccxt_alone import client_of
try:
    client_of("nobodys", streams=True)
except (ImportError, AttributeError) as error:
    print(json.dumps(str(error)))
"""


def run(code: str) -> object:
    """The last line that a process of its own prints; here ccxt may be whole already."""
    done = subprocess.run([sys.executable, "-c", COMMON + code], capture_output=True, text=True, check=True)
    return json.loads(done.stdout.splitlines()[-1])


def test_a_client_alone_is_the_client_of_the_whole_library() -> None:
    alone, whole = run(ALONE + TOLD), run(WHOLE + TOLD)
    assert isinstance(alone, dict)
    assert isinstance(whole, dict)
    assert alone["described"] == whole["described"]
    assert alone["made_of"] == whole["made_of"]
    assert (alone["loaded"] < 40, whole["loaded"] > 300) == (True, True)


def test_ccxt_in_another_layout_is_imported_the_ordinary_way_with_the_same_errors() -> None:
    found = run(ANOTHER_LAYOUT)
    assert isinstance(found, dict)
    assert found["exchanges"] > 90
    assert (found["client"], found["is_whole"], found["errors"]) == ("binanceusdm", True, True)


def test_an_exchange_that_ccxt_does_not_know_is_an_error() -> None:
    assert "nobodys" in str(run(NOBODY))
