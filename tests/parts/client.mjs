// What both TypeScript clients do once they are connected; README.md describes the commands.

const print = (document) => process.stdout.write(`${JSON.stringify(document)}\n`);
// `fetch failed` alone says nothing; its cause does.
const text = (error) => String(error?.message ?? error) + (error?.cause ? `: ${error.cause.message ?? error.cause}` : '');

const failure = (error) => ({
  error: { message: text(error), code: error?.code ?? null, status: error?.status ?? error?.data?.status ?? null },
});

async function outcome(client, name, args) {
  try {
    return { result: await client.callTool({ name, arguments: args ?? {} }) };
  } catch (error) {
    return failure(error);
  }
}

async function list(client, protocolVersion) {
  const tools = [];
  let cursor;
  do {
    const page = await client.listTools(cursor ? { cursor } : {});
    tools.push(...page.tools.map((tool) => tool.name));
    cursor = page.nextCursor;
  } while (cursor);
  return { serverInfo: client.getServerVersion(), protocolVersion: protocolVersion(), tools };
}

// node:readline also ends lines at U+2028, which is legal inside JSON.
async function* lines(input) {
  let rest = '';
  input.setEncoding('utf8');
  for await (const piece of input) {
    const all = (rest + piece).split('\n');
    rest = all.pop();
    yield* all;
  }
  if (rest) yield rest;
}

async function session(client) {
  for await (const line of lines(process.stdin)) {
    if (!line.trim()) continue;
    const { tool, args } = JSON.parse(line);
    print(await outcome(client, tool, args));
  }
}

/** `connect(url, headers)` answers `{ client, protocolVersion }` of a connected client. */
export async function main(connect) {
  const [url, command, tool, args] = process.argv.slice(2);
  const headers = process.env.MWT ? { Authorization: `Bearer ${process.env.MWT}` } : {};
  let failed = false;
  try {
    const { client, protocolVersion } = await connect(new URL(url), headers);
    if (command === 'list') {
      print(await list(client, protocolVersion));
    } else if (command === 'call') {
      const answer = await outcome(client, tool, JSON.parse(args ?? '{}'));
      failed = 'error' in answer;
      print(answer);
    } else if (command === 'session') {
      await session(client);
    } else {
      throw new Error('usage: <url> list | call <tool> [<json args>] | session');
    }
    await client.close();
  } catch (error) {
    failed = true;
    print(failure(error));
  }
  process.exit(failed ? 1 : 0);
}
