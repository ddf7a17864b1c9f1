// A TypeScript SDK 1 client that is asked things too: it uses two servers behind one URL, `one` and `two`, both at
// once, answers their sampling, elicitation and roots requests, and prints what it saw as one line of JSON.
import { Client } from '@modelcontextprotocol/sdk/client/index.js';
import { StreamableHTTPClientTransport } from '@modelcontextprotocol/sdk/client/streamableHttp.js';
import {
  CreateMessageRequestSchema, ElicitRequestSchema, ListRootsRequestSchema,
  LoggingMessageNotificationSchema, ResourceUpdatedNotificationSchema, ToolListChangedNotificationSchema,
} from '@modelcontextprotocol/sdk/types.js';

const url = new URL(process.argv[2]);
const capabilities = { sampling: {}, elicitation: { form: {} }, roots: { listChanged: true } };
const client = new Client({ name: 'ts-both-ways', version: '1.0.0' }, { capabilities });
const seen = { sampled: [], logs: 0, changed: 0 };
client.setRequestHandler(CreateMessageRequestSchema, async ({ params }) => {
  const asked = params.messages[0].content.text;
  seen.sampled.push(asked);
  return { role: 'assistant', model: 'none', content: { type: 'text', text: `sampled: ${asked}` } };
});
client.setRequestHandler(ElicitRequestSchema, async () => ({ action: 'decline' }));
client.setRequestHandler(ListRootsRequestSchema, async () => ({ roots: [{ uri: 'file:///home/visitor', name: 'home' }] }));
client.setNotificationHandler(LoggingMessageNotificationSchema, () => { seen.logs += 1; });
client.setNotificationHandler(ToolListChangedNotificationSchema, () => { seen.changed += 1; });
const updated = new Promise((resolve) => {
  client.setNotificationHandler(ResourceUpdatedNotificationSchema, ({ params }) => resolve(params.uri));
});

const headers = { Authorization: `Bearer ${process.env.MWT}` };
await client.connect(new StreamableHTTPClientTransport(url, { requestInit: { headers } }));
const both = (work) => Promise.all(['one', 'two'].map(work));
const text = (result) => result.content.map((part) => part.text ?? '').join('\n');
const tools = (await client.listTools()).tools.map((tool) => tool.name);

seen.capabilities = Object.keys(client.getServerCapabilities()).sort();
seen.instructions = (client.getInstructions() ?? '').match(/^# \w+$/gm);
seen.asks = ['trigger-sampling-request', 'trigger-elicitation-request', 'get-roots-list']
  .every((tool) => tools.includes(`one__${tool}`) && tools.includes(`two__${tool}`));
seen.samples = await both(async (slug) => text(await client.callTool({
  name: `${slug}__trigger-sampling-request`, arguments: { prompt: `of ${slug}`, maxTokens: 5 },
})));
seen.elicited = await both(async (slug) => text(await client.callTool({
  name: `${slug}__trigger-elicitation-request`, arguments: {},
})));
seen.roots = await both(async (slug) => text(await client.callTool({ name: `${slug}__get-roots-list`, arguments: {} })));
seen.prompts = (await client.listPrompts()).prompts.map((prompt) => prompt.name).filter((name) => name.endsWith('simple-prompt'));
seen.prompt = (await client.getPrompt({ name: 'two__simple-prompt' })).messages.length;
seen.templates = (await client.listResourceTemplates()).resourceTemplates.map((template) => template.uriTemplate);
const reference = { type: 'ref/prompt', name: 'two__completable-prompt' };
seen.completion = (await client.complete({ ref: reference, argument: { name: 'department', value: 'S' } })).completion.values;
const resources = (await client.listResources()).resources.map((resource) => resource.uri);
const uri = resources.find((resource) => resource.startsWith('two+'));
seen.read = (await client.readResource({ uri })).contents.length;
seen.bare = (await client.readResource({ uri: uri.slice('two+'.length) })).contents.length;
await client.setLoggingLevel('debug');
await client.subscribeResource({ uri });
await client.callTool({ name: 'two__toggle-subscriber-updates', arguments: {} });
seen.updated = (await updated) === uri;
const abort = new AbortController();
const long = client.callTool(
  { name: 'one__trigger-long-running-operation', arguments: { duration: 60, steps: 600 } }, undefined,
  { signal: abort.signal, onprogress: () => abort.abort('enough') },
);
seen.cancelled = await long.then(() => 'it ended', () => true);
await client.close();
process.stdout.write(`${JSON.stringify(seen)}\n`);
process.exit(0);
