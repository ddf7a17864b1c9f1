// The tools and the prompt of the conformance suite that ask their client for something: a form, a model's words, its roots.
import { acceptedContent, inputRequired, inputResponse } from '@modelcontextprotocol/server';
import * as z from 'zod/v4';

const CAPABILITIES = 'io.modelcontextprotocol/clientCapabilities';
const text = (content) => ({ type: 'text', text: content });
const answer = (content) => ({ content: [text(content)] });

const form = (message, properties, required = Object.keys(properties)) =>
  inputRequired.elicit({ message, requestedSchema: { type: 'object', properties, required } });
const model = (question, maxTokens = 100) =>
  inputRequired.createMessage({ messages: [{ role: 'user', content: text(question) }], maxTokens });
const ask = (inputRequests, requestState) =>
  inputRequired({ inputRequests, ...(requestState === undefined ? {} : { requestState }) });

/** What the model said, if the client asked it. */
function said(responses, key) {
  const view = inputResponse(responses, key);
  return view.kind === 'sampling' ? (view.result.content.text ?? JSON.stringify(view.result.content)) : undefined;
}

/** A tool that asks for a form once and answers what came back. */
function formTool(tool, name, schema, inquiry, describe) {
  tool(name, schema, (args, { mcpReq: { inputResponses } }) => {
    const view = inputResponse(inputResponses, 'form');
    if (view.kind !== 'elicit') return ask({ form: inquiry(args) });
    return answer(`${describe}: action=${view.action}, content=${JSON.stringify(view.content ?? {})}`);
  });
}

const DEFAULTS = {
  name: { type: 'string', description: 'Name', default: 'John Doe' },
  age: { type: 'integer', description: 'Age', default: 30 },
  score: { type: 'number', description: 'Score', default: 95.5 },
  status: { type: 'string', description: 'Status', enum: ['active', 'inactive', 'pending'], default: 'active' },
  verified: { type: 'boolean', description: 'Verified', default: true },
};

const titled = (prefix, names) => names.map((title, at) => ({ const: `${prefix}${at + 1}`, title }));
const ENUMS = {
  untitledSingle: { type: 'string', enum: ['option1', 'option2', 'option3'] },
  titledSingle: { type: 'string', oneOf: titled('value', ['First Option', 'Second Option', 'Third Option']) },
  legacyEnum: {
    type: 'string',
    enum: ['opt1', 'opt2', 'opt3'],
    enumNames: ['Option One', 'Option Two', 'Option Three'],
  },
  untitledMulti: { type: 'array', items: { type: 'string', enum: ['option1', 'option2', 'option3'] } },
  titledMulti: {
    type: 'array',
    items: { anyOf: titled('value', ['First Choice', 'Second Choice', 'Third Choice']) },
  },
};

/** Tools of the older revisions, whose clients are asked in the middle of a call. */
function inTheMiddle(tool) {
  tool('test_sampling', z.object({ prompt: z.string() }), ({ prompt }, { mcpReq: { inputResponses } }) => {
    const words = said(inputResponses, 'words');
    return words === undefined ? ask({ words: model(prompt) }) : answer(`LLM response: ${words}`);
  });
  const contact = { username: { type: 'string' }, email: { type: 'string' } };
  const message = z.object({ message: z.string() });
  formTool(tool, 'test_elicitation', message, (args) => form(args.message, contact), 'User response');
  const none = z.object({});
  const done = 'Elicitation completed';
  const defaults = () => form('Please look through the fields.', DEFAULTS, []);
  formTool(tool, 'test_elicitation_sep1034_defaults', none, defaults, done);
  const enums = () => form('Please choose.', ENUMS, []);
  formTool(tool, 'test_elicitation_sep1330_enums', none, enums, done);
}

const NAME = { name: { type: 'string' } };
const OK = { ok: { type: 'boolean' } };

/** Tools of 2026-07-28 that need one more round. */
function oneRound(tool) {
  tool('test_input_required_result_elicitation', (_, { mcpReq: { inputResponses } }) => {
    const name = acceptedContent(inputResponses, 'user_name')?.name;
    return typeof name === 'string' ? answer(`Hello, ${name}!`) : ask({ user_name: form('What is your name?', NAME) });
  });
  tool('test_input_required_result_sampling', (_, { mcpReq: { inputResponses } }) => {
    const words = said(inputResponses, 'capital_question');
    return words === undefined ? ask({ capital_question: model('What is the capital of France?') }) : answer(words);
  });
  tool('test_input_required_result_list_roots', (_, { mcpReq: { inputResponses } }) => {
    const view = inputResponse(inputResponses, 'client_roots');
    if (view.kind !== 'roots') return ask({ client_roots: inputRequired.listRoots() });
    return answer(`Roots: ${view.roots.map((root) => root.uri).join(', ')}`);
  });
  tool('test_input_required_result_capabilities', (_, { mcpReq: { inputResponses, envelope } }) => {
    if (inputResponses) return answer('Answered.');
    const declared = envelope?.[CAPABILITIES] ?? {};
    const possible = {
      sampling: () => model('Say something.'),
      elicitation: () => form('What is your name?', NAME),
      roots: () => inputRequired.listRoots(),
    };
    const requests = Object.entries(possible).filter(([capability]) => declared[capability]);
    if (requests.length === 0) return answer('This client can be asked nothing.');
    return ask(Object.fromEntries(requests.map(([capability, request]) => [capability, request()])));
  });
  tool('test_missing_capability', (_, { mcpReq: { inputResponses } }) => {
    const words = said(inputResponses, 'words');
    return words === undefined ? ask({ words: model('Say something.') }) : answer(words);
  });
  tool('test_streaming_elicitation', async (_, { mcpReq }) => {
    if (acceptedContent(mcpReq.inputResponses, 'confirm')) return answer('Confirmed.');
    const progressToken = mcpReq._meta?.progressToken ?? 0;
    await mcpReq.notify({ method: 'notifications/progress', params: { progressToken, progress: 0, total: 1 } });
    return ask({ confirm: form('Please confirm.', OK) });
  });
}

/** Tools of 2026-07-28 that carry a state from round to round. */
function withState(tool, state) {
  const confirmed = (name, words) =>
    tool(name, async (_, { mcpReq: { inputResponses, requestState } }) => {
      const step = requestState()?.step;
      if (step === 'confirm' && acceptedContent(inputResponses, 'confirm')) return answer(words);
      return ask({ confirm: form('Please confirm', OK) }, await state.mint({ step: 'confirm' }));
    });
  confirmed('test_input_required_result_request_state', 'state-ok: the state came back as it was sent.');
  confirmed('test_input_required_result_tampered_state', 'The state came back as it was sent.');
  tool('test_input_required_result_multiple_inputs', async (_, { mcpReq: { inputResponses, requestState } }) => {
    const name = acceptedContent(inputResponses, 'user_name')?.name;
    const greeting = said(inputResponses, 'greeting');
    const roots = inputResponse(inputResponses, 'client_roots');
    if (requestState() && name && greeting && roots.kind === 'roots') {
      return answer(`${greeting} ${name}, with ${roots.roots.length} roots`);
    }
    const requests = {
      user_name: form('What is your name?', NAME),
      greeting: model('Generate a greeting', 50),
      client_roots: inputRequired.listRoots(),
    };
    return ask(requests, await state.mint({ step: 'all' }));
  });
  tool('test_input_required_result_multi_round', async (_, { mcpReq: { inputResponses, requestState } }) => {
    const { step, name } = requestState() ?? {};
    const color = acceptedContent(inputResponses, 'step2')?.color;
    if (step === 2 && color) return answer(`${name} likes ${color}`);
    const given = acceptedContent(inputResponses, 'step1')?.name;
    if (step === 1 && given) {
      const second = form('Step 2: What is your favorite color?', { color: { type: 'string' } });
      return ask({ step2: second }, await state.mint({ step: 2, name: given }));
    }
    return ask({ step1: form('Step 1: What is your name?', NAME) }, await state.mint({ step: 1 }));
  });
}

function prompt(server) {
  const about = { description: 'A prompt that asks for its context.' };
  server.registerPrompt('test_input_required_result_prompt', about, ({ mcpReq: { inputResponses } }) => {
    const context = acceptedContent(inputResponses, 'user_context')?.context;
    if (context === undefined) {
      const question = form('What context should the prompt use?', { context: { type: 'string' } });
      return ask({ user_context: question });
    }
    return { messages: [{ role: 'user', content: text(`Use this context: ${context}`) }] };
  });
}

/** Registers all of them. */
export function elicitations(tool, server, state) {
  inTheMiddle(tool);
  oneRound(tool);
  withState(tool, state);
  prompt(server);
}
