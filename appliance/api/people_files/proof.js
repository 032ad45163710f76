// A kept receipt, checked in the browser: does its proof lead from the entry to the log's head?
// The signature of the head is not looked at: a program of somebody else does that.
// Source: RFC 9162, section 2.1.3.2; c2sp.org/tlog-proof.

const bytes = (text) => Uint8Array.from(atob(text), (sign) => sign.charCodeAt(0));
const hex = (data) => Array.from(data, (one) => one.toString(16).padStart(2, "0")).join("");

async function hash(...parts) {
  const joined = new Uint8Array(await new Blob(parts).arrayBuffer());
  return new Uint8Array(await crypto.subtle.digest("SHA-256", joined));
}

async function rootOf(leaf, index, size, path) {
  let [first, last, root] = [index, size - 1, leaf];
  const up = () => [first, last] = [Math.floor(first / 2), Math.floor(last / 2)];
  for (const node of path) {
    if (last === 0) return null;
    if (first % 2 === 1 || first === last) {
      root = await hash(Uint8Array.of(1), node, root);
      while (first % 2 === 0 && first !== 0) up();
    } else {
      root = await hash(Uint8Array.of(1), root, node);
    }
    up();
  }
  return last === 0 ? root : null;
}

/** Whether the file's proof holds; throws where it is no receipt. */
export async function holds(receipt) {
  const [head, note] = [receipt.proof, receipt.proof].map((text, place) =>
    place ? text.slice(text.indexOf("\n\n") + 2) : text.slice(0, text.indexOf("\n\n")));
  const [magic, extra, place, ...path] = head.split("\n");
  if (magic !== "c2sp.org/tlog-proof@v1") throw new Error("no proof");
  const body = JSON.parse(new TextDecoder().decode(bytes(extra.slice("extra ".length)))).body;
  const index = Number(place.slice("index ".length));
  const [, size, root] = note.split("\n");
  const leaf = await hash(Uint8Array.of(0), new TextEncoder().encode(body));
  const entry = receipt.outcome ?? receipt.intent;
  const found = await rootOf(leaf, index, Number(size), path.map(bytes));
  return (
    JSON.parse(body).request_id === receipt.request_id &&
    entry.seq === index && entry.leaf === hex(leaf) &&
    found !== null && hex(found) === hex(bytes(root))
  );
}
