// Speaks with the server: the token, one call at a time, and what an error says.

const BASE = "/_cosmos/v1";
const KEY = "cosmos-token";

// Between two tries of a question that nobody took: the machine's network changes when a container starts.
const PAUSES = [200, 800];

export class ApiError extends Error {
  constructor({ status, code, message, hint }) {
    super(message);
    this.status = status;
    this.code = code;
    this.hint = hint ?? null;
  }
}

// Kept here as well: a browser may refuse storage.
let token = recall();
let forgotten = () => {};

function recall() {
  try {
    return sessionStorage.getItem(KEY);
  } catch {
    return null;
  }
}

function remember(value) {
  token = value;
  try {
    if (value === null) sessionStorage.removeItem(KEY);
    else sessionStorage.setItem(KEY, value);
  } catch {
    return;
  }
}

export function signedIn() {
  return token !== null;
}

export function whenSignedOut(listener) {
  forgotten = listener;
}

export async function signIn(code) {
  const response = await send("/session", { method: "POST", bearer: code });
  if (!response.ok) throw await problem(response);
  remember((await response.json()).token);
}

async function send(path, { method = "GET", body, bearer = token, signal } = {}) {
  const headers = { Authorization: `Bearer ${bearer}` };
  if (body !== undefined) headers["Content-Type"] = "application/json";
  const wanted = {
    method,
    headers,
    body: body === undefined ? undefined : JSON.stringify(body),
    signal,
    cache: "no-store",
    credentials: "omit",
  };
  // Only a question may be asked twice.
  const pauses = method === "GET" ? PAUSES : [];
  for (const pause of [...pauses, null]) {
    try {
      return await fetch(BASE + path, wanted);
    } catch (error) {
      if (error.name === "AbortError") throw error;
      if (pause !== null) await new Promise((next) => setTimeout(next, pause));
    }
  }
  throw new ApiError({
    status: 0,
    code: "no_answer",
    message: "Cosmos does not answer",
    hint: "It may be starting again. Try once more in a moment.",
  });
}

async function problem(response) {
  try {
    const { error } = await response.json();
    return new ApiError({ status: response.status, ...error });
  } catch {
    return new ApiError({
      status: response.status,
      code: "unreadable",
      message: `Cosmos answered ${response.status} without saying why`,
      hint: "Its own log may say more.",
    });
  }
}

export async function request(path, options = {}) {
  const used = token;
  const response = await send(path, options);
  if (response.ok) return response;
  const error = await problem(response);
  if (response.status === 401 && used === token) {
    remember(null);
    forgotten(error);
  }
  throw error;
}

export async function call(path, options) {
  return (await request(path, options)).json();
}

export function query(parts) {
  const pairs = Object.entries(parts).filter(([, value]) => value !== null && value !== undefined && value !== "");
  const text = new URLSearchParams(pairs).toString();
  return text ? `?${text}` : "";
}

export async function* lines(response, heard = () => {}) {
  const reader = response.body.getReader();
  const decoder = new TextDecoder();
  let rest = "";
  for (;;) {
    const { done, value } = await reader.read();
    heard();
    rest += done ? decoder.decode() : decoder.decode(value, { stream: true });
    const ready = rest.split("\n");
    rest = done ? "" : ready.pop();
    for (const line of ready) if (line.trim()) yield JSON.parse(line);
    if (done) return;
  }
}
