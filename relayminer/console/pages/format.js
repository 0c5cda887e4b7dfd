// Numbers and texts as people read them, and elements made without ever reading HTML.

const whole = new Intl.NumberFormat("en");

/** An amount: uPOKT below a thousand POKT-millionths, POKT above. */
export function money(upokt) {
  if (upokt === null || upokt === undefined) return "?";
  if (Math.abs(upokt) < 1_000_000) return `${whole.format(upokt)} uPOKT`;
  return `${(upokt / 1_000_000).toLocaleString("en", { maximumFractionDigits: 3 })} POKT`;
}

export function count(number) {
  return whole.format(number ?? 0);
}

/** The ends of an address: its middle tells nobody anything. */
export function short(address) {
  return address.length > 20 ? `${address.slice(0, 9)}…${address.slice(-6)}` : address;
}

/** An element; children are text or elements, never HTML. */
export function el(name, attributes = {}, ...children) {
  const svg = SVG.has(name);
  const node = svg ? document.createElementNS("http://www.w3.org/2000/svg", name) : document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (key.startsWith("on")) node.addEventListener(key.slice(2), value);
    else if (value !== null && value !== false) node.setAttribute(key, value === true ? "" : value);
  }
  node.append(...children.flat(Infinity).filter((child) => child !== null && child !== undefined));
  return node;
}

const SVG = new Set(["svg", "rect", "line", "text", "title", "g"]);

/** A table. Columns: {name, cell(row), number, address, style(row)}; open(row) gives a row its page. */
export function table(columns, rows, open = null, empty = "nothing yet") {
  const head = columns.map((one) => el("th", { class: one.number ? "number" : null, scope: "col" }, one.name));
  const body = rows.map((row) => {
    const cells = columns.map((one) => {
      const kinds = [one.number && "number", one.address && "address", one.wide && "wide", one.style?.(row)].filter(Boolean);
      const full = one.full?.(row) ?? null;
      return el("td", { class: kinds.join(" ") || null, title: full }, String(one.cell(row)));
    });
    if (!open) return el("tr", {}, cells);
    const go = () => { location.hash = open(row); };
    return el("tr", { tabindex: 0, onclick: go, onkeydown: (event) => event.key === "Enter" && go(), "data-key": open(row) }, cells);
  });
  if (!rows.length) body.push(el("tr", {}, el("td", { colspan: columns.length, class: "soft" }, empty)));
  return el("table", {}, el("thead", {}, el("tr", {}, head)), el("tbody", {}, body));
}

export function section(title, ...children) {
  return el("section", {}, el("h2", {}, title), children);
}

export function pairs(entries) {
  return el("dl", { class: "pair" }, entries.filter(([, value]) => value !== "" && value !== null && value !== undefined)
    .map(([name, value]) => [el("dt", {}, name), el("dd", {}, value)]));
}

export const STATE_STYLES = {
  active: "", claiming: "warn", claimed: "", proving: "warn", proved: "good", probabilistic_proved: "good",
  settled: "good", claim_skipped: "soft", skipped: "soft",
};

export function stateStyle(state) {
  return STATE_STYLES[state] ?? "bad";
}
