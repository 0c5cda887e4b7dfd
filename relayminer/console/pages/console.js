// Pages from one stream of overviews. Every page is a function of the newest overview.

import { count, el, money, section, short, stateStyle, table } from "./format.js";
import { sessionPage } from "./session.js";
import { timeline } from "./timeline.js";

const main = document.getElementById("main");
const filter = document.getElementById("filter");
const live = document.getElementById("live");
let newest = null;
let previous = null;

const fits = (...texts) => {
  const wanted = filter.value.trim().toLowerCase();
  return !wanted || texts.some((text) => String(text).toLowerCase().includes(wanted));
};
const sessionHash = (one) => `#/session/${one.supplier}/${one.id}`;

const SESSION_COLUMNS = [
  { name: "session", cell: (one) => one.id.slice(0, 12), address: true, full: (one) => one.id },
  { name: "service", cell: (one) => one.service },
  { name: "supplier", cell: (one) => short(one.supplier), address: true, full: (one) => one.supplier },
  { name: "blocks", cell: (one) => `${one.start}–${one.end}`, number: true },
  { name: "relays", cell: (one) => count(one.relays), number: true },
  { name: "worth", cell: (one) => money(one.worth_upokt), number: true },
  { name: "state", cell: (one) => one.state.replaceAll("_", " "), style: (one) => stateStyle(one.state) },
  { name: "outcome", cell: (one) => one.outcome, style: (one) => (one.outcome === "open" ? "" : stateStyle(one.outcome)) },
  { name: "earned", cell: (one) => money(one.earned_upokt), number: true },
];

const PAGES = {
  overview(now) {
    const total = now.earnings.total;
    const served = now.node.relays_served;
    const seconds = previous ? now.now_unix_seconds - previous.now_unix_seconds : 0;
    const rate = seconds > 0 ? Math.max(0, served - previous.node.relays_served) / seconds : 0;
    const waiting = now.suppliers.reduce((sum, one) => sum + one.waiting, 0);
    const open = now.sessions.filter((one) => fits(one.id, one.supplier, one.service, one.state));
    return [
      el("section", { class: "cards" },
        card("relays served here", count(served), `${rate.toFixed(1)} a second`, "served"),
        card("waiting to be mined", count(waiting), "in the logs of all suppliers", "waiting"),
        card("claims settled", count(total.sessions.settled), `${count(total.sessions.lost)} lost, ${count(total.sessions.skipped)} skipped`, "settled"),
        card("earned", money(total.earned_upokt), `${money(total.net_upokt)} after fees and penalties`, "money"),
        card("to come", money(total_forecast(now)), `${count(now.sessions.filter((one) => one.outcome === "open").length)} open sessions`, "forecast")),
      section("Sessions and their windows", timeline(now.sessions, now.node.height)),
      section("Newest sessions", table(SESSION_COLUMNS, open.slice(0, 12), sessionHash)),
    ];
  },
  sessions(now) {
    const shown = now.sessions.filter((one) => fits(one.id, one.supplier, one.service, one.application, one.state, one.outcome));
    return [section(`Sessions (${count(shown.length)})`, table(SESSION_COLUMNS, shown.slice(0, 300), sessionHash))];
  },
  suppliers(now) {
    const shown = now.suppliers.filter((one) => fits(one.address, one.owner, one.status, one.services.join(" ")));
    return [section(`Suppliers (${count(now.suppliers_total)})`, table([
      { name: "supplier", cell: (one) => short(one.address), address: true, full: (one) => one.address },
      { name: "services", cell: (one) => one.services.join(", ") || "none" },
      { name: "status", cell: (one) => one.status.replaceAll("_", " "), style: (one) => (one.status === "active" ? "good" : "warn") },
      { name: "mined by", cell: (one) => one.owner || "nobody", style: (one) => (one.owner ? "" : "bad") },
      { name: "waiting", cell: (one) => count(one.waiting), number: true },
      { name: "in hand", cell: (one) => count(one.pending), number: true },
      { name: "open sessions", cell: (one) => count(one.open_sessions), number: true },
      { name: "earned", cell: (one) => money(one.earned_upokt), number: true },
      { name: "fees", cell: (one) => money(one.fees_upokt), number: true },
      { name: "lost", cell: (one) => money(one.lost_upokt), number: true, style: (one) => (one.lost_upokt ? "bad" : "soft") },
    ], shown))];
  },
  money(now) {
    const { total, by_service: services } = now.earnings;
    const losses = Object.entries(total.losses_upokt);
    const columns = [
      { name: "service", cell: (one) => one.name },
      { name: "relays", cell: (one) => count(one.relays), number: true },
      { name: "claimed", cell: (one) => money(one.claimed_upokt), number: true },
      { name: "earned", cell: (one) => money(one.earned_upokt), number: true },
      { name: "fees", cell: (one) => money(one.fees_upokt.claims + one.fees_upokt.proofs + one.fees_upokt.proof_submission), number: true },
      { name: "slashed", cell: (one) => money(one.slashed_upokt), number: true },
      { name: "net", cell: (one) => money(one.net_upokt), number: true },
    ];
    return [
      section("Earned, by service", table(columns, [...services.filter((one) => fits(one.name)), { ...total, name: "all" }])),
      section("Lost, by cause", table([
        { name: "cause", cell: ([cause]) => cause.replaceAll("_", " ") },
        { name: "amount", cell: ([, amount]) => money(amount), number: true, style: () => "bad" },
      ], losses, null, "nothing was lost")),
    ];
  },
  backends(now) {
    const rows = Object.entries(now.services).flatMap(([service, page]) => page.backends.endpoints.map((one) => ({ service, ...one })));
    return [section("Backends of this process", table([
      { name: "service", cell: (one) => one.service },
      { name: "endpoint", cell: (one) => one.name || one.url, full: (one) => one.url },
      { name: "state", cell: (one) => one.state, style: (one) => (one.healthy ? "good" : "bad") },
      { name: "latency", cell: (one) => `${one.latency_ms} ms`, number: true },
      { name: "errors", cell: (one) => `${one.error_pct} %`, number: true },
      { name: "height", cell: (one) => (one.height ? count(one.height) : ""), number: true },
      { name: "problem", cell: (one) => one.problem ?? "" },
    ], rows.filter((one) => fits(one.service, one.url)), null, "no relayer in this process"))];
  },
};

function card(name, value, more, id) {
  return el("div", {}, el("span", {}, name), el("strong", { id: `card-${id}` }, value), el("span", {}, more));
}

function total_forecast(now) {
  return now.sessions.filter((one) => one.outcome === "open").reduce((sum, one) => sum + (one.worth_upokt ?? 0), 0);
}

function place() {
  const parts = location.hash.replace(/^#\/?/, "").split("/").filter(Boolean);
  return { page: parts[0] ?? "overview", rest: parts.slice(1) };
}

let shownSession = "";

async function draw() {
  const { page, rest } = place();
  for (const link of document.querySelectorAll("nav a")) {
    if (link.dataset.page === page) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
  if (page === "session" && rest.length === 2) {
    const key = rest.join("/");
    const content = await sessionPage(...rest.map(decodeURIComponent));
    // Meanwhile somebody may have gone elsewhere.
    if (place().page === "session" && place().rest.join("/") === key) replace(content);
    shownSession = key;
    return;
  }
  shownSession = "";
  if (newest?.suppliers) replace((PAGES[page] ?? PAGES.overview)(newest));
}

/** Put new content in place of the old, and the focus where it was. */
function replace(content) {
  const focused = document.activeElement?.dataset?.key;
  const scrolled = window.scrollY;
  main.replaceChildren(...content);
  if (focused) main.querySelector(`[data-key="${CSS.escape(focused)}"]`)?.focus({ preventScroll: true });
  window.scrollTo(0, scrolled);
}

function vitals(now) {
  const put = (id, text, title = null) => {
    const node = document.getElementById(id);
    node.textContent = text;
    if (title) node.title = title;
  };
  put("height", count(now.node.height));
  put("about", `${now.node.chain_id} · ${now.node.roles.join(", ")} · ${now.node.owner}`);
  const problems = Object.entries(now.node.problems).map(([name, text]) => `${name}: ${text}`);
  if (now.store_problem) problems.push(`store: ${now.store_problem}`);
  const box = document.getElementById("problems");
  box.hidden = !problems.length;
  box.textContent = problems.join("\n");
  if (!now.earnings) return;
  const total = now.earnings.total;
  put("earned", money(total.earned_upokt));
  const lost = Object.values(total.losses_upokt).reduce((sum, amount) => sum + amount, 0);
  put("lost", money(lost));
  document.getElementById("lost").className = lost ? "bad" : "";
  put("open", count(now.sessions.filter((one) => one.outcome === "open").length));
  put("leader", now.leader.owner || "nobody", now.leader.owner);
}

function listen() {
  const source = new EventSource("/events");
  source.onopen = () => { live.textContent = "live"; live.className = "on"; };
  source.onerror = () => { live.textContent = "not connected, trying again"; live.className = "off"; };
  source.onmessage = (event) => {
    const now = JSON.parse(event.data);
    if (!now.node) return;
    [previous, newest] = [newest, now.earnings ? now : { ...newest, ...now }];
    vitals(now);
    if (!shownSession) draw();
  };
}

function theme(wanted) {
  const dark = wanted ?? (matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light");
  document.documentElement.dataset.theme = dark;
}

function otherTheme() {
  const wanted = document.documentElement.dataset.theme === "dark" ? "light" : "dark";
  localStorage.setItem("theme", wanted);
  theme(wanted);
}

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  if (event.target === filter) {
    if (event.key === "Escape") { filter.value = ""; filter.blur(); draw(); }
    return;
  }
  const rows = [...main.querySelectorAll("tbody tr[tabindex]")];
  const at = rows.indexOf(document.activeElement);
  if (event.key === "/") { event.preventDefault(); filter.focus(); }
  else if (event.key === "t") otherTheme();
  else if (event.key === "j") rows[Math.min(rows.length - 1, at + 1)]?.focus();
  else if (event.key === "k") rows[Math.max(0, at - 1)]?.focus();
  else if (event.key === "Escape" && place().page === "session") history.back();
  else if ("12345".includes(event.key)) location.hash = document.querySelectorAll("nav a")[event.key - 1].getAttribute("href");
});
document.getElementById("theme").addEventListener("click", otherTheme);
filter.addEventListener("input", draw);
window.addEventListener("hashchange", () => { draw(); main.focus({ preventScroll: true }); });
theme(localStorage.getItem("theme"));
draw();
listen();
