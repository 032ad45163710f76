// The unmodified `openai` package of npm against `appliance serve`; run by test_node_client.py.
import assert from "node:assert/strict";
import { test } from "node:test";
import OpenAI from "openai";

const { CONTRACT_MODEL: model, CONTRACT_EMBEDDER: embedder } = process.env;
const client = new OpenAI(); // OPENAI_BASE_URL and OPENAI_API_KEY
const messages = [{ role: "user", content: "Say hello." }];
const short = { model, messages, max_tokens: 8, temperature: 0 };
const city = { type: "object", properties: { city: { enum: ["Oslo"] } }, required: ["city"] };
const weather = { type: "function", function: { name: "weather", parameters: city } };

test("a chat, whole and streamed, says the same", async () => {
  const { data: whole, response } = await client.chat.completions.create(short).withResponse();
  assert.match(response.headers.get("x-appliance-receipt"), /^\d+ [0-9a-f]{64} \d+$/);
  assert.match(whole.id, /^chatcmpl-/);
  assert.equal(whole.choices[0].message.refusal, null);
  assert.equal(whole.usage.total_tokens, whole.usage.prompt_tokens + whole.usage.completion_tokens);
  const stream = await client.chat.completions.create({
    ...short, stream: true, stream_options: { include_usage: true },
  });
  let text = "", finished = [], usage = null;
  for await (const chunk of stream) {
    text += chunk.choices[0]?.delta.content ?? "";
    finished.push(...chunk.choices.map((choice) => choice.finish_reason).filter(Boolean));
    usage = chunk.usage ?? usage;
  }
  assert.equal(text, whole.choices[0].message.content);
  assert.deepEqual(finished, [whole.choices[0].finish_reason]);
  assert.deepEqual(usage, whole.usage);
});

test("a demanded call comes whole and in deltas that the package puts together", async () => {
  const asked = { ...short, tools: [weather], tool_choice: "required", max_tokens: 60 };
  asked.parallel_tool_calls = false;
  const whole = await client.chat.completions.create(asked);
  assert.equal(whole.choices[0].finish_reason, "tool_calls");
  const [call] = whole.choices[0].message.tool_calls;
  assert.deepEqual(JSON.parse(call.function.arguments), { city: "Oslo" });
  const streamed = await client.chat.completions.stream(asked).finalChatCompletion();
  assert.equal(streamed.choices[0].finish_reason, "tool_calls");
  const [again] = streamed.choices[0].message.tool_calls;
  assert.deepEqual(again.function.name, "weather");
  assert.deepEqual(JSON.parse(again.function.arguments), { city: "Oslo" });
  assert.ok(again.id);
});

test("a function is run, and its result is told to the model", async () => {
  const told = [];
  const tools = [{ type: "function", function: {
    name: "weather", parameters: city, parse: JSON.parse, function: ({ city }) => {
      told.push(city);
      return "-3 degrees";
    },
  } }];
  const runner = client.chat.completions.runTools(
    { ...short, tools, tool_choice: { type: "function", function: { name: "weather" } },
      max_tokens: 60 },
  );
  await runner.done();
  assert.deepEqual(told, ["Oslo"]);
});

test("an answer by a schema is parsed", async () => {
  const schema = { type: "object", properties: { open: { type: "boolean" } },
    required: ["open"], additionalProperties: false };
  const answer = await client.chat.completions.parse({
    ...short, max_tokens: 30,
    response_format: { type: "json_schema", json_schema: { name: "valve", strict: true, schema } },
  });
  assert.equal(typeof answer.choices[0].message.parsed.open, "boolean");
});

test("embeddings are numbers, and alike texts are near each other", async () => {
  const input = ["The pump leaks.", "There is a leak at the pump.", "The contract ends in May."];
  const made = await client.embeddings.create({ model: embedder, input }); // base64 on the wire
  const [a, b, c] = made.data.map((row) => row.embedding);
  assert.equal(a.length, 384);
  const dot = (x, y) => x.reduce((sum, value, i) => sum + value * y[i], 0);
  assert.ok(Math.abs(dot(a, a) - 1) < 1e-3);
  assert.ok(dot(a, b) > dot(a, c));
  const plain = await client.embeddings.create({ model: embedder, input, encoding_format: "float" });
  assert.deepEqual(plain.data[0].embedding.map(Math.fround), a.map(Math.fround));
});

test("a response is streamed as typed events", async () => {
  const kinds = [];
  const ask = { model, input: "Say hello.", max_output_tokens: 8, stream: true };
  for await (const event of await client.responses.create(ask)) kinds.push(event.type);
  assert.equal(kinds[0], "response.created");
  assert.ok(kinds.includes("response.output_text.delta"));
  assert.match(kinds.at(-1), /^response\.(completed|incomplete)$/);
});

test("models are listed and found by their id", async () => {
  const ids = [];
  for await (const one of client.models.list()) ids.push(one.id);
  assert.ok(ids.includes(model) && ids.includes(embedder));
  assert.equal((await client.models.retrieve(model)).id, model);
});

test("errors have the package's own classes, and a client's fault is asked once", async () => {
  let asked = 0;
  const counting = new OpenAI({ fetch: (...request) => (asked++, fetch(...request)) });
  const refused = async (ask, kind, code) => {
    asked = 0;
    await assert.rejects(ask, (error) => {
      assert.ok(error instanceof kind, `${error.constructor.name}: ${error.message}`);
      assert.equal(error.code, code);
      return true;
    });
    assert.equal(asked, 1);
  };
  const chat = (fields) => counting.chat.completions.create({ ...short, ...fields });
  await refused(chat({ model: "nothing" }), OpenAI.NotFoundError, "model_not_found");
  await refused(chat({ temperature: 9 }), OpenAI.BadRequestError, "invalid_value");
  await refused(chat({ functions: [{ name: "f" }] }), OpenAI.BadRequestError,
    "unsupported_parameter");
  const long = [{ role: "user", content: "word ".repeat(2000) }];
  await refused(chat({ messages: long }), OpenAI.BadRequestError, "context_length_exceeded");
  await refused(counting.embeddings.create({ model: embedder, input: [1, 2] }),
    OpenAI.BadRequestError, "unsupported_parameter");
  const stranger = new OpenAI({ apiKey: "sk-wrong", fetch: counting.fetch });
  await refused(stranger.models.list(), OpenAI.AuthenticationError, "invalid_api_key");
});

test("a stream that is left ends, and the next request is answered", async () => {
  const stream = await client.chat.completions.create({ ...short, max_tokens: 400, stream: true });
  for await (const _ of stream) break;
  assert.ok(stream.controller.signal.aborted);
  assert.ok((await client.chat.completions.create(short)).choices.length);
});
