"""The page as a browser meets it: who is let in, what every answer carries, what may be done, and what never is."""

from __future__ import annotations

import asyncio
import json
import os
import re
from contextlib import aclosing
from pathlib import Path

import httpx
import pytest
from pydantic import SecretStr
from starlette.types import Receive, Scope, Send

from ops.dashboard import app as page_app
from ops.dashboard.app import Page
from ops.dashboard.door import COOKIE, WRONG_AT_MOST, Sessions
from ops.dashboard.settings import PageSettings, accepted_hosts, check_exposure
from ops.dashboard.views import BY_KEY, KINDS, Asked
from tests.ops.dashboard.rooms import OURS, URL, beat, client, cycles, everything
from tests.ops.papers import put_in_review
from trading.domain.clock import Clock
from trading.domain.errors import SettingsError
from trading.risk.kill_switch import StopKind, read_stop
from trading.storage.home import Home

TOKEN = "sixteen letters and more"
PATHS = ["/", *(f"/{kind.key}" for kind in KINDS[1:])]


@pytest.fixture(autouse=True)
def no_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(page_app, "WRONG_PAUSE_S", 0.0)


@pytest.mark.parametrize("path", PATHS)
async def test_every_view_of_an_empty_home_is_a_page_that_loads_nothing_from_elsewhere(home: Home, path: str) -> None:
    async with client(home) as browser:
        answer = await browser.get(path)
    assert answer.status_code == 200
    assert answer.text.startswith("<!DOCTYPE html>")
    assert re.findall(r'(?:src|href|action)="([^"/#][^"]*)"', answer.text.replace("data:image/svg+xml", "#")) == []
    assert "default-src 'none'" in answer.headers["content-security-policy"]
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["cache-control"] == "no-store"
    assert "<style" not in answer.text
    assert " style=" not in answer.text
    assert not re.search(r"<script(?! type=\"application/json\"| src=\"/static/)", answer.text)


async def test_a_name_that_points_here_is_not_ours(home: Home) -> None:
    async with client(home, token=TOKEN, names=("lab.example.org",)) as browser:
        for host in ("evil.example", "127.0.0.1", "127.0.0.1:80", ""):
            assert (await browser.get("/", headers={"host": host})).status_code == 421, host
        for host in ("localhost:8750", "LAB.example.org", "[::1]:8750"):
            assert (await browser.get("/login", headers={"host": host})).status_code == 200, host


async def test_what_others_wrote_stays_words(home: Home) -> None:
    beat(home, pid=os.getpid(), next_action='<script>alert("x")</script><img src=x onerror=y>', regime="</script><b>")
    cycles(home, 2)
    text = home.audit_file.read_text().replace("fc-1", "</script><i>")
    home.audit_file.write_text(text)
    async with client(home) as browser:
        answer = (await browser.get("/")).text
    assert "<script>alert" not in answer
    assert "<img" not in answer
    assert "</script><b>" not in answer
    assert "</script><i>" not in answer
    assert "&lt;script&gt;alert" in answer


async def test_nothing_is_shown_to_who_does_not_know_the_password(home: Home) -> None:
    beat(home)
    async with client(home, token=TOKEN) as browser:
        for path in (*PATHS, "/pause", "/stop"):
            answer = await browser.get(path)
            assert (answer.status_code, answer.headers["location"]) == (303, "/login"), path
        for path in ("/live/overview", "/series/equity", "/static/page.js", "/elsewhere"):
            answer = await browser.get(path, headers={"accept": "*/*"})
            assert answer.status_code == 401, path
        assert (await browser.post("/stop", headers=OURS, data={"confirm": "yes"})).status_code == 401
        wrong = await browser.post("/login", headers=OURS, data={"token": "sixteen letters and mor"})
        assert (wrong.status_code, "set-cookie" in wrong.headers) == (403, False)
        right = await browser.post("/login", headers=OURS, data={"token": TOKEN})
        assert right.status_code == 303
        cookie = right.headers["set-cookie"]
        assert {"HttpOnly", "SameSite=Strict", "Path=/"} <= set(cookie.split("; "))
        assert TOKEN not in cookie
        assert "1,012.50" in (await browser.get("/")).text
        assert (await browser.post("/logout", headers=OURS)).status_code == 303
        assert (await browser.get("/")).status_code == 303
    assert read_stop(home, {}).kind is StopKind.NONE


async def test_behind_tls_the_session_goes_over_tls_only(home: Home) -> None:
    async with client(home, token=TOKEN) as browser:
        told = {**OURS, "x-forwarded-proto": "https"}
        answer = await browser.post("/login", headers=told, data={"token": TOKEN})
    assert "Secure" in answer.headers["set-cookie"].split("; ")


@pytest.mark.parametrize(
    "header", ["Forwarded", "X-Forwarded-For", "X-Forwarded-Proto", "X-Forwarded-Host", "X-Real-IP", "Via"]
)
async def test_without_a_password_nothing_is_answered_that_a_proxy_passed_on(home: Home, header: str) -> None:
    beat(home)
    told = {header: "203.0.113.9"}
    async with client(home) as browser:
        for path in (*PATHS, "/live/overview", "/series/equity", "/static/page.js", "/login"):
            answer = await browser.get(path, headers=told)
            assert (answer.status_code, "PAGE_TOKEN" in answer.text) == (403, True), path
        answer = await browser.post("/stop", headers={**OURS, **told}, data={"confirm": "yes"})
        assert (answer.status_code, header.lower() in answer.text) == (403, True)
    assert read_stop(home, {}).kind is StopKind.NONE
    async with client(home, token=TOKEN) as browser:
        assert (await browser.post("/login", headers={**OURS, **told}, data={"token": TOKEN})).status_code == 303
        assert (await browser.get("/", headers=told)).status_code == 200


async def test_without_a_password_a_proxy_that_does_not_say_so_is_known_by_its_old_http(home: Home) -> None:
    async def by_http_1_0(token: str | None) -> int:
        clock = Clock()
        page = Page(Asked(home, clock), Sessions(None if token is None else SecretStr(token), clock))
        app = page.app(hosts=accepted_hosts(PageSettings()))

        async def as_nginx_asks(scope: Scope, receive: Receive, send: Send) -> None:
            await app({**scope, "http_version": "1.0"}, receive, send)

        async with httpx.AsyncClient(transport=httpx.ASGITransport(as_nginx_asks), base_url=URL) as browser:
            return (await browser.get("/login", follow_redirects=False)).status_code

    assert (await by_http_1_0(None), await by_http_1_0(TOKEN)) == (403, 200)


async def test_a_guessed_session_opens_nothing(home: Home) -> None:
    async with client(home, token=TOKEN) as browser:
        for cookie in (f"{COOKIE}=guess", f"{COOKIE}=", "junk; ;=;", f'{COOKIE}="'):
            assert (await browser.get("/", headers={"cookie": cookie})).status_code == 303, cookie


async def test_after_too_many_wrong_passwords_the_right_one_must_wait(home: Home) -> None:
    async with client(home, token=TOKEN) as browser:
        for _ in range(WRONG_AT_MOST):
            assert (await browser.post("/login", headers=OURS, data={"token": "no"})).status_code == 403
        assert (await browser.post("/login", headers=OURS, data={"token": TOKEN})).status_code == 429


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"origin": "https://evil.example"},
        {"origin": "null"},
        {"origin": "http://127.0.0.1:9999"},
        {"sec-fetch-site": "cross-site"},
    ],
)
async def test_another_site_can_neither_pause_nor_stop(home: Home, headers: dict[str, str]) -> None:
    async with client(home) as browser:
        for path in ("/pause", "/stop"):
            answer = await browser.post(path, headers=headers, data={"confirm": "yes"})
            assert answer.status_code == 403
    assert read_stop(home, {}).kind is StopKind.NONE


async def test_pause_and_stop_are_asked_first_and_then_done_as_the_lab_reads_it(home: Home) -> None:
    async with client(home) as browser:
        for path in ("/pause", "/stop"):
            assert "The page cannot take it back" in (await browser.get(path)).text
            assert (await browser.post(path, headers=OURS)).status_code == 400
        assert read_stop(home, {}).kind is StopKind.NONE
        assert "PAUSED is there" in (await browser.post("/pause", headers=OURS, data={"confirm": "yes"})).text
        assert read_stop(home, {}).kind is StopKind.PAUSED
        dead = await browser.post("/stop", headers={"sec-fetch-site": "same-origin"}, data={"confirm": "yes"})
        assert read_stop(home, {}).kind is StopKind.KILL
        assert "The service gives NO SIGN OF LIFE" in dead.text
        beat(home, pid=os.getpid())
        assert "closes both legs now" in (await browser.post("/stop", headers=OURS, data={"confirm": "yes"})).text


async def test_a_stop_that_is_there_keeps_its_words_and_no_path_takes_one_back(home: Home) -> None:
    home.kill_files[0].write_text("by my own hand")
    async with client(home) as browser:
        await browser.post("/stop", headers=OURS, data={"confirm": "yes"})
        for path in ("/release", "/resume", "/unpause", "/arm", "/state/KILL_SWITCH"):
            assert (await browser.post(path, headers=OURS, data={"confirm": "yes"})).status_code in (404, 405)
        for method in ("PUT", "DELETE", "PATCH"):
            assert (await browser.request(method, "/stop", headers=OURS)).status_code == 403
    assert home.kill_files[0].read_text() == "by my own hand"


async def test_a_stop_works_where_nothing_ever_ran_and_a_failed_one_says_so(home: Home, tmp_path: Path) -> None:
    fresh = Home(tmp_path / "fresh")
    fresh.root.mkdir()
    async with client(fresh) as browser:
        assert (await browser.post("/stop", headers=OURS, data={"confirm": "yes"})).status_code == 200
    assert read_stop(fresh, {}).kind is StopKind.KILL
    blocked = Home(tmp_path / "blocked")
    blocked.root.mkdir()
    blocked.state.write_text("a file where a folder should be")
    async with client(blocked) as browser:
        answer = await browser.post("/pause", headers=OURS, data={"confirm": "yes"})
    assert answer.status_code == 500
    assert "It was NOT done" in answer.text


async def test_a_long_body_is_not_read(home: Home) -> None:
    async with client(home) as browser:
        assert (await browser.post("/stop", headers=OURS, content=b"x" * 10_000)).status_code == 413
    assert read_stop(home, {}).kind is StopKind.NONE


async def test_looking_writes_nothing(home: Home) -> None:
    put_in_review(home)
    beat(home)
    cycles(home, 3)
    before = everything(home)
    async with client(home) as browser:
        for path in (*PATHS, "/pause", "/stop", "/series/equity?of=live"):
            assert (await browser.get(path)).status_code == 200
    assert everything(home) == before


async def test_a_part_of_a_chart_comes_in_finer_steps(home: Home) -> None:
    cycles(home, 30)
    async with client(home) as browser:
        whole = (await browser.get("/series/equity?of=live")).json()
        begin, end = whole["x"][10] * 1000, whole["x"][20] * 1000
        part = (await browser.get(f"/series/equity?of=live&from={begin:.0f}&to={end:.0f}")).json()
        assert (await browser.get("/series/equity?from=yesterday")).status_code == 400
    assert part["x"] == whole["x"][10:20]
    assert part["lines"][0] == {"name": "live", "y": [1000.0 + n for n in range(10, 20)]}


async def test_the_view_alone_is_told_to_a_page_that_keeps_itself_up_to_date(home: Home) -> None:
    async with client(home) as browser:
        part = (await browser.get("/", headers={"x-part": "main"})).text
    assert part.startswith("<h1>Overview</h1>")


async def test_a_change_of_a_file_is_pushed_and_the_stream_ends_with_the_page(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(page_app, "LOOK_S", 0.01)
    page = Page(Asked(home, Clock()), Sessions(None, Clock()))
    async with asyncio.timeout(5), aclosing(page._changes(BY_KEY["overview"])) as stream:
        assert "event: here" in await anext(stream)
        beat(home)
        assert "event: look" in await anext(stream)
        home.pause_file.touch()
        assert "event: look" in await anext(stream)
        page.stopping.set()
        assert await anext(stream, "over") == "over"


async def test_that_nothing_changed_is_told_too_since_ages_grow(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(page_app, "LOOK_S", 0.01)
    monkeypatch.setattr(page_app, "ANYWAY_S", 0.05)
    page = Page(Asked(home, Clock()), Sessions(None, Clock()))
    async with asyncio.timeout(5), aclosing(page._changes(BY_KEY["overview"])) as stream:
        await anext(stream)
        assert "event: look" in await anext(stream)


def test_who_can_be_reached_from_elsewhere_needs_a_password() -> None:
    check_exposure(PageSettings(), None)
    check_exposure(PageSettings(host="::1"), None)
    check_exposure(PageSettings(host="192.168.1.5", names=("lab.example.org",)), TOKEN)
    for exposed in (PageSettings(host="192.168.1.5"), PageSettings(host="lab"), PageSettings(names=("lab.org",))):
        with pytest.raises(SettingsError, match="set PAGE_TOKEN"):
            check_exposure(exposed, None)
    with pytest.raises(SettingsError, match="at least 16"):
        check_exposure(PageSettings(), "short")
    assert "[::1]:8750" in accepted_hosts(PageSettings(host="::1"))
    assert "192.168.1.5:8750" in accepted_hosts(PageSettings(host="192.168.1.5"))


async def test_numbers_that_are_none_reach_the_chart_as_null(home: Home) -> None:
    cycles(home, 2)
    with home.audit_file.open("a") as file:
        told = json.loads(home.audit_file.read_text().splitlines()[0])
        file.write(json.dumps({**told, "equity": {"equity_quote": None}}) + "\n")
        file.write("half a li")
    async with client(home) as browser:
        live = (await browser.get("/series/equity?of=live")).json()
        paper = (await browser.get("/series/equity?of=paper")).json()
    assert len(live["x"]) == 2
    assert len(paper["x"]) == 3
