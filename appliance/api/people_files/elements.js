// Elements of the page. Texts become text nodes and nothing else, whoever wrote them.

/** An element with properties (`on…` listens, `aria…` and `data…` are attributes) and children. */
export function make(tag, properties = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith("on")) made.addEventListener(name.slice(2), value);
    else if (name === "class") made.className = value;
    else made.setAttribute(name, value === true ? "" : String(value));
  }
  made.append(...children.flat().filter((child) => child !== null && child !== undefined));
  return made;
}

/** Names and values, as people read them. */
export function pairs(values) {
  const rows = Object.entries(values).map(([name, value]) => [
    make("dt", {}, name),
    make("dd", {}, plain(value)),
  ]);
  return make("dl", {}, rows.flat());
}

/** A value as text: what is no text is spelled as JSON. */
export function plain(value) {
  if (value === null || value === undefined) return "–";
  return typeof value === "object" ? JSON.stringify(value) : String(value);
}

/** A button that is busy while it works, so that one press is one request. */
export function button(words, act, properties = {}) {
  const made = make("button", { type: "button", ...properties }, words);
  made.addEventListener("click", async () => {
    made.setAttribute("aria-busy", "true");
    made.disabled = true;
    try {
      await act();
    } finally {
      made.disabled = false;
      made.removeAttribute("aria-busy");
    }
  });
  return made;
}

/** An input with its label. */
export function field(name, words, input) {
  input.id = name;
  return make("div", { class: "field" }, make("label", { for: name }, words), input);
}

/** Hand a document to the person as a file. */
export function download(name, text) {
  const address = URL.createObjectURL(new Blob([text], { type: "application/json" }));
  make("a", { href: address, download: name }).click();
  setTimeout(() => URL.revokeObjectURL(address), 1000);
}

/** A moment, in the words of the browser's language. */
export function moment(seconds) {
  const how = { weekday: "short", day: "numeric", month: "short", hour: "2-digit", minute: "2-digit" };
  return new Date(seconds * 1000).toLocaleString(undefined, how);
}
