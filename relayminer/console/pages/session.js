// One session's story on one page.

import { count, el, money, pairs, section, stateStyle, table } from "./format.js";

export async function sessionPage(supplier, id) {
  const answer = await fetch(`/api/session/${encodeURIComponent(supplier)}/${encodeURIComponent(id)}`);
  const story = await answer.json();
  if (!answer.ok) return [section("Session", el("p", { class: "bad" }, story.error))];
  const windows = story.windows;
  return [
    section(
      `Session ${story.session_id}`,
      pairs([
        ["state", el("span", { class: stateStyle(story.state) }, story.state.replaceAll("_", " "))],
        ["outcome", `${story.outcome}${story.reason ? `: ${story.reason}` : ""}`],
        ["supplier", story.supplier],
        ["service", story.service_id],
        ["application", story.application_address],
        ["blocks", `${count(story.session_start_height)} – ${count(story.session_end_height)}`],
        ["relays", `${count(story.relays.mined)} in the trie, ${count(story.relays.logged)} logged, ${count(story.relays.late)} late`],
        ["compute units", count(story.compute_units)],
        ["root", story.root || story.sealed_root || story.live_root],
        ["claim transaction", story.claim_tx],
        ["proof transaction", story.proof_tx],
      ]),
    ),
    section(
      "Money",
      pairs([
        ["worth", money(story.worth_upokt)],
        ["claimed", money(story.claimed_upokt)],
        ["settled", money(story.settled_upokt)],
        ["earned", money(story.earned_upokt)],
        ["fees", money(story.fees_upokt)],
        ["lost", Object.entries(story.losses_upokt).map(([cause, amount]) => `${money(amount)} (${cause})`).join(", ") || "nothing"],
        ["net", money(story.net_upokt)],
      ]),
    ),
    windows && section(
      "Windows",
      pairs([
        ["grace ends", count(windows.grace_end_height)],
        ["claim", `${count(windows.claim_open_height)} – ${count(windows.claim_close_height)}`],
        ["proof", `${count(windows.proof_open_height)} – ${count(windows.proof_close_height)}`],
        ["settlement", count(windows.settlement_height)],
      ]),
    ),
    section(
      "What happened",
      table(
        [
          { name: "when (UTC)", cell: (row) => row.time_utc.replace("T", " ").replace("Z", "") },
          { name: "height", cell: (row) => row.height ?? "", number: true },
          { name: "step", cell: (row) => row.step.replaceAll("_", " ") },
          { name: "told", cell: told, wide: true },
        ],
        story.ledger,
        null,
        "nothing is in the ledger yet",
      ),
    ),
  ].filter(Boolean);
}

const KNOWN = new Set(["supplier", "time_utc", "step", "session_id", "id", "entry_id", "height", "service_id", "application_address", "session_end_height", "session_start_height"]);

function told(row) {
  return Object.entries(row)
    .filter(([name, value]) => !KNOWN.has(name) && value !== "" && value !== null)
    .map(([name, value]) => `${name.replaceAll("_", " ")} ${value}`)
    .join(" · ");
}
