// Sessions on the axis of heights: when each was open, when its windows are, and where the chain is now.

import { count, el } from "./format.js";

const ROW = 22;
const LEFT = 120;
const RIGHT = 190;
const WIDTH = 1000;
const MOST_ROWS = 14;
const BARS = [
  ["session", (one) => one.start, (one) => one.end],
  ["grace", (one) => one.end + 1, (one) => one.windows?.grace_end_height],
  ["claim", (one) => one.windows?.claim_open_height, (one) => one.windows?.claim_close_height],
  ["proof", (one) => one.windows?.proof_open_height, (one) => one.windows?.proof_close_height],
  ["settle", (one) => one.windows?.settlement_height, (one) => one.windows?.settlement_height],
];

export function timeline(sessions, height) {
  const groups = new Map();
  for (const one of sessions) {
    const group = groups.get(one.end) ?? { ...one, states: new Map(), total: 0 };
    const state = one.outcome === "open" ? one.state : one.outcome;
    group.states.set(state, (group.states.get(state) ?? 0) + 1);
    group.total += 1;
    groups.set(one.end, group);
  }
  const rows = [...groups.values()].sort((a, b) => b.end - a.end).slice(0, MOST_ROWS);
  if (!rows.length) return el("p", { class: "soft" }, "no session yet");
  const first = Math.min(...rows.map((one) => one.start));
  const last = Math.max(height + 1, ...rows.map((one) => one.windows?.settlement_height ?? one.end));
  const x = (at) => LEFT + ((at - first) / Math.max(1, last + 1 - first)) * (WIDTH - LEFT - RIGHT);
  const tall = rows.length * ROW + 24;
  const svg = el("svg", { class: "timeline", viewBox: `0 0 ${WIDTH} ${tall}`, role: "img", "aria-label": "sessions and their windows by height" });
  rows.forEach((one, index) => {
    const y = index * ROW + 4;
    svg.append(el("text", { x: 0, y: y + 13 }, `${count(one.start)} – ${count(one.end)}`));
    for (const [name, from, to] of BARS) {
      const [begin, end] = [from(one), to(one)];
      if (begin === undefined || end === undefined || end < begin) continue;
      const bar = el("rect", { class: `bar-${name}`, x: x(begin), y: y + (name === "proof" ? 8 : 2), width: Math.max(2, x(end + 1) - x(begin) - 1), height: name === "session" ? 14 : 8, rx: 2 });
      bar.append(el("title", {}, `${name === "settle" ? "settlement" : name}: ${begin} to ${end}`));
      svg.append(bar);
    }
    const told = [...one.states].map(([state, number]) => `${number} ${state.replaceAll("_", " ")}`).join(", ");
    svg.append(el("text", { x: WIDTH - RIGHT + 8, y: y + 13 }, told));
  });
  svg.append(el("line", { class: "now", x1: x(height), x2: x(height), y1: 0, y2: tall - 16 }));
  svg.append(el("text", { x: x(height) + 4, y: tall - 4 }, `now ${count(height)}`));
  const legend = BARS.map(([name]) => el("li", {}, swatch(name), name === "settle" ? "settlement" : name === "session" ? "session" : `${name} window`));
  return el("div", {}, svg, el("ul", { class: "legend" }, legend));
}

function swatch(name) {
  return el("svg", { viewBox: "0 0 10 10", "aria-hidden": "true" }, el("rect", { class: `bar-${name}`, width: 10, height: 10, rx: 2 }));
}
