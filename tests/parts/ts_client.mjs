// The TypeScript SDK 1 client, which begins with `initialize`.
import { Client } from '@modelcontextprotocol/sdk/client/index.js';
import { StreamableHTTPClientTransport } from '@modelcontextprotocol/sdk/client/streamableHttp.js';
import { main } from './client.mjs';

await main(async (url, headers) => {
  const client = new Client({ name: 'ts-client', version: '1.0.0' });
  const transport = new StreamableHTTPClientTransport(url, { requestInit: { headers } });
  await client.connect(transport);
  return { client, protocolVersion: () => transport.protocolVersion };
});
