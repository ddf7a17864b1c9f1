// The tools, prompts and resources that the conformance suite asks for by name. Each is written once for both eras: what a
// tool asks of its client, the SDK sends as requests of its own to older clients and as `input_required` to newer ones.
import { randomBytes } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import {
  McpServer,
  ResourceTemplate,
  completable,
  createRequestStateCodec,
  fromJsonSchema,
} from '@modelcontextprotocol/server';
import * as z from 'zod/v4';
import { elicitations } from './conformance_elicitations.mjs';

const PNG = 'iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mP8z8DwHwAFBQIAX8jx0gAAAABJRU5ErkJggg==';
const WAV = 'UklGRiYAAABXQVZFZm10IBAAAAABAAEAQB8AAAB9AAACABAAZGF0YQIAAAA=';

const state = createRequestStateCodec({ key: randomBytes(32) });
const text = (content) => ({ type: 'text', text: content });
const image = { type: 'image', data: PNG, mimeType: 'image/png' };
const answer = (...content) => ({ content });
const embedded = (uri, mimeType, content) => ({ type: 'resource', resource: { uri, mimeType, text: content } });
const user = (content) => ({ role: 'user', content });

/** A schema that uses what JSON Schema 2020-12 has and older clients' models forget. */
const RICH_SCHEMA = {
  $schema: 'https://json-schema.org/draft/2020-12/schema',
  type: 'object',
  $defs: {
    address: {
      $anchor: 'addressDef',
      type: 'object',
      properties: { street: { type: 'string' }, city: { type: 'string' } },
    },
  },
  properties: {
    name: { type: 'string' },
    address: { $ref: '#/$defs/address' },
    contactMethod: { type: 'string', enum: ['phone', 'email'] },
    phone: { type: 'string' },
    email: { type: 'string' },
  },
  allOf: [{ anyOf: [{ required: ['phone'] }, { required: ['email'] }] }],
  if: { properties: { contactMethod: { const: 'phone' } }, required: ['contactMethod'] },
  then: { required: ['phone'] },
  else: { required: ['email'] },
  additionalProperties: false,
};

/** Tools that answer at once. */
function contents(tool) {
  tool('test_simple_text', () => answer(text('This is a simple text response for testing.')));
  tool('test_image_content', () => answer(image));
  tool('test_audio_content', () => answer({ type: 'audio', data: WAV, mimeType: 'audio/wav' }));
  tool('test_embedded_resource', () =>
    answer(embedded('test://embedded-resource', 'text/plain', 'This is an embedded resource content.')),
  );
  tool('test_multiple_content_types', () =>
    answer(
      text('Multiple content types test:'),
      image,
      embedded('test://mixed-content-resource', 'application/json', '{"test":"data","value":123}'),
    ),
  );
  tool('test_error_handling', () => {
    throw new Error('This tool intentionally returns an error for testing');
  });
  tool('json_schema_2020_12_tool', fromJsonSchema(RICH_SCHEMA), (args) => answer(text(JSON.stringify(args))));
  const mirrored = { region: { type: 'string', 'x-mcp-header': 'Region' }, query: { type: 'string' } };
  const schema = fromJsonSchema({ type: 'object', properties: mirrored, required: ['region'] });
  tool('test_custom_header', schema, ({ region }) => answer(text(`region: ${region}`)));
}

/** Tools that say something before they answer, or whose stream ends before that. */
function messages(tool, server, changes) {
  const log = (context, data) => context.mcpReq.log('info', data, 'conformance');
  tool('test_tool_with_logging', async (_, context) => {
    await log(context, 'Tool execution started');
    await sleep(50);
    await log(context, 'Tool processing data');
    await sleep(50);
    await log(context, 'Tool execution completed');
    return answer(text('Three log messages were sent.'));
  });
  tool('test_logging_tool', async (_, context) => {
    await log(context, 'Only clients that gave a level see this.');
    return answer(text('Logged.'));
  });
  tool('test_tool_with_progress', async (_, context) => {
    const progressToken = context.mcpReq._meta?.progressToken;
    for (const progress of [0, 50, 100]) {
      if (progress > 0) await sleep(50);
      if (progressToken === undefined) continue;
      const params = { progressToken, progress, total: 100 };
      await context.mcpReq.notify({ method: 'notifications/progress', params });
    }
    return answer(text('All steps are done.'));
  });
  tool('test_reconnection', async (_, context) => {
    context.http?.closeSSE?.();
    await sleep(100);
    return answer(text('Whoever reads this came back for it.'));
  });
  tool('test_trigger_tool_change', () => {
    changes.tools();
    return answer(text('The list of tools is said to have changed.'));
  });
  tool('test_trigger_prompt_change', () => {
    changes.prompts();
    return answer(text('The list of prompts is said to have changed.'));
  });
}

function resources(server) {
  const fixed = (name, uri, mimeType, content) =>
    server.registerResource(name, uri, { description: `The resource ${uri}.`, mimeType }, () => ({
      contents: [{ uri, mimeType, ...content }],
    }));
  fixed('Static text', 'test://static-text', 'text/plain', {
    text: 'This is the content of the static text resource.',
  });
  fixed('Static image', 'test://static-binary', 'image/png', { blob: PNG });
  fixed('Watched', 'test://watched-resource', 'text/plain', { text: 'Watched resource content' });
  const template = new ResourceTemplate('test://template/{id}/data', { list: undefined });
  const about = { description: 'A resource for each id.', mimeType: 'application/json' };
  server.registerResource('Template', template, about, (uri, { id }) => {
    const content = JSON.stringify({ id, templateTest: true, data: `Data for ID: ${id}` });
    return { contents: [{ uri: uri.href, mimeType: 'application/json', text: content }] };
  });
}

function prompts(server) {
  const prompt = (name, argsSchema, get) =>
    server.registerPrompt(name, { description: `The prompt ${name}.`, argsSchema }, get);
  server.registerPrompt('test_simple_prompt', { description: 'A prompt without arguments.' }, () => ({
    messages: [user(text('This is a simple prompt for testing.'))],
  }));
  const word = (words) => completable(z.string(), (begin) => words.filter((one) => one.startsWith(begin)));
  const both = z.object({ arg1: word(['paris', 'park', 'party']), arg2: word(['test']) });
  prompt('test_prompt_with_arguments', both, ({ arg1, arg2 }) => ({
    messages: [user(text(`Prompt with arguments: arg1='${arg1}', arg2='${arg2}'`))],
  }));
  prompt('test_prompt_with_embedded_resource', z.object({ resourceUri: z.string() }), ({ resourceUri }) => ({
    messages: [
      user(embedded(resourceUri, 'text/plain', 'Embedded resource content for testing.')),
      user(text('Please process the embedded resource above.')),
    ],
  }));
  server.registerPrompt('test_prompt_with_image', { description: 'A prompt with an image.' }, () => ({
    messages: [user(image), user(text('Please analyze the image above.'))],
  }));
}

/** A server with all of it, for one session or one request. */
export function features(context, changes) {
  const listChanged = true;
  const capabilities = {
    tools: { listChanged },
    prompts: { listChanged },
    resources: { listChanged, subscribe: true },
    logging: {},
    completions: {},
  };
  const options = { capabilities, requestState: { verify: state.verify } };
  const server = new McpServer({ name: 'conformance-upstream', version: '1.0.0' }, options);
  const tool = (name, schemaOrRun, run) => {
    const inputSchema = run ? schemaOrRun : z.object({});
    server.registerTool(name, { description: `The tool ${name}.`, inputSchema }, run ?? schemaOrRun);
  };
  contents(tool);
  messages(tool, server, changes);
  elicitations(tool, server, state);
  resources(server);
  prompts(server);
  if (context.era === 'legacy') {
    server.server.setRequestHandler('resources/subscribe', () => ({}));
    server.server.setRequestHandler('resources/unsubscribe', () => ({}));
  }
  return server;
}
