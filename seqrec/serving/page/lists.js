// The lists of one model or of two, side by side: titles, marks and reasons.

import { get, post } from "./api.js";
import { byId, h, show } from "./dom.js";
import { describe } from "./search.js";
import { changeHistory, state } from "./state.js";
import { summarize, whyPanel } from "./why.js";

const MOST = 50;
const MOST_SENTENCES = 10;
const details = new Map();

const quoted = (text) => `'${text.replaceAll("'", "''")}'`;

/** The list of a model after the history, and the genres of its items. */
export async function fetchList(model, signal) {
  const body = { model, history: state.history, k: state.k };
  if (state.reading) body.previous = state.reading;
  if (state.genre) body.where = `genres contains ${quoted(state.genre)}`;
  const answer = await post("recommend", body, signal);
  const [list] = answer.lists;
  const ids = list.recommendations.map((row) => row.item_id);
  const unknown = ids.filter((id) => !details.has(`${model} ${id}`));
  if (unknown.length) {
    const found = await get("items", { id: unknown, model }, signal);
    for (const item of found.items) details.set(`${model} ${item.item_id}`, describe(item));
  }
  return { model, identity: answer.model, ...list };
}

async function explain(list, most, more, signal) {
  const item_ids = list.recommendations.slice(0, most).map((row) => row.item_id);
  if (!item_ids.length || !(list.history.length || state.reading)) return null;
  const body = { model: list.model, history: state.history, item_ids, ...more };
  if (state.reading) body.previous = state.reading;
  return post("explain", body, signal);
}

/** What every title of the history does for the listed items; null without history and request. */
export async function fetchEvidence(list, signal) {
  const answer = await explain(list, MOST, {}, signal);
  if (!answer) return null;
  const byItem = new Map(answer.items.map((item) => [item.item_id, item]));
  return { counting: answer.counting, byItem };
}

/** The sentences that say why the first items are listed, by item. */
export async function fetchSentences(list, signal) {
  const answer = await explain(list, MOST_SENTENCES, { sentences: true }, signal);
  return new Map((answer?.items ?? []).map((item) => [item.item_id, item.explanation.sentence]));
}

const badge = (kind, text, label) =>
  h("span", { className: `badge ${kind}`, title: label, "aria-label": label }, text);

function movement(row, other) {
  if (!other) return null;
  const there = other.ranks.get(row.item_id);
  if (there === undefined) return badge("only", "only here", `Not in the list of ${other.model}`);
  const steps = there - row.rank;
  if (!steps) return badge("same", "=", `At the same rank in the list of ${other.model}`);
  const label = `Rank ${there} in the list of ${other.model}`;
  return badge(steps > 0 ? "up" : "down", `${steps > 0 ? "▲" : "▼"} ${Math.abs(steps)}`, label);
}

function listRow(list, row, other, next) {
  const isHit = next.has(row.item_id);
  const isOnly = other && !other.ranks.has(row.item_id);
  const id = `why-${list.place}-${row.rank}`;
  const panel = h("div", { className: "evidence", id, hidden: true });
  const reason = h("p", { className: "reason" });
  const sentence = h("p", { className: "sentence" });
  const why = h("button", {
    type: "button", className: "quiet why", "aria-expanded": "false", "aria-controls": id,
    "aria-label": `Why ${row.title}`, hidden: !list.history.length,
    onclick: () => {
      const isOpen = panel.hidden;
      if (isOpen) panel.replaceChildren(whyPanel(row, list.evidence));
      show(panel, isOpen);
      why.setAttribute("aria-expanded", String(isOpen));
    },
  }, "Why?");
  row.explain = () => {
    reason.replaceChildren(...summarize(list.evidence?.byItem.get(row.item_id)));
    sentence.textContent = list.sentences?.get(row.item_id) ?? "";
    if (!panel.hidden) panel.replaceChildren(whyPanel(row, list.evidence));
  };
  return h(
    "li", { className: `${isHit ? "is-hit" : ""} ${isOnly ? "is-only" : ""}` },
    h("span", { className: "rank" }, String(row.rank)),
    h("div", { className: "what" },
      h("button", {
        type: "button", className: "title", title: "Add to the history",
        onclick: () => changeHistory([...state.history, row.item_id]),
      }, row.title),
      h("p", { className: "meta" }, details.get(`${list.model} ${row.item_id}`) ?? ""),
      reason,
      sentence,
    ),
    h("div", { className: "marks" },
      isHit ? badge("hit", "✓ next", "The user watched it next") : null,
      row.without ? badge("only", "fits in part", `Does not fulfil: ${row.without}`) : null,
      movement(row, other)),
    why,
    panel,
  );
}

function notes(list, other, next) {
  const found = [];
  if (list.fallback) found.push(state.history.length
    ? `None of these titles is known: ${list.fallback}.` : "Most watched in training.");
  if (list.unknown_items.length) found.push(`Skipped, not in the catalog: ${list.unknown_items.join(", ")}.`);
  const hits = list.recommendations.filter((row) => next.has(row.item_id)).length;
  if (next.size) found.push(`${hits} of ${list.recommendations.length} were watched next.`);
  if (other) {
    const shared = list.recommendations.filter((row) => other.ranks.has(row.item_id)).length;
    found.push(`${shared} of ${list.recommendations.length} are in both lists.`);
  }
  found.push(...list.notes);
  if (!list.recommendations.length) found.push("Nothing can be listed.");
  return found.join(" ");
}

/** Show lists side by side; `next` holds the ids of what the user watched next. */
export function showLists(lists, next) {
  lists.forEach((list, place) => {
    list.place = place;
    list.ranks = new Map(list.recommendations.map((row) => [row.item_id, row.rank]));
  });
  document.body.classList.toggle("has-two", lists.length > 1);
  byId("columns").replaceChildren(
    ...lists.map((list, place) => {
      const other = lists.length > 1 ? lists[1 - place] : null;
      const className = list.history.length ? "column has-reasons" : "column";
      return h("section", { className, "aria-labelledby": `column-${place}` },
        h("h2", { id: `column-${place}` }, list.model),
        h("p", { className: "faint notes" }, notes(list, other, next)),
        h("ol", { className: "items" }, ...list.recommendations.map((row) => listRow(list, row, other, next))),
      );
    }),
  );
}
