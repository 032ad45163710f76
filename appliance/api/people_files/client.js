// The client of the API: nothing else on the page sends a request.
//
// The key is shown once, for a session of at most eight hours. What the browser keeps is the
// session's token, in `sessionStorage`: of this tab alone, through a reload, gone with the tab.

const ROOT = new URL("../v1/", import.meta.url);
const HERE = new URL("../people", import.meta.url).href;
const KEPT = "appliance.session";
const BEGUN = "appliance.login";

/** A request that was refused; `code` is one of the appliance's stable codes. */
export class Refusal extends Error {
  constructor(status, error) {
    super(error.message);
    this.status = status;
    this.code = error.code;
    this.item = error.item ?? null;
  }
}

let ended = () => {};

/** Have `then` called when the server does not know the session any more. */
export function whenEnded(then) {
  ended = then;
}

/** The session of this tab: `name` of the key, `answers`, `expires`; null without one. */
export function session() {
  try {
    const kept = JSON.parse(sessionStorage.getItem(KEPT));
    return kept && kept.expires * 1000 > Date.now() ? kept : null;
  } catch {
    return null;
  }
}

async function call(method, path, body, secret) {
  const token = secret ?? session()?.token;
  const headers = { accept: "application/json" };
  if (token) headers.authorization = `Bearer ${token}`;
  if (body !== undefined) headers["content-type"] = "application/json";
  let reply, told;
  try {
    reply = await fetch(new URL(path, ROOT), {
      method, headers, body: body === undefined ? undefined : JSON.stringify(body),
      cache: "no-store", credentials: "same-origin", redirect: "error",
    });
    told = await reply.json();
  } catch {
    throw new Refusal(0, { code: "unreachable", message: "The server does not answer." });
  }
  if (reply.ok) return { told, id: reply.headers.get("x-request-id") };
  if (reply.status === 401 && secret === undefined && session()) {
    sessionStorage.removeItem(KEPT);
    ended();
  }
  throw new Refusal(reply.status, told.error);
}

const part = encodeURIComponent;
const get = async (path) => (await call("GET", path)).told;

/** Ways to sign in besides a key: whether by a certificate, and the login services. */
export async function ways() {
  const reply = await fetch(new URL("ways.json", import.meta.url), { cache: "no-store" });
  return reply.json();
}

/** Begin a session with a key; with "" by the certificate that the browser shows. */
export async function signIn(key) {
  const { told } = await call("POST", "sessions", {}, key);
  sessionStorage.setItem(KEPT, JSON.stringify(told));
  return told;
}

const random = () => {
  const drawn = String.fromCharCode(...crypto.getRandomValues(new Uint8Array(32)));
  return btoa(drawn).replaceAll("+", "-").replaceAll("/", "_").replaceAll("=", "");
};

/** Go to a login service; it sends the browser back with a code. */
export async function goToLogin({ name, authorize, client }) {
  const begun = { login: name, state: random(), nonce: random(), verifier: random() };
  const said = new TextEncoder().encode(begun.verifier);
  const hashed = String.fromCharCode(...new Uint8Array(await crypto.subtle.digest("SHA-256", said)));
  const challenge = btoa(hashed).replaceAll("+", "-").replaceAll("/", "_").replaceAll("=", "");
  sessionStorage.setItem(BEGUN, JSON.stringify(begun));
  const to = new URL(authorize);
  const asked = {
    response_type: "code", scope: "openid", client_id: client, redirect_uri: HERE,
    state: begun.state, nonce: begun.nonce, code_challenge: challenge, code_challenge_method: "S256",
  };
  for (const [key, value] of Object.entries(asked)) to.searchParams.set(key, value);
  location.assign(to);
}

/** Whether a login service sent the browser here. */
export const cameBack = () => new URLSearchParams(location.search).has("state");

/** Begin a session with the code that a login service gave, if this tab asked for one. */
export async function finishLogin() {
  const told = new URLSearchParams(location.search);
  history.replaceState(null, "", HERE);
  const begun = JSON.parse(sessionStorage.getItem(BEGUN));
  sessionStorage.removeItem(BEGUN);
  if (!begun || begun.state !== told.get("state") || !told.has("code")) {
    const why = told.get("error_description") ?? told.get("error") ?? "this tab did not ask for it";
    throw new Refusal(0, { code: "login_refused", message: `You are not signed in: ${why}.` });
  }
  const { login, nonce, verifier } = begun;
  const sent = { login, nonce, verifier, code: told.get("code"), redirect: HERE };
  const { told: made } = await call("POST", "sessions/login", sent, "");
  sessionStorage.setItem(KEPT, JSON.stringify(made));
}

/** End this session, or all sessions of the key in every browser. */
export async function signOut(everywhere) {
  const { told } = await call("DELETE", everywhere ? "sessions" : "sessions/this");
  sessionStorage.removeItem(KEPT);
  return told.ended;
}

export const models = async () => (await get("models")).data;

/** Ask a task; the response is kept on the server where the key's texts are. */
export async function ask(model, input) {
  const { told, id } = await call("POST", "responses", { model, input });
  return { response: told, id };
}

export const receipt = (id) => get(`receipts/${part(id)}`);
export const passage = (collection, id) =>
  get(`collections/${part(collection)}/passages/${part(id)}`);
export const response = (id) => get(`responses/${part(id)}`);
export const asked = async (id) => (await get(`responses/${part(id)}/input_items`)).data;
export const requests = (since, before) =>
  get(`requests?limit=20&since=${since}${before === null ? "" : `&before=${before}`}`);

export const waiting = async () => (await get("queue")).data;
export const answer = async (id, words) =>
  (await call("POST", `queue/${part(id)}/answer`, { answer: words })).told;

export const labelQueues = () => get("labels");
export const labelItem = (queue) => get(`labels/${part(queue)}`);
export const label = async (queue, given) =>
  (await call("POST", `labels/${part(queue)}`, given)).told;
