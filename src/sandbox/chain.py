"""A block explorer on loopback: fees, mempool, difficulty and height as mempool.space tells them, daily charts and
whole blocks as blockchain.info does, and Fear & Greed as alternative.me does. Every number follows from the sandbox's
time alone, and is made up.
"""

from __future__ import annotations

from aiohttp import web

from sandbox.desk import Now

BLOCK_MS = 600_000
EPOCH_BLOCKS = 2016
GENESIS_MS = 1_231_006_505_000
DAY_MS = 86_400_000
LEVELS = {
    "hash-rate": (6.0e8, "Hash Rate TH/s"),
    "n-transactions": (4.0e5, "Transactions"),
    "transaction-fees": (20.0, "BTC"),
}
"""Name -> a usual level, and the unit as the page has it."""
MAX_DAYS = 366


class ChainDesk:
    """Both pages on one address.

    Args:
        clock: Says how high the chain is and which days are over.
    """

    def __init__(self, clock: Now) -> None:
        self._clock = clock

    def add_routes(self, app: web.Application) -> None:
        """Hang the desk into a server."""
        app.router.add_get("/api/v1/fees/recommended", self._fees)
        app.router.add_get("/api/mempool", self._mempool)
        app.router.add_get("/latestblock", self._latest)
        app.router.add_get("/rawblock/{hash}", self._block)
        app.router.add_get("/fng/", self._fear_greed)
        app.router.add_get("/api/v1/difficulty-adjustment", self._difficulty)
        app.router.add_get("/api/blocks/tip/height", self._height)
        app.router.add_get("/charts/{name}", self._chart)

    async def _fees(self, _: web.Request) -> web.Response:
        fastest = 4 + wobble(self._clock.now_ms() // 3_600_000, 20)
        half_hour, hour = max(2, fastest - 1), max(2, fastest // 2)
        fees = {"fastestFee": fastest, "halfHourFee": half_hour, "hourFee": hour, "economyFee": 2, "minimumFee": 1}
        return web.json_response(fees)

    async def _mempool(self, _: web.Request) -> web.Response:
        count = 20_000 + wobble(self._clock.now_ms() // 600_000, 60_000)
        found = {
            "count": count,
            "vsize": count * 400,
            "total_fee": count * 3_000,
            "fee_histogram": [[4.0, count * 400]],
        }
        return web.json_response(found)

    async def _latest(self, _: web.Request) -> web.Response:
        height = self._blocks()
        found = {
            "hash": _hash(height),
            "time": _mined_s(height),
            "block_index": height,
            "height": height,
            "txIndexes": [],
        }
        return web.json_response(found)

    async def _block(self, request: web.Request) -> web.Response:
        """A block of twenty transactions, of which some move much."""
        height = self._blocks()
        if request.match_info["hash"] != _hash(height):
            return web.json_response({"error": "not-found-or-invalid-arg"}, status=404)
        reward = {"hash": _hash(height * 100), "out": [{"value": 312_500_000}], "inputs": [{}]}
        moved = [
            {
                "hash": _hash(height * 100 + i),
                "inputs": [{}],
                "out": [{"value": (1 + wobble(height * 31 + i, 900)) * 10**8}, {"value": 5_000}],
            }
            for i in range(1, 20)
        ]
        found = {"hash": _hash(height), "height": height, "time": _mined_s(height), "n_tx": 20, "tx": [reward, *moved]}
        return web.json_response(found)

    async def _fear_greed(self, request: web.Request) -> web.Response:
        """Numbers are texts there; the newest day comes first."""
        today = self._clock.now_ms() // DAY_MS
        limit = request.query.get("limit", "1")
        days = min(int(limit), MAX_DAYS) if limit.isdigit() else 1
        rows = [
            {
                "value": str(20 + wobble(day, 60)),
                "value_classification": "Fear" if wobble(day, 60) < 27 else "Greed",
                "timestamp": str(day * DAY_MS // 1000),
            }
            for day in range(today, today - days, -1)
        ]
        found = {"name": "Fear and Greed Index", "data": rows, "metadata": {"error": None}}
        return web.json_response(found)

    async def _difficulty(self, _: web.Request) -> web.Response:
        now_ms, height = self._clock.now_ms(), self._blocks()
        done = height % EPOCH_BLOCKS
        left = EPOCH_BLOCKS - done
        found = {
            "progressPercent": 100.0 * done / EPOCH_BLOCKS,
            "difficultyChange": wobble(height // EPOCH_BLOCKS, 100) / 10.0 - 5.0,
            "estimatedRetargetDate": now_ms + left * BLOCK_MS,
            "remainingBlocks": left,
            "remainingTime": left * BLOCK_MS,
            "previousRetarget": wobble(height // EPOCH_BLOCKS - 1, 100) / 10.0 - 5.0,
            "nextRetargetHeight": height + left,
            "timeAvg": BLOCK_MS,
            "timeOffset": 0,
        }
        return web.json_response(found)

    async def _height(self, _: web.Request) -> web.Response:
        return web.Response(text=str(self._blocks()), content_type="text/plain")

    async def _chart(self, request: web.Request) -> web.Response:
        name = request.match_info["name"]
        if name not in LEVELS:
            return web.json_response({"status": "not-found", "error": f"no chart {name}"}, status=404)
        level, unit = LEVELS[name]
        span = request.query.get("timespan", "1year").removesuffix("days")
        days = min(int(span), MAX_DAYS) if span.isdigit() else MAX_DAYS
        today = self._clock.now_ms() // DAY_MS
        values = [
            {"x": day * DAY_MS // 1000, "y": level * (0.9 + wobble(day, 200) / 1000.0)}
            for day in range(today - days, today + 1)  # today's is there already, and not final
        ]
        found = {"status": "ok", "name": name, "unit": unit, "period": "day", "description": "Made up for the sandbox"}
        return web.json_response({**found, "values": values})

    def _blocks(self) -> int:
        return (self._clock.now_ms() - GENESIS_MS) // BLOCK_MS


def _hash(number: int) -> str:
    return f"{number:064x}"


def _mined_s(height: int) -> int:
    return (GENESIS_MS + height * BLOCK_MS) // 1000


def wobble(step: int, width: int) -> int:
    """A whole number in 0..width-1 that looks random and is the same for the same step."""
    return (step * 2_654_435_761 % 4_294_967_296) * width // 4_294_967_296
