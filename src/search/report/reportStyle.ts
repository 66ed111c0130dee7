/** The style of the report: two accents of Okabe and Ito (blue, vermilion), everything else in greys. */
export const reportStyle = `
:root {
  --page: #fff; --ink: #1c1e21; --muted: #62676e; --rule: #dcdfe3; --wash: #f4f6f8;
  --first: #0072b2; --second: #d55e00;
}
@media screen and (prefers-color-scheme: dark) {
  :root {
    --page: #15171a; --ink: #e6e8ea; --muted: #9aa1a9; --rule: #33383e; --wash: #1e2125;
    --first: #56b4e9; --second: #e69f00;
  }
}
* { box-sizing: border-box; }
html { background: var(--page); color: var(--ink); font: 16px/1.55 system-ui, -apple-system, "Segoe UI", Roboto, "DejaVu Sans", sans-serif; -webkit-text-size-adjust: 100%; }
body { margin: 0; }
main { max-width: 62rem; margin: 0 auto; padding: 3rem 1.5rem; }
h1, h2, h3, p, dl, dd, ul, figure { margin: 0; }
h1 { font-size: 1.9rem; line-height: 1.2; font-weight: 650; overflow-wrap: anywhere; }
h2 { font-size: 1.25rem; font-weight: 650; margin-bottom: .75rem; }
h3 { font-size: .95rem; font-weight: 650; margin: 1.5rem 0 .4rem; }
section { margin-top: 2.75rem; padding-top: 1.5rem; border-top: 1px solid var(--rule); }
section > p { max-width: 44rem; margin-bottom: 1.25rem; }
.kicker { color: var(--muted); font-size: .85rem; margin-bottom: .25rem; }
.lead { color: var(--muted); margin-top: .5rem; }

.tiles { display: grid; grid-template-columns: repeat(auto-fit, minmax(10rem, 1fr)); gap: 1.5rem 2rem; }
.tiles dt { color: var(--muted); font-size: .85rem; }
.tiles strong { display: block; font-size: 1.75rem; line-height: 1.25; font-weight: 600; font-variant-numeric: tabular-nums; }
.tiles span { display: block; color: var(--muted); font-size: .85rem; line-height: 1.35; margin-top: .15rem; }
.columns { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 16rem), 1fr)); gap: 0 2rem; margin-top: .75rem; font-size: .95rem; }
.plain { list-style: none; padding: 0; }
.columns p, .columns li { overflow-wrap: anywhere; }

.scroll { overflow-x: auto; max-width: 100%; }
.scroll:focus-visible, summary:focus-visible { outline: 2px solid var(--first); outline-offset: 2px; }
table { border-collapse: collapse; font-size: .875rem; font-variant-numeric: tabular-nums; line-height: 1.4; }
caption { text-align: left; color: var(--muted); padding-bottom: .4rem; }
th, td { padding: .25rem .9rem .25rem 0; text-align: right; white-space: nowrap; font-weight: 400; vertical-align: baseline; }
th:first-child { text-align: left; }
thead th { color: var(--muted); vertical-align: bottom; }
thead tr:last-child th, thead th[rowspan] { border-bottom: 1px solid var(--rule); }
th[scope=colgroup] { text-align: center; }
th[scope=colgroup] span { display: block; border-bottom: 1px solid var(--rule); padding-bottom: .15rem; }
thead tr:not(:last-child) + tr th:first-child { text-align: right; }
tbody tr + tr > * { border-top: 1px solid var(--wash); }
tfoot > tr > * { border-top: 1px solid var(--rule); color: var(--muted); }
.marked > * { background: var(--wash); }
.chosen { color: var(--second); font-weight: 600; margin-left: .35rem; }
.time { width: 100%; }
.time .bar { width: 40%; padding-right: 0; }
.time i { display: block; height: .55rem; background: var(--muted); opacity: .55; min-width: 1px; print-color-adjust: exact; -webkit-print-color-adjust: exact; }

figure { break-inside: avoid; }
.beside { display: flex; flex-wrap: wrap; align-items: start; gap: 1.5rem 3rem; }
.beside > * { max-width: 100%; min-width: 0; }
.beside h3 { margin-top: 0; }
.plot { --plot-background: var(--page); display: block; max-width: 100%; height: auto; font-size: 12px; font-family: inherit; font-variant-numeric: tabular-nums; fill: currentColor; }
.scroll > .plot { max-width: none; }
.plot text { white-space: pre; }
.plot .axis { fill: var(--muted); }
.brackets path { fill: none; stroke: var(--muted); }
.bars rect { fill: var(--muted); opacity: .55; }
.rule { stroke: var(--rule); }
.ramp { display: flex; flex-wrap: wrap; align-items: start; gap: .35rem .25rem; font-size: .85rem; line-height: 1; margin-bottom: .75rem; }
.ramp > span { color: var(--muted); }
.charts { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 24rem), 1fr)); gap: 1rem 2rem; }
.panels { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 17rem), 1fr)); gap: 1rem; }
figcaption { display: flex; flex-wrap: wrap; align-items: baseline; gap: 0 1.25rem; }
figcaption h3 { margin: 0; }
figcaption p { max-width: 44rem; margin-bottom: .75rem; }
.key { display: flex; flex-wrap: wrap; gap: 0 1rem; list-style: none; padding: 0; font-size: .85rem; color: var(--muted); }
.key svg { margin-right: .35rem; vertical-align: -1px; fill: none; }
figure + .scroll { margin-top: 1.5rem; }
.maps { display: grid; grid-template-columns: repeat(auto-fill, minmax(min(100%, 11rem), 1fr)); gap: 1.25rem 1.5rem; max-width: 60rem; }
.maps img { display: block; width: 100%; height: auto; aspect-ratio: 1; image-rendering: pixelated; border-left: 1px solid var(--muted); border-bottom: 1px solid var(--muted); }
.maps figcaption { display: block; font-size: .85rem; line-height: 1.4; margin-top: .35rem; }
.maps figcaption span { color: var(--muted); }

details { margin-top: 1rem; font-size: .9rem; }
summary { cursor: pointer; color: var(--muted); width: fit-content; }
details[open] > summary { margin-bottom: .6rem; }
.glossary > div { display: grid; grid-template-columns: 9rem 1fr; gap: 0 1rem; padding: .35rem 0; max-width: 50rem; font-size: .95rem; }
.glossary dt { font-weight: 600; }
footer { margin-top: 3rem; color: var(--muted); font-size: .85rem; }

@media (max-width: 34rem) {
  main { padding: 1.75rem 1rem; }
  h1 { font-size: 1.5rem; }
  .tiles { grid-template-columns: 1fr 1fr; gap: 1.25rem 1rem; }
  .tiles strong { font-size: 1.4rem; }
  .maps { grid-template-columns: 1fr 1fr; gap: 1rem; }
  .glossary > div { grid-template-columns: 1fr; }
}
@media print {
  html { font-size: 11px; }
  main { max-width: none; padding: 0; }
  section { margin-top: 1.5rem; padding-top: 1rem; }
  h2, h3, caption { break-after: avoid; }
  .scroll { overflow: visible; }
  .scroll > .plot { max-width: 100%; }
}
`;
