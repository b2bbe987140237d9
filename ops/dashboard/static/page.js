// Keeps the view up to date and draws its charts. Nothing is asked of anybody but the page it came from.
"use strict";
const main = document.getElementById("view");
const live = document.getElementById("live");
const zoomed = new Map(); // chart's source or title -> [from, to] in seconds, kept while the view is told anew
let charts = [];

function colour(name) {
  return getComputedStyle(document.documentElement).getPropertyValue(name).trim();
}

const TIMES = [ // step in seconds, its words, and what is told below where it changes: year, month, day
  [86400 * 365, "{YYYY}", null, null, null, null, null, null, 1],
  [86400 * 28, "{MMM}", "\n{YYYY}", null, null, null, null, null, 1],
  [86400, "{MM}-{DD}", "\n{YYYY}", null, null, null, null, null, 1],
  [60, "{HH}:{mm}", "\n{YYYY}-{MM}-{DD}", null, "\n{MM}-{DD}", null, null, null, 1],
  [1, "{HH}:{mm}:{ss}", "\n{YYYY}-{MM}-{DD}", null, "\n{MM}-{DD}", null, null, null, 1],
];

function span(low, high) { // a line that does not move is drawn in the middle, not over a zero that is far away
  if (low == null) return [0, 1];
  if (low === high) return [low - Math.max(Math.abs(low) * 0.001, 1e-6), high + Math.max(Math.abs(high) * 0.001, 1e-6)];
  return uPlot.rangeNum(low, high, 0.1, false);
}

function options(box, data, width) {
  const axis = { stroke: colour("--muted"), grid: { stroke: colour("--grid"), width: 1 }, ticks: { stroke: colour("--grid") } };
  const dashes = [[], [8, 4], [2, 3], [12, 3, 2, 3], [5, 5]];
  return {
    width,
    height: width < 520 ? 220 : 300,
    tzDate: (s) => uPlot.tzDate(new Date(s * 1000), "Etc/UTC"),
    cursor: { drag: { x: true, y: false } },
    scales: { x: { time: true }, y: { range: (_, low, high) => span(low, high) } },
    axes: [{ ...axis, values: TIMES }, { ...axis, size: (_, shown) => Math.max(78, 24 + 7 * Math.max(0, ...(shown ?? []).map((v) => v.length))), values: (_, ticks) => ticks.map((v) => v.toLocaleString("en-US", { maximumFractionDigits: 4 })) }],
    series: [
      { label: "UTC", value: (_, s) => (s == null ? "–" : new Date(s * 1000).toISOString().slice(0, 16).replace("T", " ")) },
      ...data.lines.map((line, n) => ({
        label: line.name,
        stroke: colour(`--s${(n % 5) + 1}`),
        dash: dashes[n % 5],
        width: 1.6,
        spanGaps: true,
        points: { show: data.x.length < 40 },
        value: (_, v) => (v == null ? "–" : `${v.toLocaleString("en-US", { maximumFractionDigits: 4 })} ${box.dataset.unit}`),
      })),
    ],
    hooks: { setSelect: [(plot) => {
      if (plot.select.width > 4) {
        zoom(box, plot.posToVal(plot.select.left, "x"), plot.posToVal(plot.select.left + plot.select.width, "x"));
      }
    }] },
  };
}

function draw(box, data) {
  const width = Math.max(260, box.clientWidth);
  if (box.plot) box.plot.destroy();
  box.plot = new uPlot(options(box, data, width), [data.x, ...data.lines.map((line) => line.y)], box);
  const note = box.parentElement.querySelector(".note:not(.ends)");
  if (note && data.note) note.textContent = data.note;
}

async function zoom(box, from, to) {
  const name = box.dataset.source || box.dataset.chart;
  const whole = from == null;
  if (whole) zoomed.delete(name);
  else zoomed.set(name, [from, to]);
  let data = box.whole;
  if (!whole && box.dataset.source) {
    const part = `&from=${Math.floor(from * 1000)}&to=${Math.ceil(to * 1000) + 1}`;
    const answer = await fetch(box.dataset.source + part, { headers: { "x-part": "series" } });
    if (answer.ok) data = await answer.json();
  }
  if (!box.isConnected || !data.x.length) return;
  box.shown = data;
  draw(box, data);
  if (!whole) box.plot.setScale("x", { min: from, max: to });
}

function move(box, shrink, shift) {
  const [from, to] = zoomed.get(box.dataset.source || box.dataset.chart) || [box.whole.x[0], box.whole.x.at(-1)];
  const middle = (from + to) / 2 + shift * (to - from);
  const half = ((to - from) / 2) * shrink;
  const first = box.whole.x[0];
  const last = box.whole.x.at(-1);
  if (half * 2 >= last - first) return zoom(box, null, null);
  const begin = Math.min(Math.max(middle - half, first), last - half * 2);
  return zoom(box, begin, begin + half * 2);
}

function tools(box) {
  const bar = document.createElement("div");
  bar.className = "chart-tools";
  const title = box.closest("section").querySelector("h2").textContent;
  const named = [
    ["+", "Zoom in", 0.5, 0], ["−", "Zoom out", 2, 0], ["◀", "Earlier", 1, -0.5], ["▶", "Later", 1, 0.5], ["All", "All", 1e9, 0],
  ];
  for (const [sign, words, shrink, shift] of named) {
    const button = document.createElement("button");
    button.type = "button";
    button.textContent = sign;
    button.title = words;
    button.setAttribute("aria-label", `${words}: ${title}`);
    button.addEventListener("click", () => move(box, shrink, shift));
    bar.append(button);
  }
  box.before(bar);
}

function chartsOf(part) {
  for (const box of part.querySelectorAll(".chart")) {
    box.whole = box.shown = JSON.parse(document.getElementById(`${box.dataset.chart}-data`).textContent);
    tools(box);
    draw(box, box.whole);
    const kept = zoomed.get(box.dataset.source || box.dataset.chart);
    if (kept) zoom(box, kept[0], kept[1]);
    charts.push(box);
  }
}

function isBusy() { // somebody writes into a form, or marks words to copy them
  const at = document.activeElement;
  const marked = getSelection();
  return (at && main.contains(at) && at.closest("form")) || (marked && !marked.isCollapsed);
}

function place(element) { // how to find the same element again in the view told anew
  const all = [...main.querySelectorAll("a, button, [tabindex]")];
  return all.indexOf(element);
}

async function look() {
  if (isBusy()) return;
  const answer = await fetch(location.href, { headers: { "x-part": "main" } });
  if (answer.status === 401 || answer.redirected) return location.assign("/login");
  if (!answer.ok) return told(`the page could not look: ${answer.status}`, true);
  const words = await answer.text();
  if (isBusy()) return;
  const at = place(document.activeElement);
  const scrolled = [...main.querySelectorAll(".scroll")].map((box) => box.scrollLeft);
  for (const box of charts) if (box.plot) box.plot.destroy();
  charts = [];
  main.innerHTML = words;
  chartsOf(main);
  main.querySelectorAll(".scroll").forEach((box, n) => { box.scrollLeft = scrolled[n] || 0; });
  if (at >= 0) main.querySelectorAll("a, button, [tabindex]")[at]?.focus({ preventScroll: true });
  told(`live, as of ${new Date().toISOString().slice(11, 19)} UTC`, false);
}

function told(words, isBad) {
  live.textContent = words;
  document.body.classList.toggle("cut-off", isBad);
}

chartsOf(main);
performance.mark("drawn");
const stream = new EventSource(`/live/${document.body.dataset.view}`);
let isCutOff = false;
stream.addEventListener("here", () => {
  if (isCutOff) look();
  else told(`live, as of ${new Date().toISOString().slice(11, 19)} UTC`, false);
  isCutOff = false;
});
stream.addEventListener("look", () => look().catch(() => {}));
stream.onerror = () => {
  if (!isCutOff) told(`✖ NO CONNECTION to the page since ${new Date().toISOString().slice(11, 19)} UTC: what you see is old`, true);
  isCutOff = true;
};
addEventListener("resize", () => { for (const box of charts) draw(box, box.shown); });
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => { for (const box of charts) draw(box, box.shown); });
