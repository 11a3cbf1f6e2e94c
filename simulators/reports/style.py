"""The style sheet of HTML reports: light, dark and on paper. Used by `page`."""

STYLE = """
:root { color-scheme: light dark; --paper: #fff; --ink: #1c2024; --soft: #646b73; --rule: #d9dde2;
  --panel: #f5f6f8; --good: #1a7f37; --bad: #c62828; --c0: #2563b8; --c1: #c2570c; --c2: #1a7f5a;
  --c3: #a3328b; --c4: #8a6d00; --c5: #5b4bc4; --c6: #b3263e; --c7: #4d6570; }
@media (prefers-color-scheme: dark) { :root { --paper: #14171a; --ink: #e6e8ea; --soft: #9aa3ab;
  --rule: #333a41; --panel: #1d2125; --good: #56c271; --bad: #ff7b72; --c0: #6ea8fe; --c1: #f5a15f;
  --c2: #5cc9a0; --c3: #e08bd0; --c4: #d8bd4a; --c5: #a99bff; --c6: #ff8a9a; --c7: #9fb6c1; } }
@media print { :root { --paper: #fff; --ink: #000; --soft: #444; --rule: #bbb; --panel: #fff;
  --good: #1a7f37; --bad: #c62828; --c0: #2563b8; --c1: #c2570c; --c2: #1a7f5a; --c3: #a3328b;
  --c4: #8a6d00; --c5: #5b4bc4; --c6: #b3263e; --c7: #4d6570; }
  body { max-width: none; padding: 0; font-size: 11px; }
  section, .tile, .plot { break-inside: avoid; } }
* { box-sizing: border-box; }
body { margin: 0 auto; max-width: 860px; padding: 24px 20px 60px; background: var(--paper);
  color: var(--ink); font: 15px/1.5 system-ui, "Segoe UI", Roboto, "DejaVu Sans", sans-serif; }
h1 { font-size: 1.6em; margin: 0; overflow-wrap: anywhere; }
h2 { font-size: 1.1em; margin: 2em 0 .5em; padding-bottom: .2em;
  border-bottom: 1px solid var(--rule); }
p { margin: .4em 0; } .soft { color: var(--soft); }
.good { color: var(--good); font-weight: 600; } .bad { color: var(--bad); font-weight: 600; }
.state { white-space: nowrap; }
.tiles { display: grid; grid-template-columns: repeat(auto-fit, minmax(125px, 1fr)); gap: 10px;
  margin: 16px 0; }
.tile { background: var(--panel); border: 1px solid var(--rule); border-radius: 6px;
  padding: 8px 12px; }
.tile b { display: block; font-size: 1.25em; font-variant-numeric: tabular-nums;
  white-space: nowrap; }
table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums;
  font-size: .93em; }
th, td { text-align: left; padding: 4px 12px 4px 0; border-bottom: 1px solid var(--rule);
  vertical-align: top; overflow-wrap: anywhere; }
th { color: var(--soft); font-weight: 600; } .number { text-align: right; }
.plot { display: block; width: 100%; height: auto; font-size: 11px; }
.plot text { fill: var(--soft); } .right { text-anchor: end; } .middle { text-anchor: middle; }
.grid { stroke: var(--rule); stroke-width: 1; fill: none; } .axis, .tick { stroke: var(--soft); }
.line { fill: none; stroke-width: 1.8; stroke-linejoin: round; } .area { fill-opacity: .75; }
.mark { stroke: var(--bad); stroke-width: 1.5; stroke-dasharray: 4 3; fill: none; }
.c0 { stroke: var(--c0); fill: var(--c0); background: var(--c0); }
.c1 { stroke: var(--c1); fill: var(--c1); background: var(--c1); }
.c2 { stroke: var(--c2); fill: var(--c2); background: var(--c2); }
.c3 { stroke: var(--c3); fill: var(--c3); background: var(--c3); }
.c4 { stroke: var(--c4); fill: var(--c4); background: var(--c4); }
.c5 { stroke: var(--c5); fill: var(--c5); background: var(--c5); }
.c6 { stroke: var(--c6); fill: var(--c6); background: var(--c6); }
.c7 { stroke: var(--c7); fill: var(--c7); background: var(--c7); }
path.line { fill: none; } path.area, rect.area { stroke: none; }
.legend { list-style: none; display: flex; flex-wrap: wrap; gap: 4px 16px; margin: 4px 0 8px 62px;
  padding: 0; font-size: .87em; }
.key { display: inline-block; width: 12px; height: 12px; border-radius: 2px; margin-right: 6px;
  vertical-align: -1px; print-color-adjust: exact; -webkit-print-color-adjust: exact; }
details { margin: .5em 0; } summary { cursor: pointer; }
pre { background: var(--panel); border: 1px solid var(--rule); border-radius: 6px; padding: 10px;
  overflow-x: auto; font: 12px/1.4 ui-monospace, "DejaVu Sans Mono", monospace;
  white-space: pre-wrap; overflow-wrap: anywhere; }
"""
