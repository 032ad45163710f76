// The unmodified `langchain` and `@langchain/openai` of npm against `appliance serve`; run by
// test_node_client.py.
import assert from "node:assert/strict";
import { test } from "node:test";
import { ChatOpenAI, OpenAIEmbeddings } from "@langchain/openai";
import { createAgent, providerStrategy, tool, toolStrategy } from "langchain";
import * as z from "zod";

const {
  CONTRACT_MODEL: model, CONTRACT_EMBEDDER: embedder, CONTRACT_TASK: task,
  OPENAI_BASE_URL: baseURL,
} = process.env;
const configuration = { baseURL };
const settings = { model, configuration, maxRetries: 0, temperature: 0, maxTokens: 80 };
const chat = (more = {}) => new ChatOpenAI({ ...settings, ...more });
const Valve = z.object({ name: z.string(), open: z.boolean() });
const said = "Valve V7 is open.";

test("a chat, whole and streamed, says the same", async () => {
  const whole = await chat({ maxTokens: 8 }).invoke("Say hello.");
  assert.ok(whole.usage_metadata.output_tokens > 0);
  let text = "", usage = null;
  for await (const chunk of await chat({ maxTokens: 8, streamUsage: true }).stream("Say hello.")) {
    text += chunk.content;
    usage = chunk.usage_metadata ?? usage;
  }
  assert.equal(text, whole.content);
  assert.equal(usage.output_tokens, whole.usage_metadata.output_tokens);
});

for (const method of ["jsonSchema", "functionCalling"]) {
  test(`structured output by ${method}`, async () => {
    const made = chat().withStructuredOutput(Valve, { name: "valve", method });
    Valve.parse(await made.invoke(said));
  });
}

const pressure = tool(() => "2.5 bar", {
  name: "pressure",
  description: "The pressure at a valve.",
  schema: z.object({ valve: z.string() }),
});

test("a demanded function is called", async () => {
  const bound = chat().bindTools([pressure], {
    tool_choice: "pressure", parallel_tool_calls: false,
  });
  const { tool_calls: calls } = await bound.invoke("What is the pressure at V7?");
  assert.equal(calls.length, 1);
  assert.equal(calls[0].name, "pressure");
  assert.equal(typeof calls[0].args.valve, "string");
});

test("the responses route takes the same", async () => {
  const whole = await chat({ useResponsesApi: true, maxTokens: 16 }).invoke("Say hello.");
  assert.ok(whole.text.length > 0);
});

for (const [name, strategy] of [["a schema", providerStrategy], ["a function", toolStrategy]]) {
  test(`an agent answers in a form by ${name}`, async () => {
    const agent = createAgent({ model: chat(), tools: [], responseFormat: strategy(Valve) });
    const done = await agent.invoke({ messages: [{ role: "user", content: said }] });
    Valve.parse(done.structuredResponse);
  });
}

test("an agent with a function is answered at each step", async () => {
  const agent = createAgent({ model: chat(), tools: [pressure] });
  const asked = { messages: [{ role: "user", content: "What is the pressure at V7?" }] };
  // A model this small may call for ever, which the package ends by an error of its own.
  const done = await agent.invoke(asked, { recursionLimit: 6 }).catch((error) => error);
  assert.ok(done.messages || done.lc_error_code === "GRAPH_RECURSION_LIMIT", String(done));
});

test("vectors", async () => {
  const rows = await new OpenAIEmbeddings({ model: embedder, configuration }).embedDocuments(["a b"]);
  assert.equal(rows[0].length, 384);
});

test("a task answers, and what it sets is refused", async () => {
  const asked = new ChatOpenAI({ model: task, configuration, maxRetries: 0 });
  const { content } = await asked.invoke("replace hose");
  assert.ok(["hydraulics", "engine"].includes(content), content);
  await assert.rejects(asked.bindTools([pressure]).invoke("replace hose"), { code: "task_parameter" });
});

test("an error keeps its code", async () => {
  await assert.rejects(chat({ model: "nothing" }).invoke("Hi"), { code: "model_not_found" });
});
