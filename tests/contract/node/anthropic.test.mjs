// The unmodified `@anthropic-ai/sdk` of npm against `appliance serve`; run by test_node_client.py.
import assert from "node:assert/strict";
import { test } from "node:test";
import Anthropic from "@anthropic-ai/sdk";

const { CONTRACT_MODEL: model, OPENAI_BASE_URL, OPENAI_API_KEY: apiKey } = process.env;
const baseURL = OPENAI_BASE_URL.replace(/\/v1$/, "");
const client = new Anthropic({ baseURL, apiKey });
const messages = [{ role: "user", content: "Say hello." }];
const short = { model, messages, max_tokens: 8, temperature: 0 };
const city = { type: "object", properties: { city: { enum: ["Oslo"] } }, required: ["city"] };
const weather = { name: "weather", description: "The weather.", input_schema: city };

test("a message, whole and streamed, says the same", async () => {
  const { data: whole, response, request_id } = await client.messages.create(short).withResponse();
  assert.match(response.headers.get("x-appliance-receipt"), /^\d+ [0-9a-f]{64} \d+$/);
  assert.equal(request_id, response.headers.get("x-request-id"));
  assert.equal(whole.content[0].type, "text");
  const last = await client.messages.stream(short).finalMessage();
  assert.deepEqual(last.content, whole.content);
  assert.equal(last.stop_reason, whole.stop_reason);
  const used = whole.usage.input_tokens + whole.usage.cache_read_input_tokens;
  assert.equal((await client.messages.countTokens({ model, messages })).input_tokens, used);
});

test("a demanded call comes whole and in deltas that the package puts together", async () => {
  const asked = { ...short, tools: [weather], tool_choice: { type: "any" }, max_tokens: 60 };
  const whole = await client.messages.create(asked);
  assert.equal(whole.stop_reason, "tool_use");
  assert.deepEqual(whole.content[0].input, { city: "Oslo" });
  const last = await client.messages.stream(asked).finalMessage();
  assert.deepEqual(last.content[0].input, { city: "Oslo" });
  const result = { type: "tool_result", tool_use_id: whole.content[0].id, content: "-3 degrees" };
  const told = await client.messages.create({ ...short, tools: [weather], messages: [
    ...messages, { role: "assistant", content: whole.content }, { role: "user", content: [result] },
  ] });
  assert.ok(told.usage.output_tokens);
});

test("events come in the order of the API", async () => {
  const kinds = [];
  for await (const event of await client.messages.create({ ...short, stream: true }))
    kinds.push(event.type);
  assert.deepEqual(kinds.slice(0, 2), ["message_start", "content_block_start"]);
  assert.deepEqual(kinds.slice(-3), ["content_block_stop", "message_delta", "message_stop"]);
});

test("models are listed and found by their id", async () => {
  const ids = [];
  for await (const one of client.models.list()) ids.push(one.id);
  assert.ok(ids.includes(model));
  assert.equal((await client.models.retrieve(model)).id, model);
});

test("errors have the package's own classes, and a client's fault is asked once", async () => {
  let asked = 0;
  const fetched = (...request) => (asked++, fetch(...request));
  const counting = new Anthropic({ baseURL, apiKey, fetch: fetched });
  const refused = async (fields, kind, type) => {
    asked = 0;
    await assert.rejects(counting.messages.create({ ...short, ...fields }), (error) => {
      assert.ok(error instanceof kind, `${error.constructor.name}: ${error.message}`);
      assert.equal(error.error.error.type, type);
      return true;
    });
    assert.equal(asked, 1);
  };
  await refused({ model: "nothing" }, Anthropic.NotFoundError, "not_found_error");
  await refused({ temperature: 9 }, Anthropic.BadRequestError, "invalid_request_error");
  const long = [{ role: "user", content: "word ".repeat(2000) }];
  await refused({ messages: long }, Anthropic.BadRequestError, "invalid_request_error");
  const stranger = new Anthropic({ baseURL, apiKey: "sk-wrong" });
  await assert.rejects(stranger.models.list(), Anthropic.AuthenticationError);
});
