"""How the HTML page looks: one sheet, light and dark, colours told apart by the colour-blind, wide screens and phones.

The variables `charts.inline_svg.Paint` names are here, once for light and once for dark. Blue gains and vermilion
losses differ in lightness too and are hatched or signed where they meet, so that nothing hangs on hue alone.
"""

from __future__ import annotations

STYLE = """
:root {
  color-scheme: light dark;
  --paper: #ffffff; --card: #f6f8fa; --line: #d5dbe2; --ink: #1a1f25; --muted: #56606b; --grid: #dfe4ea;
  --search: #eceff3; --odd: #d9e8f5; --even: #e9f2fa; --vault: #f7e6cc;
  --main: #0a5aa6; --band: #2f86cf; --gain: #2f86cf; --loss: #c2490a; --mark: #b04a00;
  --good: #0a5aa6; --caution: #8a5a00; --bad: #b3370a;
}
@media (prefers-color-scheme: dark) {
  :root {
    --paper: #0e1116; --card: #161b22; --line: #303841; --ink: #e7ecf1; --muted: #9da7b2; --grid: #2a323b;
    --search: #1b2128; --odd: #13283d; --even: #1a3149; --vault: #3a2c17;
    --main: #74bbff; --band: #4a98e0; --gain: #4a98e0; --loss: #f08a45; --mark: #ffb765;
    --good: #74bbff; --caution: #e6b450; --bad: #ff9259;
  }
}
* { box-sizing: border-box; }
body {
  margin: 0 auto; padding: 1.25rem 1rem 3rem; max-width: 72rem; background: var(--paper); color: var(--ink);
  font: 1rem/1.5 system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", "DejaVu Sans", sans-serif;
  overflow-wrap: break-word;
}
header { border-left: .4rem solid var(--verdict); padding: .1rem 0 .1rem 1rem; }
.approved { --verdict: var(--good); } .caution { --verdict: var(--caution); } .rejected { --verdict: var(--bad); }
h1 { font-size: 1.5rem; line-height: 1.25; margin: 0 0 .5rem; }
h2 { font-size: 1.15rem; margin: 2.2rem 0 .6rem; }
h3 { font-size: .95rem; margin: 0 0 .35rem; }
p { margin: .5rem 0; max-width: 50rem; }
ul { margin: .4rem 0; padding-left: 1.2rem; max-width: 60rem; } li { margin: .2rem 0; }
.strong, .bad { font-weight: 650; } .bad { color: var(--bad); } .caution-said { color: var(--caution); }
.good-said { color: var(--good); }
header p:first-of-type { font-size: 1.1rem; }
.tall td[data-head] { white-space: nowrap; }
.wide, .tall { overflow-x: auto; }
table { border-collapse: collapse; font-size: .875rem; font-variant-numeric: tabular-nums; }
th, td { text-align: left; vertical-align: top; padding: .35rem .7rem .35rem 0; border-bottom: 1px solid var(--line); }
th { color: var(--muted); font-weight: 500; } tbody th { color: var(--ink); }
.wide td, .wide th { white-space: nowrap; padding-right: .5rem; font-size: .76rem; }
.wide tbody th { position: sticky; left: 0; background: var(--paper); }
.charts { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 27rem), 1fr)); gap: 1rem; }
.charts + ul { margin-top: 1rem; }
figure { margin: 0; padding: .8rem; background: var(--card); border: 1px solid var(--line); border-radius: .5rem; }
figcaption { font-size: .82rem; color: var(--muted); margin-top: .4rem; line-height: 1.4; }
svg { display: block; width: 100%; height: auto; }
svg text { font-family: inherit; } svg * { stroke-linejoin: round; stroke-linecap: butt; }
@media (max-width: 40rem) {
  .tall thead { position: absolute; clip-path: inset(50%); }
  .tall tr { display: block; padding: .5rem 0; border-bottom: 1px solid var(--line); }
  .tall th, .tall td { display: block; border: 0; padding: .05rem 0; }
  .tall tbody th { font-weight: 600; }
  .tall td[data-head] { display: inline-block; margin-right: 1rem; }
  .tall td[data-head]::before { content: attr(data-head) " "; color: var(--muted); }
}
@media print { figure { break-inside: avoid; } }
"""
