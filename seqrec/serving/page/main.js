// The page: state in, lists out. A change aborts what is still being asked.

import { get } from "./api.js";
import { byId, number, options, show } from "./dom.js";
import { startEvaluation } from "./evaluation.js";
import { fetchEvidence, fetchList, fetchSentences, showLists } from "./lists.js";
import { startSearch } from "./search.js";
import { change, onChange, read, state } from "./state.js";
import { readUser, showUser, startUsers } from "./user.js";
import { learnTitles, showWatched, startWatched } from "./watched.js";
import { rememberShown, showReading, startWords } from "./words.js";

const MAX_K = 50;
const STEP_K = 10;
const EVIDENCE_PAUSE_MS = 150;
let models = [];
let pending = null;

function tell(text, isError = false) {
  byId("status").textContent = text;
  byId("status").classList.toggle("error", isError);
}

const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

async function update() {
  pending?.abort();
  const own = (pending = new AbortController());
  document.body.classList.add("is-busy");
  try {
    const next = await readUser();
    if (own.signal.aborted) return;
    showWatched();
    const chosen = state.b ? [state.a, state.b] : [state.a];
    const lists = await Promise.all(chosen.map((model) => fetchList(model, own.signal)));
    if (own.signal.aborted) return;
    for (const list of lists) learnTitles(list.history);
    showWatched();
    showReading();
    rememberShown(lists[0]);
    showLists(lists, next);
    showUser(new Set(lists.flatMap((list) => list.recommendations.map((row) => row.item_id))));
    showIdentity(lists);
    show(byId("more"), state.k < MAX_K && lists.some((list) => list.recommendations.length === state.k));
    tell("");
    document.body.classList.remove("is-busy");
    await pause(EVIDENCE_PAUSE_MS);
    for (const list of lists) {
      if (own.signal.aborted) return;
      list.evidence = await fetchEvidence(list, own.signal);
      for (const row of list.recommendations) row.explain();
    }
    document.body.dataset.explained = String(Number(document.body.dataset.explained ?? 0) + 1);
    for (const list of lists) {
      if (own.signal.aborted) return;
      list.sentences = await fetchSentences(list, own.signal);
      for (const row of list.recommendations) row.explain();
    }
    document.body.dataset.worded = String(Number(document.body.dataset.worded ?? 0) + 1);
  } catch (error) {
    if (error.name !== "AbortError" && !own.signal.aborted) tell(error.message, true);
  } finally {
    if (pending === own) document.body.classList.remove("is-busy");
  }
}

function showIdentity(lists) {
  const parts = lists.map(({ model, identity }) => {
    const { num_items } = models.find((one) => one.name === model);
    return `${model}: ${number(num_items)} titles, version ${identity.version}`;
  });
  byId("identity").textContent = parts.join(" · ");
}

async function showGenres() {
  const { genres } = await get("genres", { model: state.a });
  show(byId("genre-label"), genres.length > 0);
  const pairs = genres.map(({ name, items }) => [name, `${name} (${number(items)})`]);
  if (!genres.some(({ name }) => name === state.genre)) state.genre = "";
  options(byId("genre"), [["", "all"], ...pairs], state.genre);
}

function showChoices() {
  const names = models.map(({ name }) => [name, name]);
  const isServed = (name) => models.some((one) => one.name === name);
  if (!isServed(state.a)) state.a = models.find((one) => one.is_default).name;
  if (!isServed(state.b) || state.b === state.a) state.b = "";
  options(byId("model-a"), names, state.a);
  const others = names.filter(([name]) => name !== state.a);
  options(byId("model-b"), [["", "none"], ...others], state.b);
  show(byId("model-b").parentElement, others.length > 0);
}

async function share() {
  const button = byId("share");
  try {
    await navigator.clipboard.writeText(location.href);
    button.textContent = "Copied";
  } catch {
    button.textContent = "Copy the address above";
  }
  setTimeout(() => (button.textContent = "Copy link"), 2000);
}

async function restart() {
  read();
  showChoices();
  await showGenres();
  await update();
}

async function start() {
  startSearch();
  startWatched();
  startWords(tell);
  try {
    models = (await get("models")).models;
    await Promise.all([startUsers(), startEvaluation()]);
  } catch (error) {
    tell(error.message, true);
    return;
  }
  onChange(update);
  byId("model-a").addEventListener("change", async (event) => {
    state.a = event.target.value;
    showChoices();
    await showGenres();
    change({});
  });
  byId("model-b").addEventListener("change", (event) => change({ b: event.target.value }));
  byId("genre").addEventListener("change", (event) => change({ genre: event.target.value }));
  byId("more").addEventListener("click", () => change({ k: Math.min(state.k + STEP_K, MAX_K) }));
  byId("share").addEventListener("click", share);
  addEventListener("hashchange", restart);
  await restart();
}

start();
