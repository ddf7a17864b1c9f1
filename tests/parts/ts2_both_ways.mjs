// A TypeScript SDK 2 client of the modern era that is asked things by servers of the older one: it calls two servers
// behind one URL, `one` and `two`, both at once, and prints what it saw as one line of JSON.
import { Client, StreamableHTTPClientTransport } from '@modelcontextprotocol/client';

const url = new URL(process.argv[2]);
const capabilities = { sampling: {}, elicitation: { form: {} }, roots: {} };
const client = new Client(
  { name: 'ts2-both-ways', version: '1.0.0' },
  { capabilities, versionNegotiation: { mode: { pin: '2026-07-28' } } },
);
client.setRequestHandler('sampling/createMessage', async ({ params }) => {
  const asked = params.messages[0].content.text;
  return { role: 'assistant', model: 'none', content: { type: 'text', text: `sampled: ${asked}` } };
});
client.setRequestHandler('elicitation/create', async () => ({ action: 'decline' }));
client.setRequestHandler('roots/list', async () => ({ roots: [{ uri: 'file:///home/visitor', name: 'home' }] }));

const headers = { Authorization: `Bearer ${process.env.MWT}` };
await client.connect(new StreamableHTTPClientTransport(url, { requestInit: { headers } }));
const both = (work) => Promise.all(['one', 'two'].map(work));
const text = (result) => result.content.map((part) => part.text ?? '').join('\n');
const call = async (name, args) => text(await client.callTool({ name, arguments: args }));
const seen = { version: client.getNegotiatedProtocolVersion() };
const tools = (await client.listTools()).tools.map((tool) => tool.name);
seen.asks = ['trigger-sampling-request', 'trigger-elicitation-request', 'get-roots-list']
  .every((tool) => tools.includes(`one__${tool}`) && tools.includes(`two__${tool}`));
// Asked on the stream of the call, and on the server's other stream.
seen.samples = await both((slug) => call(`${slug}__trigger-sampling-request`, { prompt: `of ${slug}`, maxTokens: 5 }));
seen.elicited = await both((slug) => call(`${slug}__trigger-elicitation-request`, {}));
seen.roots = await both((slug) => call(`${slug}__get-roots-list`, {}));
await client.close();
process.stdout.write(`${JSON.stringify(seen)}\n`);
process.exit(0);
