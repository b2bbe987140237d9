"""What stands around every view: menu, the two buttons, and the pages on which they are meant; and the password's."""

from __future__ import annotations

from html import escape

from ops.dashboard.html import view_html
from ops.dashboard.view import View
from ops.dashboard.views import KINDS, Kind

ICON = (
    "data:image/svg+xml,%3Csvg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 16 16'%3E%3Cpath d='M2 12 6 7l3 3 5-7'"
    " fill='none' stroke='%230a5aa6' stroke-width='2'/%3E%3C/svg%3E"
)


SCRIPTS = (
    '<link rel="stylesheet" href="/static/uplot.css"><script src="/static/uplot.js" defer></script>'
    '<script src="/static/page.js" defer></script>'
)


def page(view: View, *, asks_password: bool) -> str:
    """A whole document with the menu."""
    main = f'<main id="view" tabindex="-1">{view_html(view)}</main>'
    return document(view.title, f"{_header(view.key, asks_password)}\n{main}", view.key)


def document(title: str, body: str, key: str = "") -> str:
    """The frame of every page; `key` of a view: it is kept up to date."""
    live = f' data-view="{escape(key)}"' if key else ""
    return f"""<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark"><title>{escape(title)} · AI Trading Lab</title>
<link rel="icon" href="{ICON}"><link rel="stylesheet" href="/static/style.css">{SCRIPTS if key else ""}</head>
<body{live}><a class="skip" href="#view">To the content</a>
{body}
</body></html>
"""


def _header(here: str, asks_password: bool) -> str:
    leave = '<form method="post" action="/logout"><button class="plain">Log out</button></form>'
    return (
        '<header><p class="name"><a href="/">AI Trading Lab</a></p>'
        '<div class="acts"><a class="button caution" href="/pause">Pause</a>'
        f'<a class="button bad" href="/stop">Stop</a>{leave if asks_password else ""}</div>'
        f'<nav aria-label="Views"><ul>{"".join(_entry(kind, here) for kind in KINDS)}</ul></nav>'
        '<p id="live" role="status">as of the last load</p></header>'
    )


def _entry(kind: Kind, here: str) -> str:
    path = "" if kind is KINDS[0] else kind.key
    current = ' aria-current="page"' if kind.key == here else ""
    return f'<li><a href="/{path}"{current}>{escape(kind.title)}</a></li>'


def confirm_page(title: str, words: tuple[str, ...], action: str, button: str) -> str:
    """What an act does, and the button that means it."""
    told = "".join(f"<p>{escape(word)}</p>" for word in words)
    return document(
        title,
        f'<main id="view" class="narrow"><h1>{escape(title)}</h1>{told}<form method="post" action="{escape(action)}">'
        f'<input type="hidden" name="confirm" value="yes"><button class="bad">{escape(button)}</button> '
        '<a class="button" href="/">No, go back</a></form></main>',
    )


def told_page(title: str, words: tuple[str, ...]) -> str:
    """What came of it."""
    told = "".join(f"<p>{escape(word)}</p>" for word in words)
    back = '<p><a class="button" href="/">To the overview</a></p>'
    return document(title, f'<main id="view" class="narrow"><h1>{escape(title)}</h1>{told}{back}</main>')


def login_page(problem: str = "") -> str:
    """Asks for the password."""
    sign = '<span class="sign" aria-hidden="true">✖</span>'
    told = f'<p class="banner bad" role="alert">{sign} {escape(problem)}</p>' if problem else ""
    return document(
        "Log in",
        f'<main id="view" class="narrow"><h1>AI Trading Lab</h1>{told}<form method="post" action="/login">'
        '<label>Password, PAGE_TOKEN of .env <input type="password" name="token" autocomplete="current-password" '
        "required autofocus></label><button>Log in</button></form></main>",
    )
