// The unmodified AI SDK of npm against `appliance serve`; run by test_node_client.py.
import assert from "node:assert/strict";
import { test } from "node:test";
import { createOpenAI } from "@ai-sdk/openai";
import { createOpenAICompatible } from "@ai-sdk/openai-compatible";
import { embedMany, generateText, Output, stepCountIs, streamText, tool } from "ai";
import { z } from "zod";

const { CONTRACT_MODEL: name, CONTRACT_EMBEDDER: embedder } = process.env;
const { OPENAI_BASE_URL: baseURL, OPENAI_API_KEY: apiKey } = process.env;
const { CONTRACT_OTHER_KEY: otherKey, CONTRACT_RESTART: restart } = process.env;
const compatible = createOpenAICompatible({
  name: "appliance", baseURL, apiKey, supportsStructuredOutputs: true, includeUsage: true,
});
const openai = createOpenAI({ baseURL, apiKey });
const stranger = createOpenAI({ baseURL, apiKey: otherKey });
const models = {
  compatible: compatible(name), chat: openai.chat(name), responses: openai.responses(name),
};
// Most ask for nothing to be stored, so that items go back whole; the last one names them.
const common = {
  temperature: 0, maxOutputTokens: 80, maxRetries: 0,
  providerOptions: { openai: { store: false } },
};
const short = { temperature: 0, maxOutputTokens: 4, maxRetries: 0 };
const valve = z.object({ name: z.string().max(20), open: z.boolean() });

for (const [route, model] of Object.entries(models)) {
  test(`${route}: a text, whole and streamed, says the same`, async () => {
    const asked = { ...common, model, prompt: "Say hello.", maxOutputTokens: 16 };
    const whole = await generateText(asked);
    const streamed = streamText(asked);
    let text = "";
    for await (const piece of streamed.textStream) text += piece;
    assert.ok(text);
    assert.equal(text, whole.text);
    assert.equal((await streamed.usage).outputTokens, whole.usage.outputTokens);
  });

  test(`${route}: an object follows its schema`, async () => {
    const { output } = await generateText({
      ...common, model, prompt: "Valve V7 is open.", output: Output.object({ schema: valve }),
    });
    assert.ok(valve.safeParse(output).success);
  });

  test(`${route}: a demanded tool is called once, and its result goes back`, async () => {
    const asked = [];
    const pressure = tool({
      description: "The pressure at a valve, in bar.",
      inputSchema: z.object({ valve: z.enum(["V7"]) }),
      execute: async ({ valve }) => { asked.push(valve); return { bar: 2.5 }; },
    });
    const done = await generateText({
      ...common, model, prompt: "What is the pressure at V7?", tools: { pressure },
      toolChoice: { type: "tool", toolName: "pressure" }, stopWhen: stepCountIs(1),
    });
    assert.deepEqual(asked, ["V7"]);
    assert.equal(done.toolCalls.length, 1);
    const messages = [
      { role: "user", content: "What is the pressure at V7?" }, ...done.response.messages,
    ];
    const said = await generateText({ ...common, model, messages, maxOutputTokens: 16 });
    assert.ok(said.text);
  });

  test(`${route}: tools beside an object are taken`, async () => {
    const pressure = tool({
      description: "The pressure at a valve, in bar.",
      inputSchema: z.object({ valve: z.enum(["V7"]) }),
      execute: async () => ({ bar: 2.5 }),
    });
    const done = await generateText({
      ...common, model, prompt: "Valve V7 is open.", tools: { pressure },
      output: Output.object({ schema: valve }), stopWhen: stepCountIs(1),
    });
    if (done.toolCalls.length === 0) assert.ok(valve.safeParse(JSON.parse(done.text)).success);
  });
}

test("embeddings", async () => {
  const { embeddings } = await embedMany({
    model: compatible.textEmbeddingModel(embedder), values: ["The pump leaks.", "It is cold."],
  });
  assert.equal(embeddings.length, 2);
  assert.equal(embeddings[0].length, 384);
});

test("a refusal is an error with its code", async () => {
  const asked = generateText({ ...common, model: models.chat, prompt: "word ".repeat(3000) });
  await assert.rejects(asked, (error) => error.statusCode === 400
    && error.responseBody.includes("context_length_exceeded") && error.isRetryable === false);
});

/** Ten turns, each of which reads all before it; `asked` tells what to send after an answer. */
async function tenTurns(asked) {
  let done, read = 0;
  for (let turn = 0; turn < 10; turn++) {
    if (turn === 5) assert.ok((await fetch(restart, { method: "POST" })).ok);
    done = await generateText({
      ...short, model: models.responses, ...asked({ role: "user", content: `Turn ${turn}.` }, done),
    });
    assert.ok(done.usage.inputTokens > read);
    read = done.usage.inputTokens;
  }
  return done.providerMetadata.openai.responseId;
}

async function strangerFindsNone(named) {
  const asked = generateText({
    ...short, model: stranger.responses(name), prompt: "And I?", providerOptions: { openai: named },
  });
  await assert.rejects(asked, (error) => error.statusCode === 404);
}

test("items by id: ten turns across a restart", async () => {
  const messages = [];
  await tenTurns((said, done) => {
    messages.push(...(done?.response.messages ?? []), said);
    return { messages };
  });
  assert.match(JSON.stringify(messages), /"itemId":"msg_[0-9a-f]{32}_0"/);
});

test("response: ten turns across a restart", async () => {
  const previousResponseId = await tenTurns((said, done) => ({
    messages: [said],
    providerOptions: { openai: { previousResponseId: done?.providerMetadata.openai.responseId } },
  }));
  await strangerFindsNone({ previousResponseId });
});

test("conversation: ten turns across a restart", async () => {
  const begun = await fetch(`${baseURL}/conversations`, {
    method: "POST", body: "{}",
    headers: { authorization: `Bearer ${apiKey}`, "content-type": "application/json" },
  });
  const { id: conversation } = await begun.json();
  await tenTurns((said) => ({ messages: [said], providerOptions: { openai: { conversation } } }));
  await strangerFindsNone({ conversation });
});
