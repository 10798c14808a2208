// Requests to this server. A token is asked for when one is needed, and kept in this tab.

import { byId } from "./dom.js";

const KEY = "seqrec-token";
const RETRY_MS = 1000;
const ATTEMPTS = 4;

export class Refused extends Error {
  constructor(status, detail) {
    super(detail);
    this.status = status;
  }
}

let asking = null;

function askToken(isWrong) {
  asking ??= new Promise((resolve) => {
    const dialog = byId("token-dialog");
    if (isWrong) byId("token-note").textContent = "The server does not know this token.";
    byId("token-form").onsubmit = (event) => {
      event.preventDefault();
      sessionStorage.setItem(KEY, byId("token").value.trim());
      byId("token").value = "";
      dialog.close();
      asking = null;
      resolve();
    };
    dialog.oncancel = (event) => event.preventDefault();
    dialog.showModal();
  });
  return asking;
}

const wait = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

async function send(path, init, attempt = 1) {
  const token = sessionStorage.getItem(KEY);
  const headers = { ...init.headers };
  if (token) headers.authorization = `Bearer ${token}`;
  let response;
  try {
    response = await fetch(path, { ...init, headers });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Refused(0, "The server does not answer.");
  }
  if (response.status === 401) {
    await askToken(token !== null);
    return send(path, init);
  }
  if (response.status === 429 && attempt < ATTEMPTS) {
    await wait(RETRY_MS);
    return send(path, init, attempt + 1);
  }
  const answer = await response.json().catch(() => ({}));
  if (!response.ok) throw new Refused(response.status, answer.detail ?? `Status ${response.status}`);
  return answer;
}

/** GET with a query of names and values, or of names and lists of values. */
export function get(path, query = {}, signal) {
  const pairs = Object.entries(query)
    .filter(([, value]) => value !== undefined && value !== null && value !== "")
    .flatMap(([key, value]) => [value].flat().map((one) => [key, one]));
  const search = new URLSearchParams(pairs).toString();
  return send(search ? `${path}?${search}` : path, { signal });
}

export function post(path, body, signal) {
  const headers = { "content-type": "application/json" };
  return send(path, { method: "POST", headers, body: JSON.stringify(body), signal });
}

/** What is there, or null where the server has none. */
export async function getOptional(path, query) {
  try {
    return await get(path, query);
  } catch (error) {
    if (error.status === 404) return null;
    throw error;
  }
}
