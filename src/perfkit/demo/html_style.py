"""How the HTML report looks: light and dark, on a wide screen, a phone and paper."""

from __future__ import annotations

__all__ = ["STYLE"]

STYLE = """
:root {
  color-scheme: light dark;
  --page: #ffffff; --text: #1c2127; --faint: #59636e; --line: #d5dae0; --panel: #f5f7f9;
  --before: #8b949e; --after: #0b6bcb; --good: #1a7f37; --bad: #c1121f; --slow: #9a5b00;
}
@media (prefers-color-scheme: dark) {
  :root {
    --page: #12161b; --text: #e4e8ec; --faint: #9aa4ae; --line: #343c45; --panel: #1b2128;
    --before: #79838d; --after: #4da3ff; --good: #4cc38a; --bad: #ff7b72; --slow: #e3a63b;
  }
}
* { box-sizing: border-box; }
body {
  margin: 0 auto; padding: 2rem 1.25rem 4rem; max-width: 58rem;
  background: var(--page); color: var(--text); font: 1rem/1.5 system-ui, sans-serif;
}
h1, h2, h3 { line-height: 1.25; margin: 0; text-wrap: balance; }
h1 { font-size: 1.9rem; }
h2 { font-size: 1.4rem; margin-top: 3.5rem; padding-top: 1.25rem; border-top: 1px solid var(--line); }
h3 { font-size: 1.1rem; margin-top: 2.25rem; }
p { margin: .5rem 0; max-width: 44rem; }
a { color: var(--after); }
data, td { font-variant-numeric: tabular-nums; }
.faint, figcaption, caption { color: var(--faint); font-size: .9rem; }
.good { color: var(--good); font-weight: 600; }
.bad { color: var(--bad); font-weight: 600; }
.slow { color: var(--slow); font-weight: 600; }
nav ul { list-style: none; padding: 0; margin: 1rem 0 0; }
nav li { padding: .15rem 0; }
figure { margin: 1.25rem 0; padding: 1rem 1.1rem; background: var(--panel); border-radius: .6rem; }
figcaption { margin-bottom: .75rem; }
.pairs { list-style: none; margin: 0; padding: 0; display: grid; gap: .9rem 2.5rem; }
.bar { display: grid; grid-template-columns: 1fr 4.2rem 3.8rem; align-items: center; gap: .4rem; font-size: .85rem; }
.bar svg { width: 100%; height: .7rem; display: block; margin: .12rem 0; }
.bar > * { text-align: right; white-space: nowrap; }
.before { fill: var(--before); stroke: none; }
.after { fill: var(--after); stroke: none; }
.plot { display: grid; grid-template-columns: auto 1fr; gap: .3rem .5rem; font-size: .85rem; color: var(--faint); }
.plot svg { width: 100%; height: 14rem; display: block; overflow: visible; }
.scale { position: relative; min-width: 3.6rem; }
.scale span { position: absolute; right: 0; transform: translateY(50%); white-space: nowrap; }
.times { grid-column: 2; display: flex; justify-content: space-between; }
.plot path, .plot line, .key path { fill: none; vector-effect: non-scaling-stroke; }
.grid { stroke: var(--line); stroke-width: 1; }
.line { stroke-width: 2.25; stroke-linejoin: round; }
.before-line { stroke: var(--before); }
.after-line { stroke: var(--after); }
.limit { stroke: var(--bad); stroke-width: 1.5; stroke-dasharray: 6 4; }
.keys { display: flex; flex-wrap: wrap; gap: .2rem 1.4rem; list-style: none; padding: 0; margin: 0 0 .8rem; }
.key { font-size: .9rem; }
.key svg { width: 1.6rem; height: .7rem; margin-right: .45rem; }
pre { overflow-x: auto; margin: 0; font: .75rem/1.25 ui-monospace, monospace; }
.table { overflow-x: auto; margin: 1.25rem 0; }
table { border-collapse: collapse; width: 100%; font-size: .92rem; }
caption { text-align: left; padding-bottom: .4rem; }
th, td { padding: .28rem .5rem; text-align: right; font-weight: 400; white-space: nowrap; }
th:first-child, td:first-child { text-align: left; padding-left: 0; white-space: normal; }
td:last-child, th:last-child { padding-right: 0; }
thead > tr > * { color: var(--faint); border-bottom: 1px solid var(--line); vertical-align: bottom; }
tbody th.work { font-weight: 600; padding-top: .7rem; }
tbody th.way { color: var(--faint); padding-left: 1rem; overflow-wrap: anywhere; min-width: 6rem; }
tbody.checks tr + tr > * { border-top: 1px solid var(--line); }
@media (min-width: 48rem) { .pairs { grid-template-columns: 1fr 1fr; } }
@media (max-width: 30rem) {
  body { padding: 1.25rem 1rem 3rem; }
  figure { padding: .8rem; }
  table { font-size: .78rem; }
  th, td { padding: .25rem .2rem; }
  tbody th.way { padding-left: .4rem; font-size: .72rem; }
}
@media print { figure, tbody { break-inside: avoid; } }
"""
