"""`./lab run` and `./lab doctor`: settings and secrets read, then the service, or the doctor's screen."""

from __future__ import annotations

import asyncio
import gc
import warnings
from contextlib import AsyncExitStack

from ops.ai_trading_lab import serve
from ops.doctor import checks as doctor
from ops.doctor.feasibility import feasibility_check
from ops.doctor.upkeep import model_check, upkeep_checks
from ops.environment import Environment, find_home, read_environment
from ops.guardian.process import guardian_line
from ops.lab_clock import lab_clock
from ops.logs import set_up_logs
from ops.service.lab import Setting
from ops.settings import LabSettings, config_hash, read_settings
from ops.venues import check_fee, make_market_data, make_venue
from trading.domain.clock import Clock
from trading.domain.errors import SettingsError
from trading.exchange.open_venue import TRADES_AT
from trading.storage.home import Home
from trading.storage.reserve import keep_reserve


def run_service() -> int:
    """Run the service of the home until a signal; 0 after one.

    Raises:
        TradingEngineError: settings, secrets or state cannot be used; NetworkDownError: no exchange.
    """
    home = find_home().make()
    environment, settings = read_all(home)
    keep_reserve(home)
    clock = lab_clock(settings)
    set_up_logs(home.log_file, clock=clock, secrets=environment.secret_values(), to_console=False)
    setting = Setting(home, settings, environment, config_hash(settings), settings.venue.origin)
    print(
        f"AI Trading Lab starts; log in {home.log_file}, status with python get_status.py, end with Ctrl-C", flush=True
    )
    if environment.binance_api_key is not None:
        print(guardian_line(home), flush=True)
    try:
        asyncio.run(serve(setting, clock))
    finally:
        gc.freeze()  # the process ends: nobody needs its memory combed for cycles once more, which takes seconds
    return 0


def read_all(home: Home) -> tuple[Environment, LabSettings]:
    """Secrets and settings; old names are told on the screen.

    Raises:
        SettingsError: something in them is wrong.
    """
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always", UserWarning)
        environment, settings = read_environment(home), read_settings(home.settings_file)
    for warning in told:
        print(f"lab: {warning.message}")
    if settings.venue.follow_sandbox_clock and settings.venue.base_url is None:
        raise SettingsError("venue.follow_sandbox_clock: needs venue.base_url; set both, or neither")
    check_fee(settings)
    return environment, settings


def run_doctor(*, offline: bool) -> int:
    """Show the doctor's screen; 0 when nothing is bad, 1 when something is.

    Raises:
        SettingsError: secrets or settings are wrong; what does not need them is shown before.
    """
    home = find_home()
    machine = doctor.machine_checks(home)
    try:
        environment, settings = read_all(home)
    except SettingsError:  # told last, as every command tells it; what can be seen without them is seen
        print(doctor.screen(machine), flush=True)
        raise
    checks = machine + upkeep_checks(home, settings.messages, settings.recording, Clock())
    checks += doctor.settings_checks(home, environment, Clock())
    if not offline:
        checks += asyncio.run(_outside(environment, settings, lab_clock(settings)))
    print(doctor.screen(checks))
    return 0 if doctor.is_green(checks) else 1


async def _outside(environment: Environment, settings: LabSettings, clock: Clock) -> list[doctor.Check]:
    from trading.notify.telegram import TELEGRAM_URL, Telegram

    async with AsyncExitStack() as stack:
        telegram = None
        if environment.telegram_token is not None and environment.telegram_chat_id is not None:
            base_url = settings.telegram.base_url or TELEGRAM_URL
            telegram = await stack.enter_async_context(
                Telegram(environment.telegram_token, environment.telegram_chat_id, base_url=base_url)
            )
        model = None
        if environment.gemini_api_key is not None:
            from ai_brain.llm.gemini import Gemini

            model = await stack.enter_async_context(Gemini(settings.gemini, api_key=environment.gemini_api_key))
        checks = [await doctor.telegram_check(telegram), await model_check(model)]
        checks += await doctor.channel_checks(environment, settings, clock)
        exchange, has_keys = settings.venue.exchange, environment.binance_api_key is not None
        if exchange != TRADES_AT:
            data = make_market_data(settings, environment, clock)
            stack.push_async_callback(data.close)
            checks += await doctor.answer_checks(data, clock, name=exchange)
        if exchange == TRADES_AT or has_keys:
            venue = make_venue(settings, environment, clock)
            stack.push_async_callback(venue.close)
            checks += await doctor.venue_checks(venue, clock, with_keys=has_keys, testnet=environment.binance_testnet)
            if has_keys and doctor.is_green(checks):
                checks.append(await feasibility_check(settings, venue))
        return checks
