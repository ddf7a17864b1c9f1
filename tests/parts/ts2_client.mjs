// The TypeScript SDK 2 client, which asks `server/discover` first. MCP_ERA=legacy makes it begin with `initialize`.
import { Client, StreamableHTTPClientTransport } from '@modelcontextprotocol/client';
import { main } from './client.mjs';

await main(async (url, headers) => {
  const versionNegotiation = { mode: process.env.MCP_ERA ?? 'auto' };
  const client = new Client({ name: 'ts2-client', version: '1.0.0' }, { versionNegotiation });
  await client.connect(new StreamableHTTPClientTransport(url, { requestInit: { headers } }));
  return { client, protocolVersion: () => client.getNegotiatedProtocolVersion() };
});
