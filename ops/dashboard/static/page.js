// Keeps the view up to date and draws its charts. Nothing is asked of anybody but the page it came from.
"use strict";
const main = document.getElementById("view");
const live = document.getElementById("live");
const zoomed = new Map(); // chart's source or title -> [from, to] in seconds, kept while the view is told anew
const WAITS = { heldMs: 30_000, againMs: 5000 }; // a view waits for who marks or types; a stream that ended is opened anew
const REACHED = "a, button, input, select, [tabindex]";
let charts = [];
let asOf = clock(); // of the view that is shown
let cutSince = ""; // since when the page does not answer
let isLive = false; // the page says when to look; if not, it is asked again and again
let isStale = false; // something may have changed unheard
let isHeld = false;
let touchedAt = 0;

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

function isBusy() { // somebody writes into a form, or marks words to copy them, and did so a short while ago
  const at = document.activeElement;
  const writes = at && main.contains(at) && at.closest("form");
  return (writes || isMarked()) && performance.now() - touchedAt < WAITS.heldMs;
}

function isMarked() {
  const marked = getSelection();
  return marked && !marked.isCollapsed && marked.containsNode(main, true);
}

function touched(event) {
  if (event.type !== "selectionchange" || isMarked()) touchedAt = performance.now();
  if (isHeld && !isBusy()) look().catch(cutOff);
}

function place(element) { // how to find the same element again in the view told anew
  const all = [...main.querySelectorAll(REACHED)];
  return all.indexOf(element);
}

function putBanners(fresh) { // only what says something else, so that words can be marked in the rest
  const box = main.querySelector(".banners");
  fresh.querySelectorAll(".banners > *").forEach((line, n) => {
    if (!box.children[n]) box.append(line.cloneNode(true));
    else if (box.children[n].outerHTML !== line.outerHTML) box.children[n].replaceWith(line.cloneNode(true));
  });
  while (box.children.length > fresh.querySelectorAll(".banners > *").length) box.lastElementChild.remove();
}

function putView(fresh) {
  const at = place(document.activeElement);
  const scrolled = [...main.querySelectorAll(".scroll")].map((box) => box.scrollLeft);
  const written = [...main.querySelectorAll("input, select")].map((field) => field.value);
  for (const box of charts) if (box.plot) box.plot.destroy();
  charts = [];
  main.replaceChildren(fresh);
  chartsOf(main);
  main.querySelectorAll("input, select").forEach((field, n) => { field.value = written[n] ?? field.value; });
  main.querySelectorAll(".scroll").forEach((box, n) => { box.scrollLeft = scrolled[n] || 0; });
  if (at >= 0) main.querySelectorAll(REACHED)[at]?.focus({ preventScroll: true });
}

async function look() { // throws where the page does not answer
  const answer = await fetch(location.href, { headers: { "x-part": "main" } });
  if (answer.status === 401 || answer.redirected) return location.assign("/login");
  if (!answer.ok) throw new Error(`the page answered ${answer.status}`);
  const fresh = document.createElement("template");
  fresh.innerHTML = await answer.text();
  isHeld = isBusy();
  if (isHeld) {
    putBanners(fresh.content);
  } else {
    putView(fresh.content);
    asOf = clock();
  }
  cutSince = "";
  isStale = false;
  tell();
}

function clock() {
  return new Date().toISOString().slice(11, 19);
}

function tell() {
  const how = isHeld ? "held while you mark or type" : isLive ? "live" : `asked every ${WAITS.againMs / 1000} s`;
  told(cutSince ? `✖ NO CONNECTION to the page since ${cutSince} UTC: what you see is old` : `${how}, as of ${asOf} UTC`);
}

function told(words) {
  if (live.textContent !== words) live.textContent = words;
  document.body.classList.toggle("cut-off", cutSince !== "");
}

function cutOff() {
  cutSince ||= clock();
  tell();
}

function listen() {
  const stream = new EventSource(`/live/${document.body.dataset.view}`);
  stream.addEventListener("here", () => {
    isLive = true;
    if (isStale) look().catch(cutOff);
    else tell();
  });
  stream.addEventListener("look", () => look().catch(cutOff));
  stream.onerror = () => {
    isLive = false;
    isStale = true;
    if (stream.readyState !== EventSource.CLOSED) return cutOff(); // the browser asks again by itself
    look().catch(cutOff); // an answer that is no stream has ended it for good: is there a page, and does it know us?
    setTimeout(listen, WAITS.againMs);
  };
}

chartsOf(main);
performance.mark("drawn");
listen();
for (const name of ["selectionchange", "input", "keydown", "pointerdown"]) document.addEventListener(name, touched);
addEventListener("resize", () => { for (const box of charts) draw(box, box.shown); });
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => { for (const box of charts) draw(box, box.shown); });
