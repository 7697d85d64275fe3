"""The style sheet of the audit page, light and dark."""

from __future__ import annotations

STYLE = """
:root { color-scheme: light dark; --page: #f6f7f9; --card: #ffffff; --ink: #1b2430; --soft: #5d6b7c; --line: #dfe4ea;
  --good: #14804a; --good-soft: #e3f4ea; --bad: #b3261e; --bad-soft: #fbe6e4; --unsure: #8a6100; --unsure-soft: #fbf0d6;
  --ours: #2457c5; --reads-soft: #e6edfb; --chance: #c3ccd8; --plain: #d0732a; }
@media (prefers-color-scheme: dark) {
  :root { --page: #11161d; --card: #1a212b; --ink: #e8edf3; --soft: #9aa8b8; --line: #2c3643; --good: #5fd39a;
    --good-soft: #153626; --bad: #ff8a80; --bad-soft: #41191a; --unsure: #f0c366; --unsure-soft: #3a2e12;
    --ours: #7ea6ff; --reads-soft: #1d2f55; --chance: #435064; --plain: #f0a060; }
}
* { box-sizing: border-box; }
body { margin: 0; background: var(--page); color: var(--ink);
  font: 15px/1.5 system-ui, -apple-system, "Segoe UI", Roboto, "Noto Sans", sans-serif; }
header, main, footer { max-width: 1180px; margin: 0 auto; }
header { margin-top: 28px; padding: 24px 28px; border-radius: 12px; border-left: 8px solid; background: var(--card); }
header.good { border-color: var(--good); }
header.bad { border-color: var(--bad); }
header.unsure { border-color: var(--unsure); }
header h1 { margin: 2px 0 6px; font-size: 28px; line-height: 1.2; }
header p { margin: 0; color: var(--soft); }
.eyebrow { text-transform: uppercase; letter-spacing: .12em; font-size: 12px; font-weight: 600; }
section { margin: 20px 0; padding: 22px 28px; border-radius: 12px; background: var(--card); }
h2 { margin: 0 0 10px; font-size: 19px; }
h3 { margin: 18px 0 6px; font-size: 15px; }
p { margin: 0 0 10px; }
small { color: var(--soft); }
.scroll { overflow-x: auto; }
table { width: 100%; border-collapse: collapse; }
th { text-align: left; font-weight: 600; }
thead th { color: var(--soft); font-size: 13px; white-space: nowrap; }
th, td { padding: 9px 12px 9px 0; border-bottom: 1px solid var(--line); vertical-align: middle; }
tbody tr:last-child > * { border-bottom: 0; }
tr.group th { padding-top: 18px; color: var(--soft); font-size: 13px; text-transform: uppercase;
  letter-spacing: .06em; }
.number { text-align: right; font-variant-numeric: tabular-nums; white-space: nowrap; }
.number + td { padding-left: 6px; }
.verdict { display: inline-block; padding: 2px 10px; border-radius: 999px; font-weight: 600; font-size: 13px;
  white-space: nowrap; }
.verdict.good { color: var(--good); background: var(--good-soft); }
.verdict.bad { color: var(--bad); background: var(--bad-soft); }
.verdict.unsure { color: var(--unsure); background: var(--unsure-soft); }
svg { display: block; }
.axis { stroke: var(--line); stroke-width: 2; }
.tick { stroke: var(--soft); opacity: .5; }
rect.chance { fill: var(--chance); opacity: .75; }
rect.ours, circle.ours { fill: var(--ours); }
td.bar.bad .ours { fill: var(--bad); }
path.plain { fill: var(--plain); }
.legend { color: var(--soft); font-size: 13px; margin-top: 6px; }
.legend .key:not(:first-child) { margin-left: 22px; }
.key { display: inline-block; width: 12px; height: 12px; margin-right: 7px; vertical-align: -1px; border-radius: 3px; }
.key.ours { background: var(--ours); border-radius: 50%; }
.key.chance { background: var(--chance); }
.key.plain { background: var(--plain); transform: rotate(45deg) scale(.85); border-radius: 1px; }
.key.sees { background: var(--reads-soft); border: 1px solid var(--ours); }
.key.hidden { background: var(--good-soft); border: 1px solid var(--good); }
.cards { display: grid; grid-template-columns: repeat(auto-fit, minmax(250px, 1fr)); gap: 14px; }
.card { border: 1px solid var(--line); border-top: 4px solid var(--chance); border-radius: 8px; padding: 12px 16px; }
.card.sees { border-top-color: var(--ours); }
.card.hidden { border-top-color: var(--good); }
.card h3 { margin: 0 0 4px; }
.card ul { margin: 0; padding-left: 18px; }
.card li { margin: 3px 0; }
.matrix td { padding: 6px 12px; border: 2px solid var(--card); }
.matrix td.sees { background: var(--reads-soft); }
.matrix td.hidden { background: var(--good-soft); }
.notes { margin: 12px 0 0; padding-left: 18px; color: var(--soft); }
footer { padding: 0 28px 32px; color: var(--soft); font-size: 13px; }
@media print {
  body { background: #fff; }
  section, header { break-inside: avoid; border: 1px solid var(--line); }
}
"""
