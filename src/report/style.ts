/** How a report looks: one column of cards, light and dark, from a phone's width up. */
export const style = `
:root {
  color-scheme: light dark;
  --page: #f3f4f6; --card: #ffffff; --text: #1b1f24; --soft: #5b6472; --line: #dde1e6; --accent: #2563b5;
  --warn: #8a5300; --warn-card: #fff3dc; --good: #1a7a52; --bad: #b3293c;
}
@media (prefers-color-scheme: dark) {
  :root {
    --page: #101317; --card: #191d23; --text: #e6e9ed; --soft: #9aa4b2; --line: #2d333c; --accent: #79aef5;
    --warn: #f3c978; --warn-card: #33280f; --good: #62c597; --bad: #f0808f;
  }
}
* { box-sizing: border-box; }
body {
  margin: 0; background: var(--page); color: var(--text); overflow-wrap: anywhere;
  font: 15px/1.5 system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", Arial, sans-serif;
}
main { max-width: 1120px; margin: 0 auto; padding: 24px 16px 64px; }
header p, header h1 { margin: 0; }
header .when { color: var(--soft); font-size: 13px; }
h1 { font-size: 17px; font-weight: 600; }
.verdict { font-size: 25px; line-height: 1.28; font-weight: 650; letter-spacing: -0.01em; margin: 10px 0 4px; text-wrap: pretty; }
.whatif { color: var(--soft); margin: 0; }
.whatif strong { color: var(--text); }
section, .tiles { margin-top: 16px; }
section { background: var(--card); border: 1px solid var(--line); border-radius: 10px; padding: 16px 18px 18px; }
h2 { margin: 0 0 2px; font-size: 16px; font-weight: 650; }
h3 { margin: 18px 0 2px; font-size: 14px; font-weight: 600; }
section > p.warning { max-width: none; color: var(--warn); }
section > p:not(.warning) { margin: 2px 0 10px; color: var(--soft); font-size: 13.5px; max-width: 78ch; }
section > p:not(.warning).missing { margin-bottom: 0; }
.warning { background: var(--warn-card); color: var(--warn); border-radius: 6px; padding: 8px 12px; margin: 10px 0; font-size: 14px; }
.tiles { display: grid; grid-template-columns: repeat(auto-fit, minmax(128px, 1fr)); gap: 10px; }
.tiles div { background: var(--card); border: 1px solid var(--line); border-radius: 10px; padding: 10px 14px; }
.tiles dt { color: var(--soft); font-size: 12.5px; }
.tiles dd { margin: 0; font-size: 18px; font-weight: 600; font-variant-numeric: tabular-nums; }
dl { margin: 0; }
figure { margin: 10px 0 0; min-width: 0; }
figcaption { font-size: 13.5px; font-weight: 600; margin-bottom: 4px; display: flex; flex-wrap: wrap; gap: 4px 10px; align-items: center; }
.grid { display: grid; grid-template-columns: minmax(0, 1fr); gap: 10px 28px; }
@media (min-width: 800px) { .grid { grid-template-columns: repeat(2, minmax(0, 1fr)); } }
.chart { width: 100%; min-height: 20px; display: block; }
.chart svg { display: block; max-width: 100%; }
.buttons { display: inline-flex; gap: 4px; margin-left: auto; }
button, select {
  font: inherit; font-size: 13px; color: var(--text); background: var(--page); border: 1px solid var(--line);
  border-radius: 6px; padding: 5px 10px; min-height: 32px; max-width: 100%;
}
button { min-width: 34px; cursor: pointer; }
button:hover, select:hover { border-color: var(--accent); }
:focus-visible { outline: 2px solid var(--accent); outline-offset: 1px; }
.legend { list-style: none; display: flex; flex-wrap: wrap; gap: 2px 14px; margin: 8px 0 0; padding: 0; font-size: 13px; }
.legend i, td i, th i { display: inline-block; width: 11px; height: 11px; border-radius: 3px; margin-right: 6px; vertical-align: -1px; }
.scrolls { overflow-x: auto; margin-top: 8px; }
table { border-collapse: collapse; width: 100%; font-size: 13.5px; font-variant-numeric: tabular-nums; }
th, td { text-align: left; padding: 4px 14px 4px 0; border-bottom: 1px solid var(--line); vertical-align: top; }
th { color: var(--soft); font-weight: 500; white-space: nowrap; }
td:last-child, th:last-child { padding-right: 0; }
tbody tr:last-child td { border-bottom: 0; }
td { overflow-wrap: normal; } td.name { overflow-wrap: anywhere; }
.number { text-align: right; white-space: nowrap; }
td.name { min-width: 130px; white-space: normal; }
td.part { white-space: nowrap; }
.wraps { white-space: normal; }
ul:not(.legend) { font-size: 13.5px; color: var(--soft); margin: 10px 0 0; padding-left: 20px; }
.tall { max-height: 460px; overflow-y: auto; }
.choice { font-size: 13.5px; display: inline-block; margin-bottom: -6px; }
.better { color: var(--good); } .worse { color: var(--bad); }
.facts { display: grid; grid-template-columns: minmax(110px, max-content) minmax(0, 1fr); gap: 3px 18px; font-size: 13.5px; }
.facts dt { color: var(--soft); } .facts dd { margin: 0; }
pre { white-space: pre-wrap; background: var(--page); border-radius: 6px; padding: 10px 12px; margin: 10px 0; font-size: 12.5px; }
code, pre { font-family: ui-monospace, SFMono-Regular, Menlo, Consolas, monospace; }
details { margin-top: 10px; font-size: 13.5px; } summary { cursor: pointer; color: var(--accent); }
footer { color: var(--soft); font-size: 12.5px; margin-top: 24px; }
hr { border: 0; border-top: 2px solid var(--line); margin: 40px 0 24px; }
#vg-tooltip-element.custom-theme {
  background: var(--card); color: var(--text); border: 1px solid var(--line); border-radius: 6px; padding: 7px 10px;
  font: 12.5px/1.4 system-ui, sans-serif; box-shadow: 0 3px 14px #0004; max-width: min(360px, 92vw);
}
#vg-tooltip-element.custom-theme td { border: 0; padding: 1px 0; white-space: normal; max-width: 240px; overflow: visible; }
#vg-tooltip-element.custom-theme td.key { color: var(--soft); padding-right: 10px; white-space: nowrap; text-align: left; max-width: 150px; }
@media (max-width: 480px) {
  main { padding: 16px 10px 48px; } section { padding: 13px 12px 14px; } .verdict { font-size: 20px; }
  .tiles { grid-template-columns: 1fr 1fr; } .facts { grid-template-columns: minmax(0, 1fr); } .facts dd { margin-bottom: 6px; }
}
`;
