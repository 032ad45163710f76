// The unmodified packages of the Model Context Protocol of npm (both versions of the client, and the
// inspector's command) against `/mcp` of `appliance serve`; run by test_node_client.py.
import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { test } from "node:test";
import { promisify } from "node:util";
import { Client, StreamableHTTPClientTransport } from "@modelcontextprotocol/client";
import { Client as OldClient } from "@modelcontextprotocol/sdk/client/index.js";
import { StreamableHTTPClientTransport as OldTransport } from "@modelcontextprotocol/sdk/client/streamableHttp.js";

const { CONTRACT_TASK: task, CONTRACT_COLLECTION: collection, OPENAI_BASE_URL, OPENAI_API_KEY } = process.env;
const url = new URL(OPENAI_BASE_URL.replace(/\/v1$/, "/mcp"));
const headers = { Authorization: `Bearer ${OPENAI_API_KEY}` };
const requestInit = { headers };
const names = ["search_collection", "classify", "ask", "check_receipt"];
const info = { name: "contract", version: "1" };

async function useTools(client) {
  const { tools } = await client.listTools();
  assert.deepEqual(tools.map((tool) => tool.name), names);
  const asked = { name: "ask", arguments: { task, text: "replace hose" } };
  const { structuredContent: answer } = await client.callTool(asked);
  assert.ok(answer.answer);
  const { request_id, receipt } = answer;
  const kept = { name: "check_receipt", arguments: { request_id, receipt } };
  const { structuredContent: checked } = await client.callTool(kept);
  assert.deepEqual([checked.holds, checked.matches], [true, true]);
  const query = { collection, query: "When does the valve open?" };
  const found = await client.callTool({ name: "search_collection", arguments: query });
  assert.ok(found.structuredContent.data[0].text);
  assert.equal((await client.callTool({ name: "ask", arguments: {} })).isError, true);
  await assert.rejects(client.callTool({ name: "shell", arguments: {} }));
}

for (const mode of ["auto", "legacy"])
  test(`the client, version 2, ${mode}`, async () => {
    const client = new Client(info, { versionNegotiation: { mode } });
    await client.connect(new StreamableHTTPClientTransport(url, { requestInit }));
    await useTools(client);
    await client.close();
  });

test("the client, version 1", async () => {
  const client = new OldClient(info);
  await client.connect(new OldTransport(url, { requestInit }));
  await client.ping();
  await useTools(client);
  await client.close();
});

test("the inspector's command", async () => {
  const run = promisify(execFile);
  const command = "node_modules/@modelcontextprotocol/inspector-cli/build/cli.js";
  const inspect = async (...more) => {
    const header = ["--header", `Authorization: Bearer ${OPENAI_API_KEY}`];
    const words = [command, "--cli", url.href, "--transport", "http", ...header, ...more];
    return JSON.parse((await run(process.execPath, words)).stdout);
  };
  const { tools } = await inspect("--method", "tools/list");
  assert.deepEqual(tools.map((tool) => tool.name), names);
  const asked = ["--tool-name", "ask", "--tool-arg", `task=${task}`, "--tool-arg", "text=replace hose"];
  const answer = await inspect("--method", "tools/call", ...asked);
  assert.ok(answer.structuredContent.receipt);
});
