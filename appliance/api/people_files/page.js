// The page: signing in, and a view for each thing that people do.

import * as api from "./client.js";
import { button, download, field, make, moment, pairs, plain } from "./elements.js";
import { holds } from "./proof.js";

const view = document.getElementById("view");
const said = document.getElementById("said");
const WEEK_S = 7 * 24 * 3600;
const REASONS = {
  unreadable: "I cannot read it",
  no_label_fits: "No label fits",
  several_fit: "Several labels fit",
  not_my_field: "Not my field",
};
const STATES = {
  open: "being answered", ok: "answered", cancelled: "cancelled", error: "failed",
  unknown: "cut off",
};

let silence;

/** Tell it for a while, also to who does not see the page. */
function tell(words) {
  clearTimeout(silence);
  said.textContent = words;
  if (words) silence = setTimeout(() => tell(""), 8000);
}

/** Show a view: its heading takes the focus, so that a screen reader begins there. */
function show(title, ...children) {
  const heading = make("h1", { tabindex: "-1" }, title);
  view.replaceChildren(heading, ...children.flat().filter((child) => child !== null));
  document.title = `${title} – the appliance`;
  heading.focus({ preventScroll: true });
  scrollTo(0, 0);
}

/** Words for what went wrong, in the view's own place. */
function problem(error) {
  if (!(error instanceof api.Refusal)) throw error;
  tell(error.message);
  return make("p", { class: "problem", role: "alert" }, `${error.message} (${error.code})`);
}

/** Have `act` fill a place; what refuses it is told there. */
async function into(place, act) {
  tell("");
  try {
    place.replaceChildren(...[await act()].flat());
  } catch (error) {
    place.replaceChildren(problem(error));
  }
}

// Signing in and out

async function signInView(words = "") {
  view.classList.add("narrow");
  const { certificates, logins } = await api.ways();
  const place = make("div", {});
  const key = make("input", {
    type: "password", autocomplete: "off", spellcheck: "false", autocapitalize: "none",
    required: true,
  });
  const enter = async (secret) => {
    try {
      await api.signIn(secret);
      go("ask");
    } catch (error) {
      place.replaceChildren(problem(error));
    }
  };
  const form = make("form", { onsubmit: async (event) => {
    event.preventDefault();
    const secret = key.value.trim();
    key.value = "";
    await enter(secret);
  } }, field("key", "Your API key", key), make("button", { class: "main" }, "Sign in"));
  show(
    "Sign in",
    words ? make("p", {}, words) : null,
    form,
    logins.map((login) => button(`Sign in at ${login.name}`, () => api.goToLogin(login))),
    certificates ? button("Sign in with the certificate of this device", () => enter("")) : null,
    place,
    make("p", { class: "quiet" }, "The page forgets the key at once. You stay signed in in this tab for at most eight hours."),
  );
  key.focus();
}

async function leave(everywhere) {
  try {
    const ended = await api.signOut(everywhere);
    frame();
    await signInView(everywhere
      ? `You are signed out in every browser; ${ended} ${ended === 1 ? "session" : "sessions"} ended. Your key itself stays good: an admin can revoke it.`
      : "You are signed out.");
  } catch (error) {
    if (api.session()) view.prepend(problem(error));
    else await signInView("Your session has ended.");
  }
}

// Asking

async function askView() {
  const place = make("div", {});
  const models = (await api.models()).filter(({ meta }) => ["task", "route", "chat"].includes(meta.type));
  const kinds = [
    ["Documents", (meta) => meta.citations],
    ["Tasks", (meta) => !meta.citations && meta.type !== "chat"],
    ["Models", (meta) => meta.type === "chat"],
  ];
  const which = make("select", {}, kinds.map(([name, of]) => {
    const some = models.filter(({ meta }) => of(meta));
    return some.length
      ? make("optgroup", { label: name }, some.map(({ id }) => make("option", { value: id }, id)))
      : null;
  }));
  const text = make("textarea", { rows: "4", required: true });
  text.addEventListener("keydown", (event) => {
    if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) form.requestSubmit();
  });
  const send = make("button", { class: "main" }, "Ask");
  const form = make("form", { onsubmit: async (event) => {
    event.preventDefault();
    send.disabled = true;
    place.replaceChildren(make("p", { class: "quiet" }, "Being answered …"));
    place.setAttribute("aria-busy", "true");
    await into(place, async () => {
      try {
        return answered(await api.ask(which.value, text.value));
      } catch (error) {
        if (error.item) return queued(error.item);
        throw error;
      }
    });
    place.removeAttribute("aria-busy");
    send.disabled = false;
    place.querySelector("h2")?.focus();
  } },
  field("which", "Task", which),
  field("text", "Your text", text),
  make("p", { class: "quiet" }, "Where a task has several fields, write them as a JSON object. Ctrl and Enter asks."),
  send);
  show("Ask", models.length ? form : make("p", {}, "Your key may use no task. Ask an admin."), place);
  text.focus();
}

function queued(item) {
  return make("article", { class: "card" },
    make("h2", { tabindex: "-1" }, "A person will answer"),
    make("p", {}, "No stage may answer this by itself. Under My requests you find the answer once it is there."),
    make("p", { class: "quiet" }, item));
}

/** An answer: its words, what proves them, how sure it is, and its receipt. */
function answered({ response, id }) {
  const words = response.output.flatMap((item) => item.content ?? [])
    .map((part) => part.text ?? "").join("");
  const about = response.x_appliance ?? {};
  return make("article", { class: "card" },
    make("h2", { tabindex: "-1" }, "Answer"),
    told(words, about),
    about.confidence === undefined ? null : sure(about),
    about.citations ? sources(about) : null,
    response.incomplete_details ? make("p", { class: "problem" }, "The answer was cut off at its longest.") : null,
    make("p", { class: "row" },
      button("Keep the receipt", () => keep(id)),
      make("span", { class: "quiet" }, id)));
}

/** The words: an object as names and values, a text in paragraphs with its marks. */
function told(words, about) {
  if (!about.citations) {
    try {
      const fields = JSON.parse(words);
      if (fields && typeof fields === "object" && !Array.isArray(fields)) return pairs(fields);
    } catch {
      // it is a text
    }
    return make("p", { class: "answer" }, words);
  }
  const signs = Array.from(words); // the API counts characters, a string of JavaScript halves
  const parts = [];
  let at = 0;
  about.citations.forEach((one, place) => {
    const quoted = signs.slice(one.at, one.until).join("").replace(/\s*\[\d+\]$/, "");
    parts.push(signs.slice(at, one.at).join(""), make("q", {}, quoted));
    parts.push(make("sup", {}, opener(about, one, place + 1, String(place + 1))));
    at = one.until;
  });
  return make("p", { class: "answer" }, ...parts, signs.slice(at).join(""));
}

function sure(about) {
  const rows = Object.entries(about.distribution ?? {}).sort((a, b) => b[1] - a[1]).slice(0, 5);
  return make("ul", { class: "shares", "aria-label": "Confidence" }, rows.map(([label, share]) =>
    make("li", {}, make("span", {}, label),
      make("meter", { min: 0, max: 1, value: share, "aria-label": label }),
      make("span", { class: "number" }, `${(100 * share).toFixed(0)} %`))));
}

function sources(about) {
  if (!about.citations.length) return make("p", { class: "quiet" }, "No passage proves this answer.");
  return make("div", {}, make("h3", {}, "From the documents"),
    make("ol", { class: "sources" }, about.citations.map((one, place) =>
      make("li", {}, opener(about, one, place + 1, where(one))))));
}

function where(one) {
  return [one.title || one.document, one.page ? `page ${one.page}` : ""].filter(Boolean).join(", ");
}

function opener(about, one, number, words) {
  return button(words, () => open(about.collection, one),
    { class: "link", "aria-label": `Open passage ${number}: ${where(one)}` });
}

/** The passage that a citation names, with the quoted bytes marked. */
async function open(collection, one) {
  const box = document.getElementById("passage");
  const close = button("Close", () => box.close(), { class: "main" });
  const title = (words) => make("h2", { id: "passage-title" }, words);
  try {
    const found = await api.passage(collection, one.passage);
    const data = new TextEncoder().encode(found.text);
    const cut = (from, to) => new TextDecoder().decode(data.slice(from, to));
    const [from, to] = [one.start - found.start, one.end - found.start];
    box.replaceChildren(
      title(found.title || found.document),
      make("p", { class: "quiet" }, [found.document, found.heading, found.page ? `page ${found.page}` : ""].filter(Boolean).join(" · ")),
      make("blockquote", {}, cut(0, from), make("mark", {}, cut(from, to)), cut(to)),
      close);
  } catch (error) {
    box.replaceChildren(title("The passage"), problem(error), close);
  }
  box.showModal();
}

// Receipts

async function keep(id) {
  download(`receipt-${id}.json`, JSON.stringify(await api.receipt(id), null, 1));
  tell("The receipt is in your downloads.");
}

async function checkView() {
  const place = make("div", { "aria-live": "polite" });
  const file = make("input", { type: "file", accept: ".json,application/json" });
  file.addEventListener("change", () => into(place, () => checked(file.files[0])));
  show("Check a receipt",
    make("p", {}, "Choose a receipt that you kept. This browser follows its proof, and the server says what its log has today."),
    field("file", "Receipt", file), place,
    make("p", { class: "quiet" }, "Who does not trust this server has the auditor check the file with another program."));
}

async function checked(file) {
  let receipt, proved;
  try {
    receipt = JSON.parse(await file.text());
    proved = await holds(receipt);
  } catch {
    return verdict(false, "This file is no receipt.");
  }
  const results = [verdict(proved, proved
    ? "Its proof leads from the entry to the head of the log that the file names."
    : "Its proof does not hold: the file was changed.")];
  try {
    const now = await api.receipt(receipt.request_id);
    const same = ["intent", "outcome"].every((name) => !receipt[name] ||
      (now[name]?.seq === receipt[name].seq && now[name]?.leaf === receipt[name].leaf));
    results.push(verdict(same, same
      ? "The log has the same entries at the same places today."
      : "The log has other entries there today. Tell the auditor."));
  } catch (error) {
    results.push(error.status === 404
      ? verdict(false, "The log has no such request of yours.") : problem(error));
  }
  return results;
}

function verdict(good, words) {
  return make("p", { class: good ? "good" : "problem" }, good ? "✓ " : "✗ ", words);
}

// Labelling

async function labelView() {
  const { data, rater } = await api.labelQueues();
  if (!data.length) {
    show("Label", make("p", {}, "No queue has you as a rater. An admin makes one with:"),
      make("pre", {}, `appliance label new DATASET_DIR --rater "${rater}" --rater …`));
  } else if (data.length === 1) {
    await labelItems(data[0].name);
  } else {
    show("Label", make("ul", { class: "plain" }, data.map((queue) => make("li", {},
      button(`${queue.name}: ${queue.done} of ${queue.total}`, () => labelItems(queue.name))))));
  }
}

async function labelItems(queue) {
  await labelOne(await api.labelItem(queue));
}

async function labelOne(one) {
  const place = make("div", {});
  const give = async (given) => {
    try {
      await labelOne(await api.label(one.queue, { item: one.item, ...given }));
    } catch (error) {
      place.replaceChildren(problem(error));
    }
  };
  const progress = [
    make("progress", { max: one.total, value: one.done, "aria-label": "Labelled" }),
    make("p", { class: "quiet" }, `${one.done} of ${one.total} labelled in ${one.queue}`),
  ];
  if (one.item === null) {
    show("Label", progress, make("p", {}, "You have labelled all items. Thank you."));
    return;
  }
  const choices = one.labels.map((label, place) => button(
    place < 9 ? [make("kbd", { "aria-hidden": "true" }, String(place + 1)), label] : label,
    () => give({ label }), { "data-key": place < 9 ? place + 1 : null }));
  show("Label", progress,
    make("article", { class: "card", "data-item": one.item }, pairs(one.input)),
    one.aside ? make("p", { class: "quiet" }, `You put this aside before: ${REASONS[one.aside]}.`) : null,
    make("div", { class: "choices", role: "group", "aria-label": "Labels" }, choices),
    make("details", {}, make("summary", {}, "Put it aside …"),
      make("div", { class: "choices" }, Object.entries(REASONS).map(([aside, words]) =>
        button(words, () => give({ aside }))))),
    place);
}

// What waits for a person

async function waitingView() {
  const items = (await api.waiting()).filter((item) => item.state === "waiting");
  items.sort((a, b) => a.created - b.created);
  const [one] = items;
  if (!one) {
    show("Answer", make("p", {}, "Nothing waits for a person."));
    return;
  }
  const place = make("div", {});
  const give = async (words) => {
    try {
      await api.answer(one.id, words);
      tell("Answered.");
      await waitingView();
    } catch (error) {
      place.replaceChildren(problem(error));
    }
  };
  show("Answer",
    make("p", { class: "quiet" }, `${items.length} ${items.length === 1 ? "request waits" : "requests wait"}. The oldest, of ${moment(one.created)}, for ${one.task}:`),
    make("article", { class: "card", "data-item": one.id }, pairs(one.input),
      make("p", { class: "quiet" }, one.reason)),
    replies(one, give), place,
    make("p", { class: "quiet" }, `To be answered until ${moment(one.deadline)}.`));
}

function replies(one, give) {
  if (one.labels) {
    return make("div", { class: "choices", role: "group", "aria-label": "Answers" },
      one.labels.map((label, place) => button(label, () => give(label), { "data-key": place < 9 ? place + 1 : null })));
  }
  const text = make("textarea", { rows: "5", required: true });
  if (one.form) text.value = JSON.stringify(Object.fromEntries(
    Object.keys(one.form.properties ?? {}).map((name) => [name, null])), null, 1);
  const place = make("div", {});
  return make("form", { onsubmit: async (event) => {
    event.preventDefault();
    try {
      await give(one.form ? JSON.parse(text.value) : text.value);
    } catch {
      place.replaceChildren(make("p", { class: "problem", role: "alert" }, "This is no JSON object."));
    }
  } },
  field("reply", one.form ? "Your answer, as a JSON object" : "Your answer", text), place,
  make("button", { class: "main" }, "Answer"));
}

// What this person asked

async function mineView() {
  const since = Math.floor(Date.now() / 1000) - WEEK_S;
  const list = make("ol", { class: "cards" });
  const later = make("div", {});
  const more = async (before) => {
    const page = await api.requests(since, before);
    const rows = page.data.map(row);
    list.append(...rows.map(({ card }) => card));
    later.replaceChildren(...(page.before === null ? [] : [button("Earlier ones", () => more(page.before))]));
    return rows;
  };
  const rows = await more(null);
  const own = api.session().answers ? [] : await api.waiting();
  show("My requests",
    own.length ? [make("h2", {}, "With a person"), make("ol", { class: "cards" }, own.map(waits))] : null,
    make("h2", {}, "The last seven days"),
    rows.length || later.firstChild ? list : make("p", {}, "You asked nothing in the last seven days."), later);
  for (const { fill } of rows) await fill();
}

function row(one) {
  const words = make("p", { class: "asked" }, "");
  const place = make("div", {});
  const kept = async () => {
    if (!one.response) throw new api.Refusal(404, { code: "not_found", message: "It was asked by a program." });
    const [response, items] = [await api.response(one.response), await api.asked(one.response)];
    return { response, said: items.filter((item) => item.role === "user").at(-1) };
  };
  const fill = async () => {
    if (!words.isConnected) return;
    try {
      const { said: item } = await kept();
      words.textContent = item.content.map((part) => part.text ?? "").join(" ").slice(0, 300);
    } catch {
      words.textContent = "The words are not kept.";
    }
  };
  const card = make("li", { class: "card" },
    make("p", { class: "quiet" }, `${moment(one.created)} · ${one.model} · ${STATES[one.state]}`),
    words,
    make("p", { class: "row" },
      one.response ? button("Show the answer", () => into(place, async () =>
        answered({ response: (await kept()).response, id: one.id }))) : null,
      button("Keep the receipt", () => into(place, async () => { await keep(one.id); return []; }))),
    place);
  return { card, fill };
}

function waits(item) {
  return make("li", { class: "card" },
    make("p", { class: "quiet" }, `${moment(item.created)} · ${item.task} · ${item.state}`),
    pairs(item.input),
    item.state === "answered" ? make("p", { class: "answer" }, plain(item.answer)) : null);
}

// The frame

const VIEWS = {
  ask: ["Ask", askView],
  mine: ["My requests", mineView],
  label: ["Label", labelView],
  answer: ["Answer", waitingView],
  check: ["Check a receipt", checkView],
};

function frame() {
  const who = api.session();
  const now = location.hash.slice(1) || "ask";
  const offered = Object.entries(VIEWS).filter(([name]) => name !== "answer" || who?.answers);
  document.getElementById("pages").replaceChildren(...(who ? offered : []).map(([name, [words]]) =>
    make("a", { href: `#${name}`, "aria-current": name === now ? "page" : null }, words)));
  document.getElementById("me").replaceChildren(...(who ? [
    make("span", { class: "who" }, who.name),
    button("Sign out", () => leave(false), { class: "link" }),
    button("Sign out everywhere", () => leave(true), { class: "link" }),
  ] : []));
}

async function draw() {
  tell("");
  if (api.cameBack()) {
    try {
      await api.finishLogin();
    } catch (error) {
      await signInView(problem(error).textContent);
      return;
    }
  }
  if (api.session() && !location.hash) history.replaceState(null, "", "#ask");
  frame();
  if (!api.session()) {
    await signInView();
    return;
  }
  view.classList.remove("narrow");
  const [, shown] = VIEWS[location.hash.slice(1)] ?? VIEWS.ask;
  try {
    await shown();
  } catch (error) {
    if (api.session()) show("It did not work", problem(error));
  }
}

/** Go to a view, also to the one that is open. */
function go(name) {
  if (location.hash === `#${name}`) draw();
  else location.hash = name;
}

api.whenEnded(() => {
  frame();
  signInView("Your session has ended.");
});
addEventListener("hashchange", (event) => {
  if (new URL(event.newURL).hash !== "#view") draw();
});
addEventListener("keydown", (event) => {
  const typing = event.target.closest?.("input, textarea, select, dialog");
  if (typing || event.ctrlKey || event.metaKey || event.altKey) return;
  view.querySelector(`[data-key="${CSS.escape(event.key)}"]:not(:disabled)`)?.click();
});
draw();
