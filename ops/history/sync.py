"""`./lab history sync URL`: this machine's shelf and the shared one on object storage, brought in step both ways."""

from __future__ import annotations

from ops.environment import find_home
from ops.flags import symbol_of
from trading.market.object_storage import Bucket
from trading.market.shared_store import SharedStore
from trading.market.store import TapeStore


def run_sync(url: str, symbol: str | None) -> int:
    """Sync and say what went which way.

    Raises:
        SettingsError: not an address, or the extra is missing.
        NetworkDownError: the storage does not answer.
        DataProviderError: what is there makes no sense.
    """
    wanted = None if symbol is None else symbol_of(symbol)
    store, count = TapeStore(find_home().tapes), 0
    for done in SharedStore(store, Bucket(url)).sync(wanted):
        count += 1
        what = "settlements" if done.name.endswith("funding") else "months"
        print(f"{done.name}: {done.fetched} {what} came, {done.sent} went")
    print(f"in step with {url}: {count} series")
    return 0
