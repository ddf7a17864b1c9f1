// What the conformance suite runs as "the client": it makes the suite's server an upstream of a running companion and is then
// a plain member of the workspace, so that what the suite's server sees is the gateway.
//
// `conformance_client.mjs URL`; AEROSTACK_API_URL and AEROSTACK_API_KEY are the companion's, MWT is the member's token,
// MEMBER says whether it is the TypeScript SDK 1 (`legacy`) or 2 (`modern`).
import { Client as Client1 } from '@modelcontextprotocol/sdk/client/index.js';
import { StreamableHTTPClientTransport as Transport1 } from '@modelcontextprotocol/sdk/client/streamableHttp.js';
import { ElicitRequestSchema } from '@modelcontextprotocol/sdk/types.js';
import { Client as Client2, StreamableHTTPClientTransport as Transport2 } from '@modelcontextprotocol/client';

const { AEROSTACK_API_URL, AEROSTACK_API_KEY, MWT, MEMBER, MCP_CONFORMANCE_SCENARIO, MCP_CONFORMANCE_CONTEXT } = process.env;
const SLUG = 'suite';
/** The suite waits for ever for a program that hangs. */
const DEADLINE_MS = 20_000;
const SERVERS = `${AEROSTACK_API_URL}/api/v1/admin/mcp-servers`;

async function admin(method, url, body) {
  const headers = { Authorization: `Bearer ${AEROSTACK_API_KEY}`, 'Content-Type': 'application/json' };
  const answer = await fetch(url, { method, headers, body: body && JSON.stringify(body) });
  if (!answer.ok) throw new Error(`${method} ${url}: ${answer.status} ${await answer.text()}`);
}

async function connect() {
  const url = new URL(`${AEROSTACK_API_URL}/ws/default`);
  const options = { requestInit: { headers: { Authorization: `Bearer ${MWT}` } } };
  const about = { name: 'conformance-member', version: '1.0.0' };
  const capabilities = { elicitation: { form: { applyDefaults: true } } };
  const accept = () => ({ action: 'accept', content: {} });
  if (MEMBER === 'legacy') {
    const client = new Client1(about, { capabilities });
    client.setRequestHandler(ElicitRequestSchema, accept);
    const transport = new Transport1(url, options);
    await client.connect(transport);
    return { client, end: () => transport.terminateSession() };
  }
  const versionNegotiation = { mode: { pin: '2026-07-28' } };
  const client = new Client2(about, { capabilities, versionNegotiation });
  client.setRequestHandler('elicitation/create', accept);
  await client.connect(new Transport2(url, options));
  return { client, end: async () => {} };
}

/** Something for each argument that a tool demands. */
function anything(schema) {
  const values = { string: 'text', number: 1.5, integer: 7, boolean: true, object: {}, array: [], null: null };
  const required = schema.required ?? [];
  return Object.fromEntries(required.map((name) => [name, values[schema.properties?.[name]?.type] ?? 'text']));
}

/** The calls that the scenario asks for, or else one of each tool. */
function calls(tools) {
  const { toolCalls } = JSON.parse(MCP_CONFORMANCE_CONTEXT ?? '{}');
  const bare = (name) => name.replace(`${SLUG}__`, '');
  const listed = (name) => tools.find((tool) => bare(tool.name) === name);
  if (toolCalls) return toolCalls.map((call) => ({ ...call, name: listed(call.name)?.name ?? call.name }));
  if (MCP_CONFORMANCE_SCENARIO === 'json-schema-2020-12-preservation') {
    const schema = listed('json_schema_2020_12_tool').inputSchema;
    return [{ name: listed('json_schema_echo').name, arguments: { schema } }];
  }
  // Its server knows no tools/call.
  if (MCP_CONFORMANCE_SCENARIO === 'json-schema-ref-no-deref') return [];
  return tools.map((tool) => ({ name: tool.name, arguments: anything(tool.inputSchema) }));
}

/** Reads and gets one of each. */
async function resourcesAndPrompts(client) {
  const capabilities = client.getServerCapabilities() ?? {};
  if (capabilities.resources) {
    for (const { uri } of (await client.listResources()).resources) await client.readResource({ uri });
  }
  if (capabilities.prompts) {
    for (const { name } of (await client.listPrompts()).prompts) await client.getPrompt({ name });
  }
}

setTimeout(() => {
  console.error(`no end after ${DEADLINE_MS} ms`);
  process.exit(1);
}, DEADLINE_MS).unref();
// One that hung may have left it behind.
await admin('DELETE', `${SERVERS}/${SLUG}`).catch(() => {});
await admin('POST', SERVERS, { slug: SLUG, url: process.argv[2] });
try {
  const { client, end } = await connect();
  const { tools } = await client.listTools();
  console.log(`tools: ${tools.map((tool) => tool.name).join(' ')}`);
  // All at once: a round of one call must not find its way into another.
  const answers = await Promise.allSettled(calls(tools).map((call) => client.callTool(call)));
  console.log(JSON.stringify(answers, (key, value) => (key === 'reason' ? String(value) : value)));
  // A result without `resultType` is right for the suite and wrong for the SDK.
  const failed = answers.filter(({ reason }) => reason && !String(reason).includes('missing required resultType'));
  if (failed.length > 0) throw failed[0].reason;
  if (MCP_CONFORMANCE_SCENARIO === 'http-standard-headers') await resourcesAndPrompts(client);
  await end();
  await client.close();
} finally {
  await admin('DELETE', `${SERVERS}/${SLUG}`);
}
